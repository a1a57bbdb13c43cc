//! The words after a pool's numbers.

use crate::{Error, ThinPool};

/// What a table asks of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) skip_block_zeroing: bool,
    pub(super) ignore_discard: bool,
    pub(super) no_discard_passdown: bool,
    pub(super) read_only: bool,
    pub(super) error_if_no_space: bool,
}

impl Features {
    pub(super) fn of(pool: &ThinPool) -> Result<Self, Error> {
        let mut features = Self::default();
        for word in &pool.features {
            let feature = match word.to_ascii_lowercase().as_str() {
                "skip_block_zeroing" => &mut features.skip_block_zeroing,
                "ignore_discard" => &mut features.ignore_discard,
                "no_discard_passdown" => &mut features.no_discard_passdown,
                "read_only" => &mut features.read_only,
                "error_if_no_space" => &mut features.error_if_no_space,
                _ => return Err(Error::BadTable(format!("no thin pool has the feature {word:?}"))),
            };
            *feature = true;
        }
        Ok(features)
    }

    /// The word that a pool's status has for discards.
    pub(super) fn discards(self) -> &'static str {
        match (self.ignore_discard, self.no_discard_passdown) {
            (true, _) => "ignore_discard",
            (false, true) => "no_discard_passdown",
            (false, false) => "discard_passdown",
        }
    }
}
