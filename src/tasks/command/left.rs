//! Process groups that a killed server left behind.
//!
//! A server that dies by SIGKILL cannot end its commands: they go on without it. So each group is
//! noted in a file of the data directory while it lives; a server that starts, and an attempt before
//! it starts its own command, end what a dead server of this host has left. Process numbers are used
//! again, so a process is told by its number and the instant of its start, of one boot.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::domain::RunId;

/// How long a killed group gets to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A process, told apart from others that had or will have its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    id: i32,
    /// Clock ticks after boot at which it started.
    started: u64,
}

/// A process group that lives, and the server it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    /// Of the host's present boot.
    boot: String,
    leader: Process,
    server: Process,
}

/// The file that notes a group; dropped with it.
#[derive(Debug)]
pub(super) struct Noted(Option<PathBuf>);

impl Drop for Noted {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            warn!(%error, "could not remove {}", path.display());
        }
    }
}

/// Notes the group that this child leads. Where that cannot be done, the command runs all the same:
/// only a server that is killed meanwhile leaves it behind.
pub(super) fn note(data: &Path, run: RunId, attempt: i64, leader: i32) -> Noted {
    let noted = || -> anyhow::Result<Option<PathBuf>> {
        let Some(leader) = process(leader) else {
            // It has ended already: there is nothing to leave behind.
            return Ok(None);
        };
        let server = process(std::process::id().cast_signed());
        let server = server.ok_or_else(|| anyhow::anyhow!("this process is not in /proc"))?;
        let note = Note {
            boot: boot()?,
            leader,
            server,
        };
        let folder = folder(data);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let path = folder.join(format!("{run}.{attempt}"));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&path)?;
        file.write_all(&serde_json::to_vec(&note)?)?;
        Ok(Some(path))
    };
    match noted() {
        Ok(path) => Noted(path),
        Err(error) => {
            warn!(%error, "could not note the process group of run {run}");
            Noted(None)
        }
    }
}

/// Ends what dead servers of this host have left of one run, or of all; says how many groups that
/// were. Returns once they are gone.
pub(super) async fn end(data: &Path, run: Option<RunId>) -> anyhow::Result<usize> {
    let entries = match fs::read_dir(folder(data)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let wanted = run.map(|run| format!("{run}."));
    let boot = boot()?;
    let mut ended = 0;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some(wanted), Some(name)) = (&wanted, name)
            && !name.starts_with(wanted)
        {
            continue;
        }
        // One that is half-written is of a server that died at that moment, or is being written.
        let Ok(Ok(note)) = fs::read(&path).map(|text| serde_json::from_slice::<Note>(&text)) else {
            continue;
        };
        if note.boot == boot {
            if lives(&note.server) {
                continue;
            }
            if lives(&note.leader) {
                end_group(&note.leader).await?;
                ended += 1;
            }
        }
        fs::remove_file(&path)?;
    }
    Ok(ended)
}

async fn end_group(leader: &Process) -> anyhow::Result<()> {
    match killpg(Pid::from_raw(leader.id), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => anyhow::bail!("could not end process group {}: {error}", leader.id),
    }
    let gone = async {
        while lives(leader) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(GONE_WITHIN, gone).await.is_err() {
        anyhow::bail!("process group {} was killed and is still there", leader.id);
    }
    Ok(())
}

fn lives(process: &Process) -> bool {
    self::process(process.id).as_ref() == Some(process)
}

/// The process of that number, unless it has ended and only waits to be asked how.
fn process(id: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything; field 3 is the state, field 22 the start.
    let rest = stat.rsplit_once(") ")?.1;
    let mut fields = rest.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let started = fields.nth(18)?.parse().ok()?;
    Some(Process { id, started })
}

fn boot() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

fn folder(data: &Path) -> PathBuf {
    data.join("commands")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;

    fn sleeper() -> std::process::Child {
        let mut command = std::process::Command::new("/bin/sleep");
        command.arg("600").process_group(0).spawn().unwrap()
    }

    #[tokio::test]
    async fn what_a_dead_server_left_is_ended_and_what_a_live_one_runs_is_not() {
        let data = tempfile::tempdir().unwrap();
        let run = RunId::new();
        let mut ours = sleeper();
        let noted = note(data.path(), run, 1, ours.id().cast_signed());
        assert_eq!(end(data.path(), Some(run)).await.unwrap(), 0);
        assert!(ours.try_wait().unwrap().is_none(), "this server lives");

        // As if another server had noted it, which is no more.
        let path = folder(data.path()).join(format!("{run}.1"));
        let mut left: Note = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        left.server.started += 1;
        fs::write(&path, serde_json::to_vec(&left).unwrap()).unwrap();
        assert_eq!(end(data.path(), Some(RunId::new())).await.unwrap(), 0);
        assert_eq!(end(data.path(), None).await.unwrap(), 1);

        assert!(!ours.wait().unwrap().success());
        assert!(!path.exists());
        std::mem::forget(noted);
    }

    #[tokio::test]
    async fn another_process_of_that_number_is_left_alone() {
        let data = tempfile::tempdir().unwrap();
        let run = RunId::new();
        let mut other = sleeper();
        std::mem::forget(note(data.path(), run, 1, other.id().cast_signed()));
        let path = folder(data.path()).join(format!("{run}.1"));
        let mut left: Note = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        left.server.started += 1;
        left.leader.started += 1;
        fs::write(&path, serde_json::to_vec(&left).unwrap()).unwrap();

        assert_eq!(end(data.path(), None).await.unwrap(), 0);

        assert!(other.try_wait().unwrap().is_none());
        assert!(!path.exists());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
