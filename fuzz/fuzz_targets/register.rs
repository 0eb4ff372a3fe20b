//! Asks of any bytes what the tests ask of mutations: see `tests/it/fuzzing/register.rs`.
#![no_main]

#[path = "../../tests/it/fuzzing/register.rs"]
mod register;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| register::check(bytes));
