//! Storage pools and replicas over LVM2.

pub mod host;
