//! Finds the slots of LVs by a key that stands in the LV itself.

use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;

use crate::hash::Seed;

/// A hash table of slots.  It holds no keys: whoever asks compares the LV in a slot with what he looks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// A power of two of places, probed one after the other; at most three quarters are taken.
    places: Vec<Option<Place>>,
    len: usize,
    seed: Seed,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    hash: Hash,
    /// The slot's number and one more: so a free place needs no room to say that it is free.
    slot: NonZeroU32,
}

impl Place {
    fn new(hash: Hash, slot: u32) -> Self {
        let slot = NonZeroU32::MIN.saturating_add(slot);
        Self { hash, slot }
    }

    fn slot(self) -> u32 {
        self.slot.get().wrapping_sub(1)
    }
}

/// The hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u32);

impl Index {
    /// The hash of a key in this table.
    pub(super) fn hash(&self, key: &[u8]) -> Hash {
        let mut hasher = self.seed.build_hasher();
        hasher.write(key);
        // The lower half is as good as any.
        Hash(u32::try_from(hasher.finish() & 0xffff_ffff).unwrap_or_default())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn mask(&self) -> usize {
        self.places.len().saturating_sub(1)
    }

    /// The place where a hash would like to be.
    fn home(&self, hash: Hash) -> usize {
        usize::try_from(hash.0).unwrap_or_default() & self.mask()
    }

    fn next(&self, place: usize) -> usize {
        place.wrapping_add(1) & self.mask()
    }

    fn at(&self, place: usize) -> Option<Place> {
        self.places.get(place).copied().flatten()
    }

    /// The place and slot of the key of a hash, by what `is_it` says of slots.
    fn find(&self, hash: Hash, is_it: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        let mut place = self.home(hash);
        while let Some(found) = self.at(place) {
            if found.hash == hash && is_it(found.slot()) {
                return Some((place, found.slot()));
            }
            place = self.next(place);
        }
        None
    }

    /// Looks at the places where these hashes would like to be.
    ///
    /// In a large table each key lies where nobody looked lately.  A look at many that do not wait for each other lets the
    /// processor fetch them together; one key after the other, each costs a wait for memory.
    pub(super) fn warm(&self, hashes: impl Iterator<Item = Hash>) {
        let taken = hashes.filter(|hash| self.at(self.home(*hash)).is_some()).count();
        // Nobody asks how many there are, but the look must be made.
        std::hint::black_box(taken);
    }

    /// The slot of a key.
    pub(super) fn get(&self, hash: Hash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.find(hash, is_it).map(|(_, slot)| slot)
    }

    /// Adds the slot of a key that is not there.
    pub(super) fn insert(&mut self, hash: Hash, slot: u32) {
        self.add(hash, slot, |_| false);
    }

    /// Adds the slot of a key; false, and nothing is added, when the key is there by what `is_it` says of slots.
    pub(super) fn add(&mut self, hash: Hash, slot: u32, is_it: impl Fn(u32) -> bool) -> bool {
        self.reserve(1);
        let is_new = self.put(Place::new(hash, slot), is_it);
        self.len = self.len.saturating_add(usize::from(is_new));
        is_new
    }

    fn put(&mut self, new: Place, is_it: impl Fn(u32) -> bool) -> bool {
        let mut place = self.home(new.hash);
        while let Some(found) = self.at(place) {
            if found.hash == new.hash && is_it(found.slot()) {
                return false;
            }
            place = self.next(place);
        }
        if let Some(free) = self.places.get_mut(place) {
            *free = Some(new);
        }
        true
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, hash: Hash, slot: u32) {
        let Some((mut hole, _)) = self.find(hash, |found| found == slot) else {
            return;
        };
        self.len = self.len.saturating_sub(1);
        // What was pushed past the hole moves into it, so that a search need not go on behind a free place.
        let mut place = self.next(hole);
        while let Some(found) = self.at(place) {
            let way = |from: usize, to: usize| to.wrapping_sub(from) & self.mask();
            if way(self.home(found.hash), place) >= way(hole, place) {
                self.places.swap(hole, place);
                hole = place;
            }
            place = self.next(place);
        }
        if let Some(last) = self.places.get_mut(hole) {
            *last = None;
        }
    }

    /// Makes room for `count` more.
    pub(super) fn reserve(&mut self, count: usize) {
        let needed = self.len.saturating_add(count);
        let room = self.places.len().saturating_sub(self.places.len() / 4);
        if needed <= room {
            return;
        }
        // Twice as many places as keys at least, so that it is not needed again soon.
        let size = needed.saturating_mul(3).div_ceil(2).next_power_of_two().max(8);
        let old = std::mem::replace(&mut self.places, vec![None; size]);
        old.into_iter().flatten().for_each(|place| {
            self.put(place, |_| false);
        });
    }

    /// Gives every slot another number.
    pub(super) fn renumber(&mut self, number: impl Fn(u32) -> u32) {
        for place in self.places.iter_mut().flatten() {
            *place = Place::new(place.hash, number(place.slot()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_map_finds(steps in proptest::collection::vec((0u32..60, any::<bool>()), 1..400)) {
            let (mut index, mut map) = (Index::default(), HashMap::new());
            // Few hashes, so that many keys want one place.
            let hash = |key: u32| Hash(key % 7 * 5);
            for (slot, (key, adds)) in (0u32..).zip(steps) {
                // The keys of slots are in the map only.
                let slot_of = |map: &HashMap<u32, u32>| map.get(&key).copied();
                match (adds, slot_of(&map)) {
                    (true, None) => {
                        prop_assert!(index.add(hash(key), slot, |_| false));
                        map.insert(key, slot);
                    }
                    (true, Some(there)) => prop_assert!(!index.add(hash(key), slot, |slot| slot == there)),
                    (false, Some(slot)) => {
                        index.remove(hash(key), slot);
                        map.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(index.len(), map.len());
                for key in 0..60 {
                    let expected = map.get(&key).copied();
                    prop_assert_eq!(index.get(hash(key), |slot| Some(slot) == expected), expected);
                }
            }
        }
    }

    #[test]
    fn an_empty_index_has_nothing() {
        let index = Index::default();
        assert_eq!(index.get(index.hash(b"a"), |_| true), None);
    }
}
