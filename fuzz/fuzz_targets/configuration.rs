//! Asks of any text what the tests ask of mutations: see `tests/it/fuzzing/configuration.rs`.
#![no_main]

#[path = "../../tests/it/fuzzing/configuration.rs"]
mod configuration;
#[path = "../../tests/it/fuzzing/file.rs"]
mod file;

libfuzzer_sys::fuzz_target!(|text: &[u8]| configuration::check(text));
