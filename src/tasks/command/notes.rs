//! Notes of what runs, for the case that server and launcher are killed together.
//!
//! A launcher ends what it has started once its server has gone. Where it was killed as well, nobody does: so each
//! attempt is noted in a file of the data directory before its command starts. A server that starts, and an attempt
//! before it starts its own command, end what a dead server has left, and the latter also what an earlier attempt has left
//! on this server: one that could not be ended, or was cut off. What was left on purpose has no note any more.
//! Process numbers mean something to one boot of one host and within one namespace: notes of others are theirs to look
//! at, and stay. All of this blocks.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    domain::RunId,
    process::{Process, Remains},
};

/// No attempt lasts as long, so that a note of another host that is older means nothing to anyone.
const KEEP_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What was started, by whom, and where its numbers mean something.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    /// Of the host's present boot, with the namespace of process numbers.
    place: String,
    server: Process,
    remains: Remains,
}

/// The file that notes an attempt. It stays until it is removed.
#[derive(Clone, Debug)]
pub(super) struct Noted(Option<PathBuf>);

impl Noted {
    /// The newer note of the same attempt, which stands in the same file.
    pub(super) fn replaced_by(self, again: Self) -> Self {
        Self(again.0.or(self.0))
    }

    /// Removes it: nothing lives of the attempt, or what does was left on purpose.
    pub(super) fn remove(&self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(%error, "could not remove {}", path.display());
        }
    }
}

/// Notes what is about to be started. Where that cannot be done, the command runs all the same: only a launcher that is
/// killed together with its server leaves it behind.
pub(super) fn note(data: &Path, run: RunId, attempt: i64, remains: &Remains) -> Noted {
    match try_note(data, run, attempt, remains) {
        Ok(path) => Noted(Some(path)),
        Err(error) => {
            warn!(%error, "could not note the command of run {run}");
            Noted(None)
        }
    }
}

fn try_note(data: &Path, run: RunId, attempt: i64, remains: &Remains) -> anyhow::Result<PathBuf> {
    let server = Process::own();
    let note = Note {
        place: place()?,
        server: server.ok_or_else(|| anyhow::anyhow!("this process is not in /proc"))?,
        remains: remains.clone(),
    };
    let folder = folder(data);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)?;
    let path = folder.join(format!("{run}.{attempt}"));
    // Never half-written: who reads it would take it for nothing.
    let beside = folder.join(format!(".{run}.{attempt}"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&beside)?;
    file.write_all(&serde_json::to_vec(&note)?)?;
    fs::rename(&beside, &path)?;
    Ok(path)
}

/// Ends what dead servers have left here of all runs, or of one that nobody performs now, of which this server may
/// have left something as well; says of how many attempts there was something. Returns once it is gone.
///
/// # Errors
/// Where something cannot be ended, or the data directory cannot be read.
pub(super) fn end(data: &Path, run: Option<RunId>) -> anyhow::Result<usize> {
    let entries = match fs::read_dir(folder(data)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let wanted = run.map(|run| format!("{run}."));
    let place = place()?;
    let mut ended = 0;
    let mut failed = None;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some(wanted), Some(name)) = (&wanted, name)
            && !name.starts_with(wanted)
        {
            continue;
        }
        // One that cannot be read is being written or removed, or is of another version of the server.
        let Ok(Ok(note)) = fs::read(&path).map(|text| serde_json::from_slice::<Note>(&text)) else {
            continue;
        };
        if note.place != place {
            if age(&path).is_some_and(|age| KEEP_FOR < age) {
                let _ = fs::remove_file(&path);
            }
            continue;
        }
        let own = run.is_some() && Process::own().as_ref() == Some(&note.server);
        if note.server.lives() && !own {
            continue;
        }
        match note.remains.end() {
            Ok(something) => {
                ended += usize::from(something);
                Noted(Some(path)).remove();
            }
            // The others first.
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        None => Ok(ended),
        Some(error) => Err(error),
    }
}

fn age(path: &Path) -> Option<Duration> {
    let written: jiff::Timestamp = fs::metadata(path).ok()?.modified().ok()?.try_into().ok()?;
    let age = crate::clock::wall_now().duration_since(written);
    age.try_into().ok()
}

fn place() -> anyhow::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let numbers = fs::read_link("/proc/self/ns/pid")?;
    Ok(format!("{} {}", boot.trim(), numbers.display()))
}

fn folder(data: &Path) -> PathBuf {
    data.join("commands")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;

    fn sleeper(run: RunId) -> std::process::Child {
        let mut command = std::process::Command::new("/bin/sleep");
        command.env("WATCHBELL_RUN", run.to_string());
        command.arg("600").process_group(0).spawn().unwrap()
    }

    /// As a server leaves them that is no more, and whose launcher is none either.
    fn remains(run: RunId) -> Remains {
        Remains {
            launcher: gone(),
            leader: None,
            cgroup: None,
            marks: vec![format!("WATCHBELL_RUN={run}")],
        }
    }

    fn gone() -> Process {
        let mut gone = Process::own().unwrap();
        gone.started += 1;
        gone
    }

    fn changed(data: &Path, run: RunId, change: impl FnOnce(&mut Note)) -> PathBuf {
        let path = folder(data).join(format!("{run}.1"));
        let mut note: Note = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut note);
        fs::write(&path, serde_json::to_vec(&note).unwrap()).unwrap();
        path
    }

    #[test]
    fn what_a_dead_server_left_is_ended_and_what_a_live_one_runs_is_not() {
        let data = tempfile::tempdir().unwrap();
        let run = RunId::new();
        let mut left = sleeper(run);
        note(data.path(), run, 1, &remains(run));
        assert_eq!(end(data.path(), None).unwrap(), 0);
        assert!(left.try_wait().unwrap().is_none(), "this server lives");

        let path = changed(data.path(), run, |note| note.server = gone());
        assert_eq!(end(data.path(), Some(RunId::new())).unwrap(), 0);
        assert_eq!(end(data.path(), None).unwrap(), 1);

        assert!(!left.wait().unwrap().success());
        assert!(!path.exists());
    }

    #[test]
    fn what_an_earlier_attempt_left_on_this_server_is_ended_before_the_next() {
        let data = tempfile::tempdir().unwrap();
        let run = RunId::new();
        let mut left = sleeper(run);
        note(data.path(), run, 1, &remains(run));
        assert_eq!(end(data.path(), Some(RunId::new())).unwrap(), 0);
        assert!(left.try_wait().unwrap().is_none());
        assert_eq!(end(data.path(), Some(run)).unwrap(), 1);
        assert!(!left.wait().unwrap().success());
        assert_eq!(fs::read_dir(folder(data.path())).unwrap().count(), 0);
    }

    #[test]
    fn a_group_whose_leader_has_ended_is_found() {
        let data = tempfile::tempdir().unwrap();
        let run = RunId::new();
        // It stays until it has been seen.
        let script = "sleep 600 & echo $!; read -r _";
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", script]).env_clear().process_group(0);
        shell.stdin(std::process::Stdio::piped());
        shell.stdout(std::process::Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let leader = Process::of(shell.id().cast_signed());
        assert!(leader.is_some());
        let mut text = String::new();
        let mut out = io::BufReader::new(shell.stdout.take().unwrap());
        io::BufRead::read_line(&mut out, &mut text).unwrap();
        shell.wait().unwrap();
        let member = Process::of(text.trim().parse().unwrap()).unwrap();

        let remains = Remains {
            leader,
            ..remains(run)
        };
        note(data.path(), run, 1, &remains);
        changed(data.path(), run, |note| note.server = gone());
        assert_eq!(end(data.path(), None).unwrap(), 1);
        assert!(!member.lives());
    }

    #[test]
    fn a_note_of_another_host_stays_and_ends_nothing() {
        let data = tempfile::tempdir().unwrap();
        let run = RunId::new();
        let mut other = sleeper(run);
        note(data.path(), run, 1, &remains(run));
        let path = changed(data.path(), run, |note| {
            note.server = gone();
            note.place = "another boot, or another host".to_owned();
        });
        assert_eq!(end(data.path(), None).unwrap(), 0);
        assert!(other.try_wait().unwrap().is_none());
        assert!(path.exists(), "it is for the other host to look at");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
