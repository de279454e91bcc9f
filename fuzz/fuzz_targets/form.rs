//! Fuzzes the reading of a body of application/x-www-form-urlencoded.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vouchsafe_tests::fuzz_form(data));
