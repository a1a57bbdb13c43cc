//! What disks hold, as it was found.

use serde::{Serialize, Serializer};

use crate::{DiskArea, Error, FoundPv, FoundVg, MdaHeader, MdaScan, Problem, RawLocation, Vg, VgId, text};

#[derive(Serialize)]
struct FoundVgForm<'a> {
    name: &'a str,
    id: Option<VgId>,
    vg: Option<&'a Vg>,
    /// Why the text cannot be read.
    error: Option<String>,
    /// Without the NUL; what is no UTF-8 is replaced.
    text: &'a str,
    pvs: &'a [FoundPv],
    problems: &'a [Problem],
    /// Why it is not to be changed: a message.
    ambiguous: Option<String>,
}

impl Serialize for FoundVg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FoundVgForm {
            name: &self.name,
            id: self.id,
            vg: self.vg.as_ref().ok(),
            error: message(&self.vg),
            text: &String::from_utf8_lossy(text::without_nul(&self.text)),
            pvs: &self.pvs,
            problems: &self.problems,
            ambiguous: self.ambiguous.as_ref().map(ToString::to_string),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct MdaScanForm<'a> {
    area: DiskArea,
    header: Option<&'a MdaHeader>,
    /// What is wrong with the header, or with its text.
    error: Option<String>,
}

/// Without the text, which is the VG's.
impl Serialize for MdaScan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text.as_ref().and_then(message);
        MdaScanForm {
            area: self.area,
            header: self.header.as_ref().ok(),
            error: message(&self.header).or(text),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct MdaHeaderForm {
    start: u64,
    size: u64,
    is_ignored: bool,
    committed: RawLocation,
    precommitted: RawLocation,
}

impl Serialize for MdaHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MdaHeaderForm {
            start: self.start,
            size: self.size,
            is_ignored: self.is_ignored(),
            committed: self.committed,
            precommitted: self.precommitted,
        }
        .serialize(serializer)
    }
}

fn message<T>(result: &Result<T, Error>) -> Option<String> {
    result.as_ref().err().map(Error::to_string)
}
