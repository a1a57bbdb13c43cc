//! What a command answers: JSON for programs, a table or a block of lines for people.

use lvm_native::pool::{Error, Gap, Listed, printable};
use serde_json::{Value, json};

/// The fields whose values are bytes; people read them in binary units.
const SIZES: [&str; 12] = [
    "capacity",
    "used",
    "committed",
    "disk_capacity",
    "extent_size",
    "size",
    "allocated",
    "chunk_size",
    "data_size",
    "data_used",
    "metadata_size",
    "metadata_used",
];

/// What a command prints.
pub(crate) enum Answer {
    /// One object.
    One(Value),
    /// A list of objects, of which people see these fields.
    Many(Vec<Value>, &'static [&'static str]),
    /// A list, with what could not be looked at.
    Partial(Vec<Value>, &'static [&'static str], Vec<Gap>),
    /// The command did its work and there is nothing to tell.
    Done,
    /// The command copied data; standard output holds that and nothing else.
    Copied,
}

impl Answer {
    /// A list with its gaps.  An empty list with a gap says nothing: that is an error.
    pub(crate) fn listed<T>(
        listed: Listed<T>,
        columns: &'static [&'static str],
        to_json: impl Fn(&T) -> Value,
    ) -> Result<Self, Error> {
        if listed.is_empty() {
            return listed.complete().map(|_| Self::Many(Vec::new(), columns));
        }
        let gaps = listed.gaps().to_vec();
        Ok(Self::Partial(listed.iter().map(to_json).collect(), columns, gaps))
    }

    /// What could not be looked at.
    pub(crate) fn gaps(&self) -> &[Gap] {
        match self {
            Self::Partial(_, _, gaps) => gaps,
            _ => &[],
        }
    }

    /// The answer for programs.
    pub(crate) fn json(self) -> Value {
        match self {
            Self::One(value) => value,
            Self::Many(values, _) | Self::Partial(values, _, _) => Value::Array(values),
            Self::Done | Self::Copied => json!({}),
        }
    }

    /// The answer for people: a line for each field of one object, a table for a list.
    pub(crate) fn text(self) -> String {
        match self {
            Self::One(Value::Object(fields)) => {
                let rows: Vec<Vec<String>> = fields
                    .iter()
                    .map(|(name, value)| vec![name.clone(), plain(name, value)])
                    .collect();
                table(&rows)
            }
            Self::One(value) => format!("{value}\n"),
            Self::Many(values, columns) | Self::Partial(values, columns, _) => {
                let mut rows = vec![columns.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>()];
                for value in &values {
                    let cell = |name: &&str| plain(name, value.get(*name).unwrap_or(&Value::Null));
                    rows.push(columns.iter().map(cell).collect());
                }
                if values.is_empty() {
                    String::new()
                } else {
                    table(&rows)
                }
            }
            Self::Done | Self::Copied => String::new(),
        }
    }
}

fn plain(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => printable(text),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        Value::Number(number) => match number.as_u64() {
            Some(bytes) if SIZES.contains(&name) => size(bytes),
            _ => number.to_string(),
        },
        Value::Array(values) if values.is_empty() && name == "done" => "nothing to do".into(),
        Value::Array(values) if values.is_empty() => "-".into(),
        Value::Array(values) => values
            .iter()
            .map(|value| plain("", value))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Object(fields) => {
            let parts = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", plain(name, value)));
            parts.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Bytes in the largest unit that keeps two digits behind the point at most.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let at = (1..units.len())
        .rev()
        .find(|at| bytes >= 1 << (10 * at))
        .unwrap_or(0);
    let whole = 1_u64 << (10 * at);
    match bytes % whole {
        0 => format!("{} {}", bytes / whole, units[at]),
        _ => format!("{:.2} {}", bytes as f64 / whole as f64, units[at]),
    }
}

/// Rows whose columns stand below each other.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        rows.iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
