//! `poolctl` over image files, with the embedded mapper: what other programs rely on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod adopt;
#[path = "../common/mod.rs"]
mod common;
mod disks;
mod host;
mod lists;
mod operations;
mod pools;
mod processes;
mod refusals;
mod replicas;
mod restore;
mod short;
mod syscalls;
mod usage;
mod volumes;
