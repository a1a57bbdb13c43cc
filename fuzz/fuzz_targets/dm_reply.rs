//! Any bytes as the kernel's reply to each device-mapper command.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lvm_fuzz::dm::dm_reply(bytes));
