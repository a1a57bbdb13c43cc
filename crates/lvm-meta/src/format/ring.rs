//! Where texts lie in a metadata area: a ring behind the header, in which a new text never touches the old one.

use super::RawLocation;
use crate::{CorruptKind, Error, Part};

/// The header's sector: the ring starts behind it.
const HEADER: u64 = 512;
/// Texts start at multiples of this.
const ALIGN: u64 = 512;
/// The longest text that is read or written: LVM's own stay below a few MiB, and half a million LVs fit this one.
pub(crate) const TEXT_LIMIT: u64 = 512 << 20;

/// The ring of an area, by the size in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    /// Bytes of the area, the header included.
    size: u64,
}

/// A text in a ring: one piece, or two when it wraps.  Offsets count from the area's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextPlace {
    pub(crate) offset: u64,
    /// Bytes up to the ring's end, or all of them.
    pub(crate) first: u64,
    /// Bytes that continue behind the header.
    pub(crate) wrapped: u64,
    /// Zeroes that follow the text up to the next sector, inside the ring.
    pub(crate) padding: u64,
}

impl TextPlace {
    /// The piece that holds the text's end: its first byte and its length.
    pub(crate) fn last_piece(&self) -> (u64, u64) {
        if self.wrapped > 0 {
            (HEADER, self.wrapped)
        } else {
            (self.offset, self.first)
        }
    }

    /// The pieces with the zeroes behind them, which are written, too.
    fn written(&self) -> [(u64, u64); 2] {
        let [first, second] = self.pieces();
        let padded = |(from, to): (u64, u64)| (from, to.saturating_add(self.padding));
        if self.wrapped > 0 {
            [first, padded(second)]
        } else {
            [padded(first), second]
        }
    }

    fn pieces(&self) -> [(u64, u64); 2] {
        [
            (self.offset, self.offset.saturating_add(self.first)),
            (HEADER, HEADER.saturating_add(self.wrapped)),
        ]
    }

    /// Would writing this one change a byte of the other?
    fn harms(&self, other: &Self) -> bool {
        let overlap = |a: (u64, u64), b: (u64, u64)| a.0 < b.1 && b.0 < a.1;
        self.written()
            .into_iter()
            .any(|a| other.pieces().into_iter().any(|b| overlap(a, b)))
    }
}

impl Ring {
    /// The ring of an area of `size` bytes; the header's decoding saw to it that there is one.
    pub(crate) fn new(size: u64) -> Self {
        Self { size }
    }

    /// The largest text that the area takes, so that an old and a new one fit side by side.
    pub(crate) fn capacity(self) -> u64 {
        let half = self.size.saturating_sub(HEADER) / 2;
        half.saturating_sub(ALIGN).min(TEXT_LIMIT)
    }

    /// Where a text of a header's slot lies.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it passes the ring's bounds; `header_at` is for the message.
    pub(crate) fn locate(self, slot: &RawLocation, header_at: u64) -> Result<TextPlace, Error> {
        let corrupt = |at: u64, field, found, expected| Error::Corrupt {
            part: Part::MdaHeader,
            at: header_at.saturating_add(at),
            kind: CorruptKind::Field {
                field,
                found,
                expected,
            },
        };
        if slot.offset < HEADER || slot.offset >= self.size {
            return Err(corrupt(40, "text offset", slot.offset, self.size));
        }
        let room = self.size.saturating_sub(HEADER);
        if slot.size == 0 || slot.size > room || u32::try_from(slot.size).is_err() {
            return Err(corrupt(48, "text size", slot.size, room));
        }
        Ok(self.place(slot.offset, slot.size))
    }

    fn place(self, offset: u64, length: u64) -> TextPlace {
        let first = length.min(self.size.saturating_sub(offset));
        let mut place = TextPlace {
            offset,
            first,
            wrapped: length.saturating_sub(first),
            padding: 0,
        };
        let (at, length) = place.last_piece();
        let end = at.saturating_add(length);
        place.padding = end.next_multiple_of(ALIGN).min(self.size).saturating_sub(end);
        place
    }

    /// Where a new text of `length` bytes goes, behind the committed one.
    ///
    /// # Errors
    /// [`Error::TextTooLarge`].
    pub(crate) fn next(self, old: Option<TextPlace>, length: u64) -> Result<TextPlace, Error> {
        let too_large = Error::TextTooLarge {
            length,
            capacity: self.capacity(),
        };
        if length > self.capacity() {
            return Err(too_large);
        }
        let Some(old) = old else {
            return Ok(self.place(HEADER, length));
        };
        let (at, old_length) = old.last_piece();
        let last = at.saturating_add(old_length).saturating_sub(1);
        let candidate = if self.size.saturating_sub(last) < ALIGN {
            HEADER
        } else {
            match last.saturating_add(1).next_multiple_of(ALIGN) {
                aligned if aligned > self.size.saturating_sub(ALIGN) => HEADER,
                aligned => aligned,
            }
        };
        let new = self.place(candidate, length);
        if new.harms(&old) { Err(too_large) } else { Ok(new) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(offset: u64, size: u64) -> RawLocation {
        RawLocation {
            offset,
            size,
            ..Default::default()
        }
    }

    #[test]
    fn the_default_area_takes_what_lvm_says() {
        assert_eq!(Ring::new(1_044_480).capacity(), 521_472);
    }

    #[test]
    fn the_next_text_starts_at_the_sector_behind_the_old_one() {
        let ring = Ring::new(1_044_480);
        let old = ring.locate(&at(512, 1126), 0).unwrap();
        assert_eq!(ring.next(Some(old), 1333).unwrap().offset, 2048);
        assert_eq!(ring.next(None, 10).unwrap().offset, 512);
    }

    #[test]
    fn a_text_at_the_end_wraps_and_is_padded_behind_its_second_piece() {
        let ring = Ring::new(8192);
        let place = ring.locate(&at(7680, 1000), 0).unwrap();
        assert_eq!((place.first, place.wrapped, place.padding), (512, 488, 24));
        assert_eq!(ring.next(Some(place), 100).unwrap().offset, 1024);
    }

    #[test]
    fn zeroes_behind_a_text_stay_in_the_ring() {
        let place = Ring::new(8000).locate(&at(7680, 300), 0).unwrap();
        assert_eq!((place.first, place.wrapped, place.padding), (300, 0, 20));
    }

    #[test]
    fn zeroes_behind_a_text_never_reach_an_old_one_that_starts_within_a_sector() {
        // Other writers may start a text anywhere.  560 bytes end in front of the old one, their zeroes do not.
        let ring = Ring::new(4096);
        let old = ring.locate(&at(1100, 2600), 0).unwrap();
        let new = ring.next(Some(old), 560);
        assert!(matches!(new, Err(Error::TextTooLarge { .. })), "{new:?}");
        assert_eq!(ring.next(Some(old), 500).unwrap().offset, 512);
    }

    #[test]
    fn slots_outside_the_ring_are_refused() {
        let ring = Ring::new(8192);
        for slot in [
            at(0, 5),
            at(511, 5),
            at(8192, 5),
            at(512, 0),
            at(512, 7681),
            at(u64::MAX, u64::MAX),
            at(512, 1 << 40),
        ] {
            assert!(ring.locate(&slot, 4096).is_err(), "{slot:?}");
        }
    }

    proptest! {
        #[test]
        fn a_new_text_lies_in_the_ring_and_never_touches_the_old_one(
            size in 32u64..4000, lengths in prop::collection::vec(1u64..3000, 1..40)
        ) {
            let ring = Ring::new(size * 512);
            let mut old: Option<TextPlace> = None;
            for length in lengths {
                let Ok(new) = ring.next(old, length) else {
                    prop_assert!(length > ring.capacity());
                    continue;
                };
                prop_assert_eq!(new.first + new.wrapped, length);
                prop_assert!(new.offset % 512 == 0 && new.offset >= 512 && new.offset + new.first <= size * 512);
                prop_assert!(old.is_none_or(|old| !new.harms(&old)));
                let read = ring.locate(&at(new.offset, length), 0).unwrap();
                prop_assert_eq!(read, new);
                old = Some(new);
            }
        }
    }
}
