//! Asks of any text what the tests ask of mutations: see `tests/it/fuzzing/cron.rs`.
#![no_main]

#[path = "../../tests/it/fuzzing/cron.rs"]
mod cron;

libfuzzer_sys::fuzz_target!(|text: &[u8]| cron::check(text));
