//! Numbers by a seed, the same on every machine.

use uuid::Uuid;

/// SplitMix64.
pub(crate) struct Random(u64);

/// What can be told apart by a number that stays the same, whatever else there is.
pub(crate) trait Key: Copy {
    fn key(self) -> u64;
}

impl Key for Uuid {
    fn key(self) -> u64 {
        let bits = self.as_u128();
        (bits >> 64) as u64 ^ bits as u64
    }
}

impl Key for usize {
    fn key(self) -> u64 {
        self as u64
    }
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The numbers of one step: they do not depend on the steps before it.
    pub(crate) fn of_step(seed: u64, step: usize) -> Self {
        Self(mixed(seed) ^ mixed(!(step as u64)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// One of `0..count`; 0 when there are none.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    /// Returns `true` once in so many calls.
    pub(crate) fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of these, if there are any.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len());
        from.get(at).copied()
    }

    /// One of these, if there are any.  It stays the same one when others come or go, so that a step does the same
    /// without the steps that made the others.
    pub(crate) fn choose<T: Key>(&mut self, from: &[T]) -> Option<T> {
        let salt = self.next();
        from.iter().copied().max_by_key(|one| mixed(one.key() ^ salt))
    }
}

fn mixed(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// What a stamped block holds; the stamp 0 is a block of zeroes.
pub(crate) fn block(stamp: u64) -> Vec<u8> {
    if stamp == 0 {
        return vec![0; super::model::BLOCK];
    }
    let mut random = Random::new(stamp);
    let words = (0..super::model::BLOCK / 8).flat_map(|_| random.next().to_le_bytes());
    words.collect()
}
