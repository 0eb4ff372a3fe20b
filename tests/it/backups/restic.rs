//! Debian's restic, as a witness that shares no code with us: it reads what we have written.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use watchbell::clock::Stopwatch;

use crate::support::{PATIENCE, rest, skip};

/// Between two tries in a repository in which someone is at work.
const LOCKED_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Restic {
    place: PathBuf,
    password: String,
}

impl Restic {
    /// None, with a word, where it is not installed.
    pub(crate) fn at(place: &Path, password: &str) -> Option<Self> {
        if Command::new("restic").arg("version").output().is_err() {
            skip(
                "what restic says of a repository",
                "restic is not installed",
            );
            return None;
        }
        Some(Self {
            place: place.to_owned(),
            password: password.to_owned(),
        })
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("restic");
        command
            .args(["--no-cache", "--quiet"])
            .args(args)
            .env("RESTIC_REPOSITORY", &self.place)
            .env("RESTIC_PASSWORD", &self.password);
        command
    }

    /// What it prints; that it works is asserted. A lock of ours goes a moment after what it was for: that is waited for.
    #[track_caller]
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let watch = Stopwatch::start();
        loop {
            let done = self.run(args);
            let complaint = String::from_utf8_lossy(&done.stderr);
            if done.status.success() {
                return String::from_utf8_lossy(&done.stdout).into_owned();
            }
            let may_end = complaint.contains("already locked") && watch.elapsed() < PATIENCE;
            assert!(may_end, "restic {args:?}: {complaint}");
            rest(LOCKED_AGAIN);
        }
    }

    /// Reads all there is, and finds nothing wrong.
    #[track_caller]
    pub(crate) fn finds_it_sound(&self) {
        self.must(&["check", "--read-data"]);
    }

    /// What it restores of a snapshot.
    #[track_caller]
    pub(crate) fn restore(&self, snapshot: &str) -> tempfile::TempDir {
        let target = tempfile::tempdir().unwrap();
        let path = target.path().display().to_string();
        self.must(&["restore", snapshot, "--target", &path]);
        target
    }
}

/// Everything below a folder: paths relative to it, with the content of files, and the targets of links.
pub(crate) fn everything_in(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(folder).unwrap().to_owned();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                found.insert(relative, b"directory".to_vec());
                folders.push(path);
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.insert(relative, target.into_os_string().into_encoded_bytes());
            } else if metadata.is_file() {
                found.insert(relative, fs::read(&path).unwrap());
            } else {
                found.insert(
                    relative,
                    format!("special {:o}", metadata.mode()).into_bytes(),
                );
            }
        }
    }
    found
}
