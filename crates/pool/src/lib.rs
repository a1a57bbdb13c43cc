//! Storage pools and replicas over LVM2.
