//! What the fuzz targets do with their input: kept here so that an ordinary test can replay the corpus on stable Rust.

pub mod dm;
pub mod metadata;
pub mod vg_ops;
