//! Any changes of the metadata of a thin pool.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lvm_fuzz::dm::thin_metadata(bytes));
