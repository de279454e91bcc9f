//! Fuzzes the reading of a refresh token, and changes to a genuine one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vouchsafe_tests::fuzz_refresh_token(data));
