//! The order of the words of `status` and `flags`, where it is not the one in which LVM writes them.

use std::borrow::Cow;

/// The order in which words came, if it was an odd one.  What is known keeps its place among what is not: whoever wrote
/// it so may read it so.
///
/// It is no part of what a VG says: two orders are equal.
#[derive(Clone, Debug, Default)]
pub(super) struct WordOrder(Option<Box<[Box<str>]>>);

impl PartialEq for WordOrder {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for WordOrder {}

impl WordOrder {
    /// The order of words that are printed so without it.
    pub(super) fn of(
        came: &[Cow<'_, str>],
        known: impl Iterator<Item = &'static str>,
        unknown: &[Box<str>],
    ) -> Self {
        let known = known.map(|word| -> &str { word });
        let mut printed = known.chain(unknown.iter().map(AsRef::as_ref));
        let is_same = came.iter().all(|word| printed.next() == Some(word)) && printed.next().is_none();
        let order = || came.iter().map(|word| word.as_ref().into()).collect();
        Self((!is_same).then(order))
    }

    pub(super) fn is_odd(&self) -> bool {
        self.0.is_some()
    }

    /// The place of a word; one that did not come stands behind all that did.
    pub(super) fn place(&self, word: &str) -> usize {
        let mut came = self.0.iter().flatten();
        came.position(|other| **other == *word).unwrap_or(usize::MAX)
    }
}
