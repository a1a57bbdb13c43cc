//! Parts of lists that many LVs share.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A part of a text or a list.
///
/// What is read of a text stands together, a hundred LVs in one allocation: names and tags of one, segments of another.
/// An LV that changes gets its own.  What owns the list lies behind the pointer with it, so that a part takes 16 bytes.
pub(super) struct Part<L: ?Sized + ToOwned> {
    all: Arc<L::Owned>,
    from: u32,
    /// [`END`] for all from `from` on.
    to: u32,
}

/// Stands for the end, wherever that is.
const END: u32 = u32::MAX;

impl<L: ?Sized + ToOwned> Part<L> {
    /// All of a list.
    fn whole(all: Arc<L::Owned>) -> Self {
        let (from, to) = (0, END);
        Self { all, from, to }
    }

    fn range(&self) -> Range<usize> {
        let index = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        index(self.from)..index(self.to)
    }
}

/// A range in the 32 bits that a part has for it.
fn short(range: &Range<usize>) -> Option<(u32, u32)> {
    let to = u32::try_from(range.end).ok().filter(|to| *to != END)?;
    Some((u32::try_from(range.start).ok()?, to))
}

impl Part<str> {
    /// A part of a text.
    pub(super) fn of(all: &Arc<String>, range: Range<usize>) -> Self {
        match short(&range) {
            Some((from, to)) => Self {
                all: all.clone(),
                from,
                to,
            },
            None => Self::from(all.get(range).unwrap_or_default()),
        }
    }
}

impl<T: Clone> Part<[T]> {
    /// A part of a list.
    pub(super) fn of(all: &Arc<Vec<T>>, range: Range<usize>) -> Self {
        match short(&range) {
            Some((from, to)) => Self {
                all: all.clone(),
                from,
                to,
            },
            None => Self::from(all.get(range).unwrap_or_default().to_vec()),
        }
    }
}

impl From<&str> for Part<str> {
    fn from(text: &str) -> Self {
        Self::whole(Arc::new(text.to_owned()))
    }
}

impl<T: Clone> From<Vec<T>> for Part<[T]> {
    fn from(list: Vec<T>) -> Self {
        Self::whole(Arc::new(list))
    }
}

impl Deref for Part<str> {
    type Target = str;

    fn deref(&self) -> &str {
        let Range { start, end } = self.range();
        let end = end.min(self.all.len());
        self.all.get(start..end).unwrap_or_default()
    }
}

impl<T: Clone> Deref for Part<[T]> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let Range { start, end } = self.range();
        let end = end.min(self.all.len());
        self.all.get(start..end).unwrap_or_default()
    }
}

impl<L: ?Sized + ToOwned> Clone for Part<L> {
    fn clone(&self) -> Self {
        let (all, from, to) = (self.all.clone(), self.from, self.to);
        Self { all, from, to }
    }
}

impl<L: ?Sized + ToOwned + PartialEq> PartialEq for Part<L>
where
    Self: Deref<Target = L>,
{
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<L: ?Sized + ToOwned + Eq> Eq for Part<L> where Self: Deref<Target = L> {}

impl<L: ?Sized + ToOwned + fmt::Debug> fmt::Debug for Part<L>
where
    Self: Deref<Target = L>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_equal_by_what_they_hold() {
        let text = Arc::new("abcab".to_owned());
        let [first, second] = [0..2, 3..5].map(|range| Part::<str>::of(&text, range));
        assert_eq!(first, second);
        assert_eq!(first, Part::from("ab"));
        assert_eq!(&*Part::<str>::of(&text, 5..5), "");
        let list = Arc::new(vec![1, 2, 3]);
        assert_eq!(&*Part::<[u8]>::of(&list, 1..3), [2, 3]);
        assert_eq!(&*Part::from(vec![4, 5]), [4, 5]);
    }

    #[test]
    fn a_range_past_32_bits_is_not_cut() {
        assert_eq!(short(&(3..usize::MAX)), None);
        assert_eq!(short(&(3..7)), Some((3, 7)));
    }
}
