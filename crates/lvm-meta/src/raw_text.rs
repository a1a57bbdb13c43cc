//! A text as it goes to a disk.

use std::borrow::Cow;

use crate::bytes::SECTOR;

/// A text for a disk, its closing NUL included.
///
/// Zeroes may follow it in memory: texts are written up to the end of their last sector, and one that is a sector short of
/// its memory's end is written from there, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct RawText<'a> {
    memory: &'a [u8],
    length: usize,
}

/// The zeroes behind a text that no sector needs more of.
pub(crate) const ROOM: &str = match str::from_utf8(&[0; SECTOR]) {
    Ok(zeroes) => zeroes,
    Err(_) => "",
};

impl<'a> RawText<'a> {
    /// A text with [`ROOM`] behind it.
    pub(crate) fn before_room(memory: &'a [u8]) -> Self {
        let length = memory.len().saturating_sub(ROOM.len());
        Self { memory, length }
    }

    /// The text, its closing NUL included.
    pub fn bytes(self) -> &'a [u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }

    /// The text from byte `from` on, with zeroes behind it.
    pub(crate) fn padded(self, from: usize, zeroes: usize) -> Cow<'a, [u8]> {
        let end = self.length.saturating_add(zeroes);
        if let Some(bytes) = self.memory.get(from..end) {
            return Cow::Borrowed(bytes);
        }
        let mut bytes = self.bytes().get(from..).unwrap_or_default().to_vec();
        bytes.resize(bytes.len().saturating_add(zeroes), 0);
        Cow::Owned(bytes)
    }
}

impl<'a, B: AsRef<[u8]> + ?Sized> From<&'a B> for RawText<'a> {
    fn from(bytes: &'a B) -> Self {
        let memory = bytes.as_ref();
        let length = memory.len();
        Self { memory, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_copied_only_where_no_zeroes_follow_it() {
        let memory = format!("text\0{ROOM}");
        let text = RawText::before_room(memory.as_bytes());
        assert_eq!(text.bytes(), b"text\0");
        assert!(matches!(text.padded(1, 511), Cow::Borrowed(bytes) if bytes.len() == 515));
        let bare = RawText::from(b"text\0");
        assert!(matches!(bare.padded(0, 0), Cow::Borrowed(b"text\0")));
        assert!(matches!(bare.padded(2, 3), Cow::Owned(bytes) if bytes == b"xt\0\0\0\0"));
    }
}
