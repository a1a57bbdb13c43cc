//! Commands that go on: a line for each thing that happens.

use std::io::{self, Write};

use lvm_native::pool::{Error, printable};
use serde_json::Value;

/// Standard output, a line at a time.
pub(crate) struct Out {
    json: bool,
    failed: Option<io::Error>,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, failed: None }
    }

    /// Prints an object: its fields, or JSON.
    pub(crate) fn line(&mut self, line: &Value) {
        let text = match (self.json, line) {
            (false, Value::Object(fields)) => {
                let words = fields.iter().map(|(name, value)| match value {
                    Value::String(text) => format!("{name}={}", printable(text)),
                    value => format!("{name}={value}"),
                });
                words.collect::<Vec<_>>().join(" ")
            }
            _ => line.to_string(),
        };
        let mut out = io::stdout().lock();
        if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
            self.failed = Some(error);
        }
    }

    /// Is nobody there any more who reads?
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    pub(crate) fn result(&mut self) -> Result<(), Error> {
        match self.failed.take() {
            // The reader has what it wanted.
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Io {
                what: "write",
                path: "standard output".into(),
                source: error,
            }),
            _ => Ok(()),
        }
    }
}
