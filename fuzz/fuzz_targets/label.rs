//! Any bytes as a label's sector with a good checksum.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lvm_fuzz::metadata::label(bytes));
