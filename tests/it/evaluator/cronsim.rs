//! cronsim, as a process of its own that answers line by line.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::window::Window;

/// The directory in which `scripts/test-cronsim` has put it.
const DIRECTORY: &str = "WATCHBELL_TEST_CRONSIM";
/// Where jiff looks for the tz database, unless TZDIR says otherwise; Python must read the same.
const ZONES: &str = "/usr/share/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo";

/// One process; it ends with its input.
#[derive(Debug)]
pub(super) struct Cronsim {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

#[derive(Serialize)]
struct Question<'a> {
    zone: &'a str,
    from: i64,
    until: i64,
    offsets: Vec<(i64, i32)>,
    lines: &'a [String],
}

/// What it says of a window.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The fires of each line that was asked about; none where it never came to an end.
    Fires(Vec<Option<Vec<i64>>>),
    /// Python reads other rules for this zone, or none.
    Stranger(String),
}

impl Cronsim {
    /// None, where `make test` has not installed it.
    #[expect(clippy::disallowed_methods, reason = "a test's own setting")]
    pub(super) fn start() -> Option<Self> {
        let directory = std::env::var_os(DIRECTORY)?;
        let zones = std::env::var_os("TZDIR").unwrap_or_else(|| ZONES.into());
        let mut process = Command::new("python3")
            .args(["-c", include_str!("cronsim.py")])
            .env("PYTHONPATH", directory)
            .env("PYTHONTZPATH", zones)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{DIRECTORY} is set, but python3: {error}"));
        Some(Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
            process,
        })
    }

    /// Asks, without waiting for the answer.
    pub(super) fn ask(&mut self, window: &Window, lines: &[String]) {
        let offset = |at: Timestamp| window.zone.time_zone.to_offset(at).seconds();
        let second = SignedDuration::from_secs(1);
        let changes = window.changes.iter().map(|change| change.at);
        let instants = changes
            .flat_map(|at| [at - second, at])
            .chain([window.from, window.until]);
        let question = Question {
            zone: &window.zone.name,
            from: window.from.as_second(),
            until: window.until.as_second(),
            offsets: instants.map(|at| (at.as_second(), offset(at))).collect(),
            lines,
        };
        let mut text = serde_json::to_string(&question).unwrap();
        text.push('\n');
        self.input.write_all(text.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    pub(super) fn answer(&mut self) -> Answer {
        let mut text = String::new();
        let read = self.output.read_line(&mut text).unwrap();
        assert!(read > 0, "cronsim has died: {:?}", self.process.wait());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl Drop for Cronsim {
    fn drop(&mut self) {
        // Most of all when the test has failed: nothing is to be left behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
