//! The house rules that no compiler checks: floors, owners, size, and a word on what each file is for.
//!
//! The tables below are the rules; the tests read the sources and name each line that breaks one.
//! Paths are read as the compiler reads them: [`source`] drops comments and literals, flattens `use`
//! trees, and follows `self`, `super` and imported names.

mod lexer;
mod source;

use source::Source;

/// The rooms, lowest first. A room uses itself and the floors below, never a neighbour on its own.
const FLOORS: &[&[&str]] = &[
    // The ground: pure values and rules, synchronous. Within it, too, uses go down only.
    &["error", "pb"],
    &["clock", "domain"],
    &["host"],
    &["config", "crontab"],
    // What the ground is kept in, and what follows its log.
    &["store"],
    &["process"],
    // Who may come in, whatever is asked then.
    &["door"],
    &["journal"],
    // Behaviour. These do not know each other; `app` brings them together.
    &["engine", "records", "backup"],
    // The catalogue: a file for each kind of task.
    &["tasks"],
    // What is wrong, and how the server is.
    &["monitor"],
    &["alerts"],
    // The edge.
    &["api", "web"],
    &["app"],
    &["cli"],
    &["main"],
];

/// Foreign words, and the rooms or files that may say them.
const OWNERS: &[Owned] = &[
    owned("sea_orm", &["store"]),
    owned("sea_orm_migration", &["store"]),
    owned("sqlx", &["store"]),
    // `app` serves on tonic's transport; the services themselves are the api's.
    owned("tonic", &["api", "app", "pb"]),
    owned("tonic_health", &["api"]),
    owned("tonic_reflection", &["api"]),
    owned("tonic_types", &["api"]),
    owned("tonic_prost", &["pb"]),
    owned("prost", &["api", "pb", "domain/event"]),
    owned("prost_types", &["api", "pb"]),
    owned("crate::pb", &["api"]),
    owned("hyper", &["door"]),
    owned("hyper_util", &["door"]),
    owned("axum", &["web"]),
    owned("reqwest", &["tasks"]),
    owned("lettre", &["alerts"]),
    owned("rustic_core", &["backup/rustic"]),
    owned("rustic_backend", &["backup/rustic"]),
    owned("tokio_cron_scheduler", &["engine/rounds.rs"]),
    owned("figment", &["config"]),
    owned("clap", &["config", "cli", "main"]),
    // The environment and the processes of the machine.
    owned("std::env", &["config"]),
    owned("nix", &["process", "tasks", "backup"]),
    owned(
        "std::process::Command",
        &[
            // By `process::spawn`, which notes what is ours: who takes the ends of orphans leaves those alone.
            "process",
            // It starts itself anew, and nothing else.
            "config/arenas.rs",
        ],
    ),
    owned("tokio::process", &["process"]),
    owned("tokio::signal", &["cli"]),
    owned("std::process::exit", &["cli"]),
    // Time comes in by the front door.
    owned("SystemTime::now", &["clock"]),
    owned("Instant::now", &["clock"]),
    owned("Timestamp::now", &["clock"]),
    owned("Zoned::now", &["clock"]),
    owned("Utc::now", &["clock"]),
    owned("Local::now", &["clock"]),
];

/// What rooms must not say although their floor would allow it, and why.
const BARRED: &[(&[&str], &str, &str)] = &[
    (PURE, "tokio", "the ground does no I/O"),
    (PURE, "anyhow", "callers tell errors apart"),
    (&["api", "web"], "crate::tasks", "the registry has them"),
    (&["api", "web"], "crate::store::Tx", "they only read"),
];

/// Files that may break an entry of [`OWNERS`], and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    // jiff looks for the tz database in TZDIR, and does not tell where it found it.
    ("domain/schedule/tzdb.rs", "std::env", "TZDIR"),
    // What was imported is read back as the server reads it.
    ("crontab/tests.rs", "figment", "a test"),
    ("crontab/fixtures.rs", "figment", "a test"),
    // One method of a service, of which there is nothing else yet.
    (
        "api/waiting.rs",
        "tonic_prost",
        "the status, while the database is away",
    ),
    // Somebody else's processes, to be found.
    ("tasks/command/notes.rs", "std::process::Command", "a test"),
    // Whose a file is.
    ("config/trust.rs", "nix", "users by their names"),
    // What its clock is worth.
    ("clock/kernel.rs", "nix", "the kernel's own word"),
    // The name of a replica begins with the host's.
    ("app/serve.rs", "nix", "the host's name"),
    // A crontab that names no user is that of whoever imports it.
    ("cli/commands.rs", "nix", "the user's name"),
];

/// The one file that may say `unsafe`.
const UNSAFE: &str = "clock/kernel.rs";

/// Rooms without I/O, which must not be asynchronous either.
const PURE: &[&str] = &["error", "domain", "crontab"];

const LINES_AT_MOST: usize = 400;

/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// Macros, attributes and words of work that is not done.
const UNFINISHED: &[&str] = &["todo !", "unimplemented !", "# [ ignore"];
const UNFINISHED_REMARKS: &[&str] = &["FIXME", "TODO", "XXX"];

struct Owned {
    word: &'static str,
    owners: &'static [&'static str],
}

const fn owned(word: &'static str, owners: &'static [&'static str]) -> Owned {
    Owned { word, owners }
}

#[test]
fn each_room_uses_only_the_floors_below_it() {
    let mut wrong = Wrong::default();
    for source in Source::all("src") {
        let Some(here) = source.room() else { continue };
        let Some(floor) = floor_of(here) else {
            wrong.add(
                &source,
                1,
                &format!("the room {here} is on no floor: add it to FLOORS"),
            );
            continue;
        };
        for used in source.paths() {
            let Some(room) = used.room() else { continue };
            if room != here && floor_of(room).is_some_and(|below| floor <= below) {
                wrong.add(&source, used.line, &format!("{here} must not use {room}"));
            }
        }
    }
    wrong.assert_none();
}

#[test]
fn each_foreign_word_is_said_by_its_owner_only() {
    let mut wrong = Wrong::default();
    for source in Source::all("src") {
        let excepted = |word| {
            EXCEPTIONS
                .iter()
                .any(|(file, what, _)| source.is_in(file) && *what == word)
        };
        for used in source.paths() {
            for Owned { word, owners } in OWNERS {
                let allowed = owners.iter().any(|owner| source.is_in(owner)) || excepted(*word);
                if used.says(word) && !allowed {
                    wrong.add(
                        &source,
                        used.line,
                        &format!("{word} belongs to {}", owners.join(", ")),
                    );
                }
            }
            for (rooms, word, why) in BARRED {
                if rooms.iter().any(|room| source.is_in(room)) && used.says(word) {
                    wrong.add(&source, used.line, &format!("not {word} here: {why}"));
                }
            }
        }
    }
    wrong.assert_none();
}

#[test]
fn every_exception_is_still_needed() {
    let mut wrong = Wrong::default();
    for source in Source::all("src") {
        for (file, word, _) in EXCEPTIONS {
            if source.is_in(file) && !source.paths().iter().any(|used| used.says(word)) {
                wrong.add(
                    &source,
                    1,
                    &format!("strike the exception: it no longer says {word}"),
                );
            }
        }
        for (file, _) in LONG_FILES {
            if source.is_in(file) && source.line_count() <= LINES_AT_MOST {
                wrong.add(&source, 1, "strike the exception: it is no longer long");
            }
        }
    }
    wrong.assert_none();
}

#[test]
fn the_pure_rooms_are_synchronous() {
    let mut wrong = Wrong::default();
    for source in Source::all("src") {
        if PURE.iter().any(|room| source.is_in(room)) {
            for word in ["async", "await"] {
                for line in source.lines_with(word) {
                    wrong.add(&source, line, &format!("{word} in a room without I/O"));
                }
            }
        }
    }
    wrong.assert_none();
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut wrong = Wrong::default();
    for source in everything() {
        if !source.text().starts_with("//! ") {
            wrong.add(&source, 1, "no `//!` with what the file is for");
        }
    }
    wrong.assert_none();
}

#[test]
fn no_file_is_too_long() {
    let mut wrong = Wrong::default();
    for source in everything() {
        let lines = source.line_count();
        let excepted = LONG_FILES.iter().any(|(file, _)| source.is_in(file));
        if LINES_AT_MOST < lines && !excepted {
            wrong.add(
                &source,
                lines,
                &format!("{lines} lines, of {LINES_AT_MOST} at most: look for the second noun"),
            );
        }
    }
    wrong.assert_none();
}

#[test]
fn nothing_is_left_undone() {
    let mut wrong = Wrong::default();
    for source in everything() {
        for word in UNFINISHED {
            for line in source.lines_with(word) {
                wrong.add(
                    &source,
                    line,
                    &format!("`{}` is work that is not done", word.replace(' ', "")),
                );
            }
        }
        for remark in UNFINISHED_REMARKS {
            for line in source.remarks_with(remark) {
                wrong.add(&source, line, &format!("{remark} is work that is not done"));
            }
        }
    }
    wrong.assert_none();
}

/// The lint alone would let any file be exempt from it.
#[test]
fn nothing_is_unsafe_but_the_one_call() {
    let mut wrong = Wrong::default();
    for source in everything() {
        for word in ["unsafe", "unsafe_code"] {
            for line in source.lines_with(word) {
                if !source.is_in(UNSAFE) {
                    wrong.add(&source, line, &format!("`{word}` outside {UNSAFE}"));
                }
            }
        }
    }
    wrong.assert_none();
}

#[test]
fn tests_wait_for_events_and_never_sleep() {
    let mut wrong = Wrong::default();
    for source in Source::all("tests/it") {
        // Of chaos, too, real time is part: a storm has to blow for a while.
        let may = ["support", "process/harness.rs", "chaos/pace.rs"];
        if may.iter().any(|place| source.is_in(place)) {
            continue;
        }
        for used in source.paths() {
            let sleeps = [
                "time::sleep",
                "time::sleep_until",
                "thread::sleep",
                "time::interval",
            ];
            if sleeps.iter().any(|word| used.says(word)) {
                wrong.add(
                    &source,
                    used.line,
                    "wait for the product's own events instead of sleeping",
                );
            }
        }
    }
    wrong.assert_none();
}

/// All Rust that is written by hand.
fn everything() -> impl Iterator<Item = Source> {
    let folders = ["src", "tests/it", "clients/rust/src"];
    folders.into_iter().flat_map(Source::all)
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// What breaks a rule, a line for each.
#[derive(Default)]
struct Wrong(String);

impl Wrong {
    fn add(&mut self, source: &Source, line: usize, what: &str) {
        let finding = format!("{}:{line}: {what}\n", source.path().display());
        // A `use` tree may break a rule several times in one line.
        if !self.0.ends_with(&finding) {
            self.0 += &finding;
        }
    }

    #[track_caller]
    fn assert_none(&self) {
        assert!(self.0.is_empty(), "\n{}", self.0);
    }
}
