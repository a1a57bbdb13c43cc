//! Tree to text, and the pieces that the printer of VGs shares.

use std::fmt;

use super::node::{Body, Node, Section, Value};

/// Does a string hold what stands escaped in quotes?
pub(crate) fn needs_escapes(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.contains(&b'"') || bytes.contains(&b'\\')
}

/// Appends a string in double quotes with LVM's two escapes.
pub(crate) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    if needs_escapes(text) {
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
    } else {
        out.push_str(text);
    }
    out.push('"');
}

/// Appends a number in decimal; the metadata of a large VG holds hundreds of thousands.
pub(crate) fn push_u64(out: &mut String, number: u64) {
    let mut digits = [0u8; 20];
    let mut first = digits.len();
    let mut rest = number;
    loop {
        first = first.saturating_sub(1);
        let digit = u8::try_from(rest % 10).unwrap_or_default();
        if let Some(slot) = digits.get_mut(first) {
            *slot = b'0' | digit;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let text = digits
        .get(first..)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    out.push_str(text.unwrap_or_default());
}

/// Appends a key, in quotes where it would be read as something else without them.
pub(crate) fn push_key(out: &mut String, key: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+');
    if !key.is_empty() && key.bytes().all(plain) {
        out.push_str(key);
    } else {
        push_quoted(out, key);
    }
}

/// Appends a value as it stands behind a key.
pub(crate) fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(text) => out.push_str(text),
        Value::Str(text) => push_quoted(out, text),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                push_value(out, item);
            }
            out.push(']');
        }
    }
}

impl Node {
    /// Appends the node and a newline, without indentation.
    pub(crate) fn print(&self, out: &mut String) {
        push_key(out, &self.key);
        match &self.body {
            Body::Value(value) => {
                out.push_str(" = ");
                push_value(out, value);
                out.push('\n');
            }
            Body::Section(section) => {
                out.push_str(" {\n");
                for node in &section.nodes {
                    node.print(out);
                }
                out.push_str("}\n");
            }
        }
    }
}

/// As LVM writes to a disk: one node a line, no indentation.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for node in &self.nodes {
            node.print(&mut out);
        }
        f.write_str(&out)
    }
}
