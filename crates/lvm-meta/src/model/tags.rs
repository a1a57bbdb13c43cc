//! Tags of a VG, PV, LV or segment, in one allocation.

use std::fmt;

use super::part::Part;
use crate::text::{needs_escapes, push_quoted};
use crate::{NameError, Tag};

/// A list of tags in the order of the text, each once.
///
/// The tags of a text that was read are kept as they are, legal or not.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Joined by NUL, which no text can hold; `None` for no tags.
    joined: Option<Part<str>>,
}

impl Tags {
    /// A list of tags; a second one of the same text is dropped.
    pub fn new<'a>(tags: impl IntoIterator<Item = &'a Tag>) -> Self {
        Self::from_texts(tags.into_iter().map(Tag::as_str))
    }

    pub(crate) fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut seen = Vec::new();
        let mut set = std::collections::HashSet::new();
        let mut length = 0usize;
        for text in texts {
            // Few tags are compared one by one, many through a set.
            let is_new = if seen.len() < 16 {
                !seen.contains(&text)
            } else {
                if set.is_empty() {
                    set.extend(seen.iter().copied());
                }
                set.insert(text)
            };
            if is_new {
                length = length.saturating_add(text.len()).saturating_add(1);
                seen.push(text);
            }
        }
        if seen.is_empty() {
            return Self::default();
        }
        let mut joined = String::with_capacity(length.saturating_sub(1));
        for (at, text) in seen.iter().enumerate() {
            if at > 0 {
                joined.push('\0');
            }
            joined.push_str(text);
        }
        Self {
            joined: Some(joined.as_str().into()),
        }
    }

    /// Tags that come once, joined by NUL.
    pub(super) fn from_joined(joined: Option<Part<str>>) -> Self {
        Self { joined }
    }

    /// The tags joined by NUL; `None` for no tags.
    pub(super) fn joined(&self) -> Option<&str> {
        self.joined.as_deref()
    }

    /// The tags, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.joined.iter().flat_map(|joined| joined.split('\0'))
    }

    /// Why tags are not legal; most are.
    pub(crate) fn errors(&self) -> impl Iterator<Item = NameError> {
        let suspects = self.joined.as_deref().filter(|joined| !Tag::are_legal(joined));
        let suspects = suspects.into_iter().flat_map(|joined| joined.split('\0'));
        suspects.filter_map(|tag| Tag::check(tag).err())
    }

    /// Appends them as a list of quoted words.
    pub(crate) fn print(&self, out: &mut String) {
        let joined = self.joined.as_deref().unwrap_or_default();
        out.push('[');
        if needs_escapes(joined) {
            for (at, tag) in joined.split('\0').enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                push_quoted(out, tag);
            }
        } else {
            out.push('"');
            for (at, tag) in joined.split('\0').enumerate() {
                out.push_str(if at == 0 { "" } else { "\", \"" });
                out.push_str(tag);
            }
            out.push('"');
        }
        out.push(']');
    }

    /// Tells whether a tag is in the list.
    pub fn contains(&self, tag: &str) -> bool {
        self.iter().any(|own| own == tag)
    }

    /// The number of tags.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.joined.is_none()
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_their_order_and_come_once() {
        let tags = Tags::from_texts(["b", "a", "b", ""]);
        assert_eq!(tags.iter().collect::<Vec<_>>(), ["b", "a", ""]);
        assert_eq!(tags.len(), 3);
        assert!(tags.contains("a") && !tags.contains("c"));
        assert!(Tags::from_texts([]).is_empty());
        assert!(!Tags::from_texts([""]).is_empty());
    }

    #[test]
    fn many_tags_come_once_too() {
        let texts: Vec<String> = (0..100).map(|n| format!("t{}", n % 40)).collect();
        assert_eq!(Tags::from_texts(texts.iter().map(String::as_str)).len(), 40);
    }
}
