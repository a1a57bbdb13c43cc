//! How messages show sizes and lists, and text that others wrote.

use std::fmt::{self, Display, Write};
use std::path::PathBuf;

/// Bytes in the largest unit that keeps two digits behind the point at most.
pub(crate) struct Size(pub(crate) u64);

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let at = (1..UNITS.len())
            .rev()
            .find(|at| self.0 >= 1 << (10 * at))
            .unwrap_or(0);
        let (whole, unit) = (1_u64 << (10 * at), UNITS.get(at).copied().unwrap_or("B"));
        let (units, rest) = (self.0 / whole, self.0 % whole);
        // Cut, not rounded: what is free is never told as more than it is.
        match u128::from(rest) * 100 / u128::from(whole) {
            0 if rest == 0 => write!(f, "{units} {unit}"),
            hundredths => write!(f, "{units}.{hundredths:02} {unit}"),
        }
    }
}

/// Text that others wrote, without what could command a terminal: control characters, and those that change the direction
/// of what follows, are shown by their numbers.
pub fn printable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let is_hidden =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || is_hidden {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Paths with commas between them.
pub(crate) fn paths(paths: &[PathBuf]) -> String {
    let mut text = String::new();
    for (at, path) in paths.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        // A string takes all that is written.
        let _ = write!(text, "{comma}{}", printable(&path.display().to_string()));
    }
    match paths.is_empty() {
        true => "no disk".into(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_largest_unit_and_never_as_more_than_they_are() {
        let shown = |bytes| Size(bytes).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(25_165_824), "24 MiB");
        assert_eq!(shown(1_333_788_672), "1.24 GiB");
        assert_eq!(shown((1 << 30) + 1), "1.00 GiB");
        assert_eq!(shown((2 << 30) - 1), "1.99 GiB");
        assert_eq!(shown(u64::MAX), "15.99 EiB");
    }

    #[test]
    fn nothing_that_commands_a_terminal_is_printed() {
        assert_eq!(
            printable("a\u{1b}[2Jb\n\u{7f}\u{9b}"),
            "a\\u{1b}[2Jb\\n\\u{7f}\\u{9b}"
        );
        assert_eq!(printable("gr\u{fc}n \u{202e}x"), "gr\u{fc}n \\u{202e}x");
    }
}
