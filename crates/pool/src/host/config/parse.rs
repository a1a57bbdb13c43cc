//! The grammar of LVM's configuration files: nested sections of `key = value`.

use std::borrow::Cow;

/// Deepest nesting of sections, as LVM's own parser has it.
const DEPTH_LIMIT: usize = 32;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    /// Kept as text: no setting that is read has one.
    Float(String),
    Text(String),
    List(Vec<Value>),
}

/// A section or a setting, by its whole path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) path: Vec<String>,
    /// `None` for a section.
    pub(super) value: Option<Value>,
}

/// What is wrong and in which line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) why: String,
}

/// Reads a whole file.  Never panics; memory is bounded by the input.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Node>, SyntaxError> {
    let text = decode(text);
    let mut parser = Parser {
        text: &text,
        rest: &text,
        nodes: Vec::new(),
        path: Vec::new(),
    };
    parser.section()?;
    Ok(parser.nodes)
}

/// A file's text.  Distributions ship a hundred kilobytes of comments that every process reads: the lossy way is slow.
pub(super) fn decode(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(text),
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    nodes: Vec<Node>,
    path: Vec<String>,
}

impl<'a> Parser<'a> {
    fn error<T>(&self, why: impl Into<String>) -> Result<T, SyntaxError> {
        let read = self.text.len().saturating_sub(self.rest.len());
        let lines = self.text.get(..read).unwrap_or_default().matches('\n');
        Err(SyntaxError {
            line: lines.count() + 1,
            why: why.into(),
        })
    }

    /// The next character that is neither white space nor comment; `None` at the end, which a NUL is too.
    fn peek(&mut self) -> Option<char> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            let c = self.rest.chars().next().filter(|c| *c != '\0')?;
            if c != '#' {
                return Some(c);
            }
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.advance(end);
        }
    }

    /// Takes this many bytes, which end at a character's end.
    fn advance(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn expect(&mut self, wanted: char) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(c) if c == wanted => {
                self.advance(1);
                Ok(())
            }
            Some(c) => self.error(format!("{c:?} stands where {wanted:?} should")),
            None => self.error(format!("it ends where {wanted:?} should stand")),
        }
    }

    /// All that stands between two braces, or in the file.  Not recursive: the path says how deep it is.
    fn section(&mut self) -> Result<(), SyntaxError> {
        let mut lengths = Vec::new();
        loop {
            match self.peek() {
                None if lengths.is_empty() => return Ok(()),
                None => return self.error("a section has no '}'"),
                Some('}') => match lengths.pop() {
                    Some(length) => {
                        self.advance(1);
                        self.path.truncate(length);
                    }
                    None => return self.error("a '}' has no section"),
                },
                Some(_) => {
                    let length = self.path.len();
                    let key = self.key()?;
                    self.path
                        .extend(key.split('/').filter(|part| !part.is_empty()).map(str::to_owned));
                    if self.path.len() > DEPTH_LIMIT {
                        return self.error("it is nested too deep");
                    }
                    if self.peek() == Some('{') {
                        self.advance(1);
                        self.nodes.push(Node {
                            path: self.path.clone(),
                            value: None,
                        });
                        lengths.push(length);
                    } else {
                        self.expect('=')?;
                        let value = self.value()?;
                        self.nodes.push(Node {
                            path: self.path.clone(),
                            value: Some(value),
                        });
                        self.path.truncate(length);
                    }
                }
            }
        }
    }

    fn key(&mut self) -> Result<String, SyntaxError> {
        let key = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => {
                let end = |c: char| c.is_ascii_whitespace() || matches!(c, '#' | '=' | '{' | '}' | '\0');
                self.advance(self.rest.find(end).unwrap_or(self.rest.len()))
                    .to_owned()
            }
        };
        if key.is_empty() {
            self.error("a name is missing")
        } else {
            Ok(key)
        }
    }

    fn value(&mut self) -> Result<Value, SyntaxError> {
        if self.peek() != Some('[') {
            return self.scalar();
        }
        self.advance(1);
        let mut list = Vec::new();
        loop {
            if self.peek() == Some(']') {
                self.advance(1);
                return Ok(Value::List(list));
            }
            list.push(self.scalar()?);
            if self.peek() == Some(',') {
                self.advance(1);
            } else if self.peek() != Some(']') {
                return self.error("a list has no ']'");
            }
        }
    }

    fn scalar(&mut self) -> Result<Value, SyntaxError> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote).map(Value::Text),
            Some('[' | ']' | '{' | '}' | '=' | ',') | None => self.error("a value is missing"),
            Some('0'..='9' | '+' | '-' | '.') => {
                let end = self
                    .rest
                    .char_indices()
                    .skip(1)
                    .find(|(_, c)| !c.is_ascii_digit() && *c != '.');
                let text = self.advance(end.map_or(self.rest.len(), |(at, _)| at));
                match number(text) {
                    Some(number) => Ok(Value::Int(number)),
                    None if text.contains('.') => Ok(Value::Float(text.to_owned())),
                    None => self.error(format!("{text} is no number of 64 bits")),
                }
            }
            Some(_) => {
                let end = |c: char| {
                    c.is_ascii_whitespace() || matches!(c, '#' | '=' | '{' | '}' | ',' | ']' | '\0')
                };
                let text = self.advance(self.rest.find(end).unwrap_or(self.rest.len()));
                Ok(Value::Text(text.to_owned()))
            }
        }
    }

    /// Text in quotes: in double quotes a backslash keeps a quote or another backslash.
    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        self.advance(1);
        let mut out = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.advance(at + 1);
                    return Ok(out);
                }
                '\0' => break,
                '\\' if quote == '"' => match chars.next() {
                    Some((_, next @ ('"' | '\\'))) => out.push(next),
                    Some((_, next)) => out.extend(['\\', next]),
                    None => break,
                },
                _ => out.push(c),
            }
        }
        self.error("a quote is not closed")
    }
}

/// Decimal, or octal after a zero, as LVM reads them.
fn number(text: &str) -> Option<i64> {
    let digits = text.trim_start_matches(['+', '-']);
    if digits.len() > 1 && digits.starts_with('0') {
        return i64::from_str_radix(text, 8).ok();
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, Value)> {
        let nodes = parse(text.as_bytes()).unwrap();
        nodes
            .into_iter()
            .filter_map(|node| Some((node.path.join("/"), node.value?)))
            .collect()
    }

    #[test]
    fn sections_paths_and_all_kinds_of_values_are_read() {
        let text = r#"
            # a comment { with a brace
            devices { dir = "/dev" filter = [ "a|x|", 'r|\.|', ] # and one here
                inner { deep = .5 } empty = [] bare = word
            }
            "global" { umask = 077 n = -3 q = "a\"b\\c\n" }
            activation/udev_sync=0
        "#;
        let text_value = |text: &str| Value::Text(text.into());
        assert_eq!(
            values(text),
            [
                ("devices/dir".into(), text_value("/dev")),
                (
                    "devices/filter".into(),
                    Value::List(vec![text_value("a|x|"), text_value(r"r|\.|")])
                ),
                ("devices/inner/deep".into(), Value::Float(".5".into())),
                ("devices/empty".into(), Value::List(Vec::new())),
                ("devices/bare".into(), text_value("word")),
                ("global/umask".into(), Value::Int(0o77)),
                ("global/n".into(), Value::Int(-3)),
                ("global/q".into(), text_value("a\"b\\c\\n")),
                ("activation/udev_sync".into(), Value::Int(0)),
            ]
        );
    }

    #[test]
    fn broken_files_are_errors_with_their_line() {
        for (text, line) in [
            ("a {\n b = 1\n", 3),
            ("}", 1),
            ("a {\n b = \n}", 3),
            ("a = [1, 2", 1),
            ("a = [1 2]", 1),
            ("\n\na = \"x", 3),
            ("a = 99999999999999999999", 1),
            ("a", 1),
            ("= 1", 1),
            ("a = {", 1),
        ] {
            assert_eq!(
                parse(text.as_bytes()).map_err(|err| err.line),
                Err(line),
                "{text}"
            );
        }
        let deep = "a {".repeat(40);
        assert!(parse(deep.as_bytes()).unwrap_err().why.contains("deep"));
        assert!(parse("a/".repeat(100).as_bytes()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_an_error(text in "[a-c{}\\[\\]=,\"'#\\\\ \n0-9./-]{0,60}", bytes in proptest::collection::vec(0..=255_u8, 0..60)) {
            let _ = parse(text.as_bytes());
            let _ = parse(&bytes);
        }
    }
}
