//! Bytes that are no UTF-8, as characters that hardly any text has.
//!
//! LVM takes any bytes in a string: a host's name, a path, or a description in Latin-1 are such.  They are read as
//! characters of a private plane, and written as the bytes that they were.

/// The character of byte 0x80; that of 0xff is the last one of Unicode.
const FIRST: u32 = 0x0010_ff80;

/// The first byte that can be no UTF-8.
const FIRST_BYTE: u32 = 0x80;

/// The text of bytes of which some are no UTF-8; `None` when it holds such characters of its own.
pub(crate) fn hide(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        if chunk.valid().chars().any(|c| hidden_byte(c).is_some()) {
            return None;
        }
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let offset = u32::from(*byte).saturating_sub(FIRST_BYTE);
            text.push(char::from_u32(FIRST.saturating_add(offset))?);
        }
    }
    Some(text)
}

/// The bytes of a text that [`hide`] made.
pub(crate) fn unhide(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, byte)) = rest
        .char_indices()
        .find_map(|(at, c)| Some((at, hidden_byte(c)?)))
    {
        let (before, behind) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(byte);
        let mut behind = behind.chars();
        behind.next();
        rest = behind.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn hidden_byte(c: char) -> Option<u8> {
    let offset = u32::from(c).checked_sub(FIRST)?;
    u8::try_from(offset.saturating_add(FIRST_BYTE)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_with_characters_of_the_plane_is_left_alone() {
        assert_eq!(hide("a\u{10ff80}".as_bytes()), None);
        assert_eq!(hide(b"a\xfcb").as_deref(), Some("a\u{10fffc}b"));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(text) = hide(&bytes) {
                prop_assert_eq!(unhide(&text), bytes);
            }
        }
    }
}
