//! Any bytes as a metadata text and as configuration text.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lvm_fuzz::metadata::text(bytes));
