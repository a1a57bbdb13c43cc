//! LVM2 storage pools in pure Rust.
pub use lvm_dm as dm;
pub use lvm_meta as meta;
pub use lvm_pool as pool;
