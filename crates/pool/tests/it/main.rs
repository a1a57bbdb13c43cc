//! Pools over image files and a mapper that logs and fails: the order of steps, and what a cut or a fault leaves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod adopt;
mod areas;
mod beside;
mod callers;
mod crash;
mod dying;
mod evacuate;
mod fault;
mod import_copy;
mod lab;
mod lost_disk;
mod obeyed;
mod order;
mod place;
mod raid;
mod refusals;
mod rename;
mod repair;
mod restore;
mod share;
mod thin;
mod uncache;
mod unseen;
mod volume;
