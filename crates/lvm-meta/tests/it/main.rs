//! The crate against what the real LVM2 wrote, and against texts that it would never write.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod fixtures;
mod hostile;
mod kinds;
mod round_trip;
