//! Text from outside that means harm, or was merely cut off: cron lines, configurations, crontabs, registers
//! and tokens, mutated from a corpus.
//!
//! `tests/corpus/NAME` holds what is mutated: good input, and whatever once went wrong, a file for each.
//! `cron`, `configuration`, `crontab` and `register` say what holds for any input; `fuzz/` asks them the same, guided by
//! coverage and for as long as one likes (`make fuzz`). `tokens` asks a server. The tests here are bounded.

mod configuration;
mod cron;
mod crontab;
mod file;
mod mutate;
mod register;
mod secrets;
mod tokens;

use proptest::prelude::*;

use self::mutate::{corpus, mutated};

#[test]
fn all_that_is_in_the_corpus_holds() {
    corpus("cron").iter().for_each(|text| cron::check(text));
    corpus("configuration")
        .iter()
        .for_each(|text| configuration::check(text));
    corpus("crontab")
        .iter()
        .for_each(|text| crontab::check(text));
    corpus("register")
        .iter()
        .for_each(|text| register::check(text));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cron_line_is_refused_with_a_word_or_means_one_thing(
        text in mutated("cron", &["*", "?", "/", "-", ",", "#", "L", "W", "H", "(", ")", " ", "7", "59", "SUN", "@", "/0", "é", "\0", "\t"]),
    ) {
        cron::check(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_configuration_is_loaded_or_refused_by_name(
        text in mutated("configuration", &["=", "[", "]", "{", "}", "\"", "\n", "'''", ".", "#", "-1", "1e400", "true", "\\u0000", "\\u001b", "tasks", "[[", "99999999999999999999", "é", "\0"]),
    ) {
        configuration::check(&text);
    }

    #[test]
    fn any_crontab_gives_a_configuration_that_loads(
        text in mutated("crontab", &["\n", "%", "\\", "* * * * * ", "@daily ", "@reboot", "SHELL=", "CRON_TZ=", "root", "\"", "'", "~", "$", "\r", "\t", "#", "=", "\0", "\u{1b}", "é"]),
    ) {
        crontab::check(&text);
    }
    #[test]
    fn any_register_is_refused_or_told_row_by_row(
        text in mutated("register", &["\n", "\r", "\r\n", ",", ";", "\t", "\"", "'", "=", "sep=;\n", "number", "title", "Status", "\u{feff}", "\0", "é", "{", "}", "null", "[", ":"]),
    ) {
        register::check(&text);
    }
}
