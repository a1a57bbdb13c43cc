//! The text that was printed last, of which the next one takes over what did not change.

use std::ops::Range;
use std::sync::Arc;

use super::export::Printer;
use super::{Lv, LvWatch, Provenance, Vg};
use crate::raw_text::ROOM;
use crate::text;
use crate::{PvId, RawText};

/// The last text of a VG, and where each LV stands in it.
///
/// [`LastPrint::print_raw`] gives the bytes that [`Vg::print_raw`] gives, but prints only the VG's head, the PVs and the
/// LVs that are others than last time; what lies between is copied.  It may be asked for any VG at any time, whether or
/// not the last text was committed: an LV that it has not seen is printed.  A debug build compares with all printed anew.
#[derive(Debug, Default)]
pub struct LastPrint {
    frame: Frame,
    pieces: LvWatch<Piece>,
    /// The text, from a page's start on, and zeroes on both sides.
    text: String,
    /// The text before, for its memory.
    spare: String,
    /// The text with its bytes that are no UTF-8, where it has such, and zeroes behind it.
    raw: Vec<u8>,
}

/// What any block device takes memory by: writing past the page cache, it is read from where it lies.
const PAGE: usize = 4096;

/// What the text of an LV depends on beside the LV.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame {
    is_write_locked: bool,
    pv_keys: Vec<(PvId, Box<str>)>,
}

/// An LV in the last text.
#[derive(Clone, Debug)]
struct Piece {
    bytes: Range<usize>,
    /// LVM shows it, as long as no other LV refers to it.
    is_visible: bool,
}

impl Frame {
    fn of(vg: &Vg) -> Self {
        let key = |pv: &super::Pv| (pv.id, pv.key.clone());
        Self {
            is_write_locked: vg.is_write_locked(),
            pv_keys: vg.pvs.iter().map(key).collect(),
        }
    }
}

impl LastPrint {
    /// Prints the text for a disk, header block and terminating NUL included, as [`Vg::print_raw`] does.
    pub fn print_raw(&mut self, vg: &Vg, provenance: &Provenance) -> RawText<'_> {
        let frame = Frame::of(vg);
        // Where there are no LVs none is looked at, and what is known of others would be of an older text.
        if frame != self.frame || vg.lv_count() == 0 {
            self.frame = frame;
            self.pieces = LvWatch::default();
        }
        let mut out = std::mem::take(&mut self.spare);
        let start = make_room(
            &mut out,
            match self.text.len() {
                0 => vg.guess_length(),
                last => last,
            },
        );
        let mut printer = Printer { out, vg };
        let (last, pieces) = (&*self.text, &mut self.pieces);
        printer.whole(provenance, |printer| print_lvs(printer, last, pieces));
        let own = printer.out.get(start..).unwrap_or_default();
        let raw = vg.has_raw_bytes.then(|| text::unhide(own));
        debug_assert!(
            raw.as_deref().unwrap_or(own.as_bytes()) == &*vg.print_raw(provenance),
            "a text from pieces differs from the one printed anew:\n{}",
            printer.out
        );
        printer.out.push_str(ROOM);
        self.spare = std::mem::replace(&mut self.text, printer.out);
        if let Some(mut raw) = raw {
            raw.extend_from_slice(ROOM.as_bytes());
            self.raw = raw;
            return RawText::before_room(&self.raw);
        }
        RawText::before_room(self.text.as_bytes().get(start..).unwrap_or_default())
    }
}

/// Empties a text and makes room for another of some length; gives where in it a page begins, which it is filled up to.
fn make_room(out: &mut String, length: usize) -> usize {
    out.clear();
    // A new LV and a longer line fit, too; more finds its room elsewhere, where a device may not take it from.
    out.reserve(length.saturating_add(4096).saturating_add(PAGE));
    let start = out.as_ptr().align_offset(PAGE).min(PAGE);
    let mut left = start;
    while let Some(zeroes) = ROOM
        .get(..left.min(ROOM.len()))
        .filter(|zeroes| !zeroes.is_empty())
    {
        out.push_str(zeroes);
        left = left.saturating_sub(zeroes.len());
    }
    start
}

/// Prints the LVs, visible ones first, taking over from the last text what is still so.
fn print_lvs(printer: &mut Printer<'_>, last: &str, pieces: &mut LvWatch<Piece>) {
    let vg = printer.vg;
    let mut copier = Copier { last, run: 0..0 };
    let mut hidden: Vec<(usize, &Arc<Lv>, Option<Piece>)> = Vec::new();
    let mut place = 0usize;
    pieces.walk(vg, |lv, has_users, piece| {
        let is_visible = piece
            .as_ref()
            .map_or_else(|| lv.is_visible_alone(), |piece| piece.is_visible);
        let is_shown = if has_users { vg.is_visible(lv) } else { is_visible };
        let bytes = if is_shown {
            copier.piece(printer, lv, piece)
        } else {
            hidden.push((place, lv, piece));
            0..0
        };
        place = place.saturating_add(1);
        Piece { bytes, is_visible }
    });
    for (place, lv, piece) in hidden {
        let bytes = copier.piece(printer, lv, piece);
        if let Some(piece) = pieces.note_mut(place) {
            piece.bytes = bytes;
        }
    }
    copier.flush(printer);
}

/// Copies pieces of the last text, those that follow each other there in one go.
struct Copier<'a> {
    last: &'a str,
    /// What is to be copied next.
    run: Range<usize>,
}

impl Copier<'_> {
    /// Copies an LV that stands in the last text, prints another; gives where it stands now.
    fn piece(&mut self, printer: &mut Printer<'_>, lv: &Lv, piece: Option<Piece>) -> Range<usize> {
        let Some(Piece { bytes, .. }) = piece else {
            self.flush(printer);
            let start = printer.out.len();
            printer.lv(lv);
            return start..printer.out.len();
        };
        if bytes.start != self.run.end {
            self.flush(printer);
            self.run = bytes.start..bytes.start;
        }
        let start = printer.out.len().saturating_add(self.run.len());
        self.run.end = bytes.end;
        start..start.saturating_add(bytes.len())
    }

    fn flush(&mut self, printer: &mut Printer<'_>) {
        let run = std::mem::take(&mut self.run);
        // Pieces begin and end at lines of the last text, so the run is there.
        printer.out.push_str(self.last.get(run).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ExtentSize, Extents, LvFlags, LvId, LvName, LvStatus, NewLv, NewPv, NewVg, Sectors, SegmentPlan,
        VgId, VgName,
    };

    fn pv_id(number: u8) -> PvId {
        PvId::from_uuid_bytes([number; 16])
    }

    fn vg() -> Vg {
        let mut vg = Vg::new(NewVg {
            name: VgName::parse("vg0").unwrap(),
            id: VgId::from_uuid_bytes([9; 16]),
            extent_size: ExtentSize::DEFAULT,
            tags: Vec::new(),
            system_id: None,
        });
        for number in [0, 1] {
            vg.add_pv(NewPv {
                id: pv_id(number),
                device_hint: "/dev/sda".to_owned(),
                dev_size: Sectors::new(2048 + 100 * 8192),
                pe_start: Sectors::new(2048),
                pe_count: Extents::new(100),
                device_id: None,
            })
            .unwrap();
        }
        vg
    }

    fn add(vg: &mut Vg, number: u8) {
        let (name, id) = (
            LvName::parse(&format!("lv{number}")).unwrap(),
            LvId::from_uuid_bytes([number; 16]),
        );
        let segment = SegmentPlan::linear(pv_id(1), u32::from(number), Extents::new(1));
        vg.add_lv(NewLv::new(name, id, vec![segment])).unwrap();
    }

    /// The text from pieces is the one printed anew, and this many LVs were taken over from the last one.
    #[track_caller]
    fn check_print(last: &mut LastPrint, vg: &Vg, taken_over: usize) {
        let mut same = 0usize;
        last.pieces.clone().walk(vg, |_, _, piece| {
            same += usize::from(piece.is_some());
            piece.unwrap_or(Piece {
                bytes: 0..0,
                is_visible: true,
            })
        });
        let provenance = Provenance::default();
        assert_eq!(
            String::from_utf8_lossy(last.print_raw(vg, &provenance).bytes()),
            String::from_utf8_lossy(&vg.print_raw(&provenance))
        );
        assert_eq!(same, taken_over);
    }

    #[test]
    fn only_the_lvs_that_changed_are_printed_anew() {
        let (mut vg, mut last) = (vg(), LastPrint::default());
        (0..6).for_each(|number| add(&mut vg, number));
        check_print(&mut last, &vg, 0);
        vg.bump_seqno().unwrap();
        check_print(&mut last, &vg, 6);
        vg.set_lv_tags("lv2", &["a", "b"]).unwrap();
        add(&mut vg, 6);
        check_print(&mut last, &vg, 5);
        vg.remove_lv("lv0").unwrap();
        vg.rename_lv("lv6", LvName::parse("other").unwrap()).unwrap();
        check_print(&mut last, &vg, 5);
        vg.set_tags(&["c"]).unwrap();
        check_print(&mut last, &vg, 6);
    }

    #[test]
    fn a_text_lies_at_a_page_and_has_room_behind_it() {
        let (mut vg, mut last) = (vg(), LastPrint::default());
        for number in 0..50 {
            add(&mut vg, number);
            let text = last.print_raw(&vg, &Provenance::default());
            assert_eq!(text.bytes().as_ptr().align_offset(PAGE), 0, "{number}");
            assert!(
                matches!(text.padded(0, 511), std::borrow::Cow::Borrowed(_)),
                "{number}"
            );
        }
    }

    #[test]
    fn an_lv_that_becomes_hidden_or_visible_changes_its_place() {
        let (mut vg, mut last) = (vg(), LastPrint::default());
        (0..4).for_each(|number| add(&mut vg, number));
        check_print(&mut last, &vg, 0);
        for name in ["lv0", "lv2"] {
            vg.set_lv_status(name, LvStatus::HIDDEN, LvFlags::empty())
                .unwrap();
        }
        check_print(&mut last, &vg, 2);
        vg.remove_lv("lv1").unwrap();
        check_print(&mut last, &vg, 3);
        vg.set_lv_status("lv0", LvStatus::USER, LvFlags::empty()).unwrap();
        check_print(&mut last, &vg, 2);
    }

    #[test]
    fn pvs_that_change_their_keys_change_every_lv() {
        let (mut vg, mut last) = (vg(), LastPrint::default());
        (0..4).for_each(|number| add(&mut vg, number));
        check_print(&mut last, &vg, 0);
        vg.remove_pv(pv_id(0)).unwrap();
        let provenance = Provenance::default();
        assert_eq!(
            last.print_raw(&vg, &provenance).bytes(),
            vg.print_raw(&provenance)
        );
        check_print(&mut last, &vg, 4);
    }

    #[test]
    fn what_was_printed_last_may_have_been_another_state_of_the_vg() {
        let (mut vg, mut last) = (vg(), LastPrint::default());
        (0..3).for_each(|number| add(&mut vg, number));
        let full = vg.clone();
        check_print(&mut last, &full, 0);
        (0..3).for_each(|number| drop(vg.remove_lv(&format!("lv{number}")).unwrap()));
        vg.set_tags(&["so.that.places.differ"]).unwrap();
        let provenance = Provenance::default();
        assert_eq!(
            last.print_raw(&vg, &provenance).bytes(),
            vg.print_raw(&provenance)
        );
        check_print(&mut last, &full, 0);
        check_print(&mut last, &full.clone(), 3);
    }
}
