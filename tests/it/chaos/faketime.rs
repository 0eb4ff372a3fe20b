//! A wall clock that a test sets, for the processes that it starts: libfaketime, which is loaded into them.
//! The time that passes stays what it is, and so does every other process's clock.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::support::skip;

/// Where `scripts/test-faketime` has found it.
const VARIABLE: &str = "WATCHBELL_TEST_FAKETIME";

#[derive(Debug)]
pub(super) struct Faketime {
    library: String,
    folder: TempDir,
}

impl Faketime {
    /// A clock that is right so far; none, with a word, where there is no libfaketime.
    #[expect(clippy::disallowed_methods, reason = "a test's own setting")]
    pub(super) fn new() -> Option<Self> {
        let Ok(library) = std::env::var(VARIABLE) else {
            skip(
                "a clock that jumps",
                &format!("{VARIABLE} is not set; run `make test`"),
            );
            return None;
        };
        let faketime = Self {
            library,
            folder: tempfile::tempdir().unwrap(),
        };
        // A database does not run as who tests it.
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(faketime.folder.path(), everyone).unwrap();
        faketime.set(0);
        Some(faketime)
    }

    /// What a process must find in its environment.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let file = self.file().display().to_string();
        let variables = [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("NO_FAKE_STAT", "1"),
        ];
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    /// Sets it so many seconds off, within a second.
    pub(super) fn set(&self, seconds: i64) {
        // Whole or not at all: it is read at any moment.
        let new = self.folder.path().join("new");
        fs::write(&new, format!("{seconds:+}\n")).unwrap();
        fs::rename(&new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}
