//! Fuzzes the reading of the value of an Authorization header.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vouchsafe_tests::fuzz_basic(data));
