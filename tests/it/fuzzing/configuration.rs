//! What holds for any text as a configuration.

use std::time::Duration;

use watchbell::{
    clock::Stopwatch,
    config::{Config, Flags, explain},
};

use super::file::written;

/// On any machine, however busy.
const ENOUGH: Duration = Duration::from_secs(10);
/// What took longer is done again: the processor may have been another's.
const TRIES: usize = 3;
/// The first words of every setting's name.
const SETTINGS: [&str; 16] = [
    "data",
    "database",
    "listen",
    "time_zone",
    "max_running",
    "lease",
    "shutdown_grace",
    "audit_grace",
    "log",
    "history",
    "health",
    "commands",
    "http_requests",
    "secrets",
    "tasks",
    "unknown field",
];

/// It is loaded and explained alike; or refused, by the setting's name or its place in the file.
pub(crate) fn check(bytes: &[u8]) {
    let (_place, flags) = written(bytes);
    let is_soon = || {
        let watch = Stopwatch::start();
        check_once(&flags);
        watch.elapsed() < ENOUGH
    };
    assert!(
        (0..TRIES).any(|_| is_soon()),
        "it takes longer than {ENOUGH:?}"
    );
}

fn check_once(flags: &Flags) {
    let (loaded, explained) = (Config::load(flags), explain(flags));
    match (loaded, explained) {
        (Ok(config), Ok(explained)) => {
            let again = Config::load(flags).unwrap();
            assert_eq!(config.hash, again.hash);
            assert_eq!(config.tasks, again.tasks);
            for line in explained.lines() {
                assert!(line.contains(" = ") && line.contains("  # "), "{line:?}");
                assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
        (Err(error), Err(again)) => {
            let text = format!("{error:#}");
            assert_eq!(text, format!("{again:#}"));
            let is_plain = |c: char| c == '\n' || !c.is_control();
            assert!(text.chars().all(is_plain), "{text:?}");
            let names_one = SETTINGS.iter().any(|setting| text.contains(setting));
            let names_the_place = text.contains("line ") || text.contains("valid UTF-8");
            assert!(names_one || names_the_place, "{text}");
        }
        (loaded, explained) => panic!("loaded {loaded:?}, explained {explained:?}"),
    }
}
