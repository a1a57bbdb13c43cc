//! LVs that were read, on their way into a VG, a hundred at a time: what they hold stands together.

use std::ops::Range;
use std::sync::Arc;

use super::error::{Fault, TextProblem};
use super::lv::{Creation, LvRare};
use super::lvs::{Lvs, Taken};
use super::part::Part;
use super::{Lv, LvFlags, LvStatus, Segment, Tags};
use crate::{Extents, LvId};

/// LVs that share allocations.  Few, as what is shared stays as long as one of them does.
const SIZE: usize = 128;
/// Bytes of names and tags that share one.
const TEXT_SIZE: usize = 64 << 10;

/// LVs that were read and are in no VG yet.
#[derive(Default)]
pub(super) struct Batch {
    /// Names and tags.
    pub(super) text: String,
    pub(super) segments: Vec<Segment>,
    lvs: Vec<ReadLv>,
}

/// An LV, with ranges of what its batch holds.
pub(super) struct ReadLv {
    /// Its first byte in the text that is read.
    pub(super) at: usize,
    pub(super) name: Range<usize>,
    /// Joined as in [`Tags`]; nothing for no tags.
    pub(super) tags: Option<Range<usize>>,
    pub(super) segments: Range<usize>,
    pub(super) id: LvId,
    pub(super) status: LvStatus,
    pub(super) flags: LvFlags,
    pub(super) creation: Option<Creation>,
    pub(super) extents: Extents,
    pub(super) rare: Option<Box<LvRare>>,
}

impl Batch {
    /// Appends to the names and tags.
    pub(super) fn push_text(&mut self, text: &str) -> Range<usize> {
        let from = self.text.len();
        self.text.push_str(text);
        from..self.text.len()
    }

    /// Appends the segments of an LV.
    pub(super) fn push_segments(&mut self, segments: Vec<Segment>) -> Range<usize> {
        let from = self.segments.len();
        self.segments.extend(segments);
        from..self.segments.len()
    }

    /// Appends an LV; true when it is time to [`Batch::flush`].
    pub(super) fn push(&mut self, lv: ReadLv) -> bool {
        self.lvs.push(lv);
        self.lvs.len() >= SIZE || self.text.len() >= TEXT_SIZE
    }

    /// Puts all LVs into a VG, and is empty then.
    pub(super) fn flush(&mut self, lvs: &mut Lvs) -> Result<(), Fault> {
        let text = Arc::new(self.text.as_str().to_owned());
        let segments: Arc<Vec<Segment>> = Arc::new(self.segments.drain(..).collect());
        self.text.clear();
        let hashes = |lv: &ReadLv| lvs.hashes(text.get(lv.name.clone()).unwrap_or_default(), lv.id);
        let hashes: Vec<_> = self.lvs.iter().map(hashes).collect();
        lvs.warm(&hashes);
        for (read, hashes) in self.lvs.drain(..).zip(hashes) {
            let (id, at, name) = (read.id, read.at, read.name);
            let lv = Arc::new(Lv {
                name: Part::<str>::of(&text, name.clone()),
                id,
                status: read.status,
                flags: read.flags,
                tags: Tags::from_joined(read.tags.map(|range| Part::<str>::of(&text, range))),
                creation: read.creation,
                segments: Part::<[Segment]>::of(&segments, read.segments),
                extents: read.extents,
                rare: read.rare,
            });
            lvs.push_hashed(lv, hashes).map_err(|taken| {
                let (what, name) = match taken {
                    Taken::Name => ("LV name", text.get(name).unwrap_or_default().to_owned()),
                    Taken::Id => ("LV id", id.to_string()),
                };
                TextProblem::Duplicate { what, name }.at(at)
            })?;
        }
        Ok(())
    }
}
