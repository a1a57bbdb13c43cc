//! The crate against what the real LVM2 wrote, against texts that it would never write, and against failing disks.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod areas;
mod bag;
mod capacity;
mod commit;
mod copies;
mod corpus;
mod fixtures;
mod hostile;
mod kinds;
mod legs;
mod numbers;
mod printer;
mod properties;
mod pvck;
mod raid;
mod round_trip;
mod rules;
#[cfg(feature = "serde")]
mod serial;
mod short_cut;
mod support;
mod texts;
