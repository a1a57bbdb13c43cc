//! A reader for text that stands as LVM prints it, to the byte.
//!
//! It knows what comes next and compares, where the [lexer](super::Lexer) looks at each byte for what it may be.  It
//! gives up at the first thing that is not as expected: the lexer then reads that place, and says what is wrong if
//! something is.

/// What is left of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'a> {
    rest: &'a str,
}

/// Digits that fit 64 bits whatever they are.
const DIGITS_LIMIT: usize = 18;

impl<'a> Plain<'a> {
    pub(super) fn new(rest: &'a str) -> Self {
        Self { rest }
    }

    /// What was not read.
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    /// Passes over this text.
    #[inline]
    pub(crate) fn literal(&mut self, expected: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// Passes over this text if it is there.
    #[inline]
    pub(crate) fn has(&mut self, expected: &str) -> bool {
        self.literal(expected).is_some()
    }

    /// The text up to a byte, which is passed over, too.
    #[inline]
    pub(crate) fn until(&mut self, end: u8) -> Option<&'a str> {
        self.take(find(self.rest.as_bytes(), [end])?)
    }

    /// This many bytes of what comes, and passes over them and one more.
    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest.get(1..)?;
        Some(text)
    }

    /// A string without escapes whose opening quote was read, up to its closing one.
    #[inline]
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        let length = find(self.rest.as_bytes(), [b'"', b'\\'])?;
        let is_end = self.rest.as_bytes().get(length) == Some(&b'"');
        is_end.then(|| self.take(length))?
    }

    /// A whole number without sign and leading zeroes.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        let bytes = self.rest.as_bytes();
        let (mut number, mut length) = (0u64, 0usize);
        for digit in bytes
            .iter()
            .map(|byte| byte.wrapping_sub(b'0'))
            .take_while(|digit| *digit < 10)
        {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            length = length.wrapping_add(1);
        }
        let is_octal = length > 1 && bytes.first() == Some(&b'0');
        if length == 0 || length > DIGITS_LIMIT || is_octal {
            return None;
        }
        self.rest = self.rest.get(length..)?;
        Some(number)
    }

    /// A number that fits 32 bits.
    #[inline]
    pub(crate) fn short(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }
}

/// The first place of any of these bytes.  Most strings are short: eight bytes at a time, without a call.
#[inline]
fn find<const COUNT: usize>(bytes: &[u8], wanted: [u8; COUNT]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let patterns = wanted.map(|byte| ONES.wrapping_mul(u64::from(byte)));
    let (words, tail) = bytes.as_chunks::<8>();
    let mut at = 0usize;
    for word in words {
        // A byte that is wanted becomes zero, and the lowest zero byte is the first to borrow into its high bit.
        let word = u64::from_le_bytes(*word);
        let marks = patterns.map(|pattern| {
            let differs = word ^ pattern;
            differs.wrapping_sub(ONES) & !differs & HIGHS
        });
        let found = marks.into_iter().fold(0, |all, marks| all | marks);
        if found != 0 {
            return usize::try_from(found.trailing_zeros() / 8)
                .ok()
                .map(|inside| at.wrapping_add(inside));
        }
        at = at.wrapping_add(8);
    }
    let inside = tail.iter().position(|byte| wanted.contains(byte))?;
    Some(at.wrapping_add(inside))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_the_lexer_reads_otherwise_are_left_to_it() {
        for (text, expected) in [
            ("0", Some(0)),
            ("17]", Some(17)),
            ("999999999999999999", Some(999_999_999_999_999_999)),
            ("9999999999999999999", None),
            ("017", None),
            ("-1", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(Plain::new(text).number(), expected, "{text}");
        }
    }

    #[test]
    fn strings_with_escapes_or_without_an_end_are_left_to_the_lexer() {
        assert_eq!(Plain::new("ab\"").string(), Some("ab"));
        assert_eq!(Plain::new("a\\\"b\"").string(), None);
        assert_eq!(Plain::new("ab").string(), None);
    }

    proptest! {
        #[test]
        fn the_first_of_two_bytes_is_found_where_it_is(bytes in proptest::collection::vec(any::<u8>(), 0..40), wanted: [u8; 2]) {
            prop_assert_eq!(find(&bytes, wanted), bytes.iter().position(|byte| wanted.contains(byte)));
        }
    }
}
