//! What is read from any bytes is printed, and read from that again the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lvm_fuzz::metadata::round_trip(bytes));
