//! Any bytes as the header of a metadata area and the texts in it, with good checksums.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lvm_fuzz::metadata::mda_header(bytes));
