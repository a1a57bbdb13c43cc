//! The crate against what the real LVM2 wrote, and against texts that it would never write.

mod fixtures;
mod hostile;
mod kinds;
mod round_trip;
