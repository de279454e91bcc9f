//! Fuzzes the reading of a compact JWS.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vouchsafe_tests::fuzz_jws(data));
