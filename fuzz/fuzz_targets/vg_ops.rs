//! Any changes and commits of a VG, each with a loss of power, beside a model that knows no metadata.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lvm_fuzz::vg_ops::vg_ops(bytes));
