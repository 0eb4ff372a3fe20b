//! Asks of any text what the tests ask of mutations: see `tests/it/fuzzing/crontab.rs`.
#![no_main]

#[path = "../../tests/it/fuzzing/crontab.rs"]
mod crontab;
#[path = "../../tests/it/fuzzing/file.rs"]
mod file;

libfuzzer_sys::fuzz_target!(|text: &[u8]| crontab::check(text));
