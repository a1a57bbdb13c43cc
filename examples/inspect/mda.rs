//! The state of a metadata area, in the words that both outputs use.

use lvm_native::meta::{CopyState, FoundVg, MdaScan, Vg};

use crate::devices::mda_error;

/// How an area's copy stands.
pub(crate) struct MdaState {
    /// `current`, `old`, `ignored`, `bad` or `empty`.
    pub(crate) word: &'static str,
    /// The sequence number of its text, if that can be read.
    pub(crate) seqno: Option<u32>,
    /// What is wrong with it.
    pub(crate) problem: Option<String>,
}

/// The state of an area of a VG's PV, or of a PV that no VG has.
pub(crate) fn state(vg: Option<&FoundVg>, mda: &MdaScan) -> MdaState {
    let (state, seqno) = vg.map_or_else(|| alone(mda), |vg| vg.copy_state(mda));
    let (word, reason) = match state {
        CopyState::Current => ("current", None),
        CopyState::Old => ("old", Some("holds an old text")),
        CopyState::Ignored => ("ignored", None),
        CopyState::Bad => ("bad", Some("holds a text that is not the one of the other areas")),
        CopyState::Empty => ("empty", None),
    };
    let problem = match mda_error(mda) {
        Some(error) => Some(error.to_string()),
        None if state == CopyState::Bad => unparsable(mda).or_else(|| reason.map(Into::into)),
        None => reason.map(Into::into),
    };
    MdaState { word, seqno, problem }
}

/// A text on a PV that no VG lists is old, or none.
fn alone(mda: &MdaScan) -> (CopyState, Option<u32>) {
    let Ok(header) = &mda.header else {
        return (CopyState::Bad, None);
    };
    match &mda.text {
        _ if header.is_ignored() => (CopyState::Ignored, None),
        None => (CopyState::Empty, None),
        Some(Err(_)) => (CopyState::Bad, None),
        Some(Ok(text)) => match Vg::parse(text) {
            Ok(vg) => (CopyState::Old, Some(vg.seqno())),
            Err(_) => (CopyState::Bad, None),
        },
    }
}

/// Why a text with a good checksum is no metadata.
fn unparsable(mda: &MdaScan) -> Option<String> {
    Vg::parse(mda.text.as_ref()?.as_ref().ok()?)
        .err()
        .map(|error| error.to_string())
}
