//! The device filters of `lvm.conf`: `devices/filter` and `devices/global_filter`.
//!
//! A filter is a list of patterns, `a` (accept) or `r` (reject) with a regular expression between two
//! separators: `a|^/dev/sd|`, `r(.*)`.  For each name of a device the first pattern that matches decides.  One accepted name
//! accepts the device; otherwise one rejected name rejects it; a device that nothing matches is accepted.
//!
//! LVM's expressions have `. [] ^ $ \ * + ? | ()` only, so they are translated: everything else is literal.  Its
//! engine runs over the name with a byte 2 before it and a byte 3 after it, for which `^` and `$` stand; as `.`
//! and `[^x]` match those bytes too, the same is done here.  Reference: LVM2 `lib/filters/filter-regex.c`, `libdm/regex`.

use std::path::Path;

use regex_lite::{Regex, RegexBuilder};

use super::{Error, Result};

/// Longest pattern that is taken.
const PATTERN_LIMIT: usize = 4096;
/// Stands before a name, for `^`.
const BEGIN: char = '\u{2}';
/// Stands after a name, for `$`.
const END: char = '\u{3}';

/// One list of accept and reject patterns.
#[derive(Clone, Debug, Default)]
pub struct Filter(Vec<Pattern>);

#[derive(Clone, Debug)]
struct Pattern {
    accept: bool,
    regex: Regex,
}

impl Filter {
    /// Reads the patterns of a filter setting; none accept everything.
    ///
    /// # Errors
    /// [`Error::FilterPattern`] for the first one that LVM would refuse too.
    pub fn parse<P: AsRef<str>>(patterns: &[P]) -> Result<Self> {
        patterns
            .iter()
            .map(|pattern| Pattern::parse(pattern.as_ref()))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Whether a device with these names (its node and the links to it) may be used.
    pub fn accepts<P: AsRef<Path>>(&self, names: &[P]) -> bool {
        let mut verdicts = names
            .iter()
            .filter_map(|name| self.verdict(name.as_ref()))
            .peekable();
        verdicts.peek().is_none() || verdicts.any(|accept| accept)
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn verdict(&self, name: &Path) -> Option<bool> {
        let text = format!("{BEGIN}{}{END}", name.to_string_lossy());
        self.0
            .iter()
            .find(|pattern| pattern.regex.is_match(&text))
            .map(|pattern| pattern.accept)
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let refuse = |why| Error::FilterPattern {
            pattern: text.chars().take(140).collect(),
            why,
        };
        if text.len() > PATTERN_LIMIT {
            return Err(refuse("it is longer than 4096 bytes"));
        }
        let mut chars = text.chars();
        let accept = match chars.next() {
            Some('a') => true,
            Some('r') => false,
            _ => return Err(refuse("it begins with neither 'a' nor 'r'")),
        };
        let close = match chars
            .next()
            .ok_or_else(|| refuse("it ends before its separator"))?
        {
            '(' => ')',
            '[' => ']',
            '{' => '}',
            same => same,
        };
        let body = chars
            .as_str()
            .strip_suffix(close)
            .ok_or_else(|| refuse("its separators do not match"))?;
        if body.is_empty() {
            return Err(refuse("there is nothing between its separators"));
        }
        let regex = translate(body).map_err(refuse)?;
        let regex = RegexBuilder::new(&regex)
            .build()
            .map_err(|_| refuse("its regular expression is not valid"))?;
        Ok(Self { accept, regex })
    }
}

/// Turns LVM's dialect into the regex crate's.
fn translate(body: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(body.len().saturating_mul(2));
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            '^' => out.push(BEGIN),
            '$' => out.push(END),
            '.' => out.push_str("[^\\n\\r]"),
            '*' | '+' | '?' | '|' => out.push(c),
            '(' => out.push_str("(?:"),
            ')' => out.push(')'),
            '\\' => literal(escaped(&mut chars)?, &mut out),
            '[' => set(&mut chars, &mut out)?,
            _ => literal(c, &mut out),
        }
    }
    Ok(out)
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Result<char, &'static str> {
    Ok(match chars.next().ok_or("a backslash ends it")? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    })
}

fn literal(c: char, out: &mut String) {
    if c.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(c);
}

/// The rest of a `[set]`: escapes and ranges, whose ends may stand in either order.
fn set(chars: &mut std::str::Chars<'_>, out: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "a '[' has no ']'";
    out.push('[');
    let mut previous = None;
    let mut empty = true;
    let mut first = true;
    loop {
        match chars.next().ok_or(OPEN)? {
            '^' if first => out.push('^'),
            ']' if empty => return Err("a set is empty"),
            ']' => break,
            '-' if previous.is_some() => {
                let from = previous.take().unwrap_or('-');
                let to = chars.next().ok_or(OPEN)?;
                let (low, high) = if from <= to { (from, to) } else { (to, from) };
                literal(low, out);
                out.push('-');
                literal(high, out);
                // A range may go on from its end, as in `[a-f-k]`.
                previous = Some(to);
            }
            c => {
                let c = if c == '\\' { escaped(chars)? } else { c };
                literal(c, out);
                previous = Some(c);
                empty = false;
            }
        }
        first = false;
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(patterns: &[&str], names: &[&str]) -> bool {
        Filter::parse(patterns).unwrap().accepts(names)
    }

    #[test]
    fn the_first_pattern_that_matches_decides() {
        let patterns = ["a|^/dev/sdb$|", "r|^/dev/sd|", "a/loop/", "r/.*/"];
        for (name, expected) in [
            ("/dev/sdb", true),
            ("/dev/sdb1", false),
            ("/dev/sdc", false),
            ("/dev/loop3", true),
            ("/dev/vda", false),
        ] {
            assert_eq!(accepts(&patterns, &[name]), expected, "{name}");
        }
        assert!(
            accepts(&["r|/dev/sda|"], &["/dev/vda"]),
            "nothing matches: accepted"
        );
        assert!(accepts(&[], &["/dev/vda"]));
    }

    #[test]
    fn one_accepted_link_accepts_the_device() {
        let patterns = ["a|/dev/disk/by-id/wwn-1|", "r|.*|"];
        assert!(accepts(&patterns, &["/dev/sda", "/dev/disk/by-id/wwn-1"]));
        assert!(!accepts(&patterns, &["/dev/sda", "/dev/disk/by-id/wwn-2"]));
        assert!(
            !accepts(&["r|/dev/disk|"], &["/dev/sda", "/dev/disk/by-id/x"]),
            "one link rejects if none accepts"
        );
    }

    #[test]
    fn brackets_separate_patterns_too() {
        assert!(!accepts(&["r(sda)"], &["/dev/sda"]));
        assert!(!accepts(&["r[sda]"], &["/dev/sda"]));
        assert!(!accepts(&["r{sda}"], &["/dev/sda"]));
        assert!(!accepts(&["r#sda#"], &["/dev/sda"]));
    }

    #[test]
    fn characters_that_only_other_dialects_know_are_literal() {
        assert!(!accepts(&["r|/dev/a{2}|"], &["/dev/a{2}"]));
        assert!(accepts(&["r|/dev/a{2}|"], &["/dev/aa"]));
        assert!(
            !accepts(&[r"r|\d|"], &["/dev/x"]),
            "an escaped letter is that letter"
        );
        assert!(accepts(&[r"r|x\d|"], &["/dev/x1"]));
        assert!(
            accepts(&["r|[[:digit:]]x|"], &["/dev/1x"]),
            "a set ends at its first bracket"
        );
        assert!(
            !accepts(&["r|sd[a-ch-f]$|"], &["/dev/sdg"]),
            "a range may be written backwards"
        );
        assert!(!accepts(&["r|[&&~~]|"], &["/dev/a&b"]));
    }

    #[test]
    fn the_ends_of_a_name_count_as_characters() {
        assert!(!accepts(&["r|/dev/sda.|"], &["/dev/sda"]));
        assert!(!accepts(&["r|/dev/sda[^1]|"], &["/dev/sda"]));
        assert!(accepts(&["r|/dev/sda[^1]|"], &["/dev/sda1"]));
        assert!(accepts(&["r|x^|"], &["/dev/x"]));
    }

    #[test]
    fn patterns_that_lvm_refuses_are_refused() {
        for bad in [
            "", "x|a|", "a", "a|", "a|x", "a||", "r(x(", "r|(|", "r|[a|", "r|a\\|", "r|*|", "r|[]|", "r|[a-|",
        ] {
            let err = Filter::parse(&[bad]).unwrap_err();
            assert!(matches!(err, Error::FilterPattern { .. }), "{bad}: {err}");
        }
        assert!(Filter::parse(&[format!("a|{}|", "x".repeat(PATTERN_LIMIT))]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_filter_or_an_error(text in ".{0,40}", body in "[]ar|().*+?\\\\^$\\[-]{0,20}", name in ".{0,20}") {
            for pattern in [text, format!("r|{body}|")] {
                if let Ok(filter) = Filter::parse(&[pattern]) {
                    filter.accepts(&[&name]);
                }
            }
        }
    }
}
