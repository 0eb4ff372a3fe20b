//! Programs that a backup starts: each can be ended at once, and none outlives what it was started for.

use std::{
    io::{self, Read, Write},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

/// How often a program that is waited for is looked at; so a cancel takes as long at the most.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes of its standard error that are kept, from the end.
const COMPLAINT_BYTES: usize = 4096;

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// The end of what it wrote to standard error.
    pub complaint: String,
}

/// Starts the server's own program for single steps.
#[derive(Clone, Debug)]
pub struct Helpers {
    /// `watchbell`, by its path.
    pub program: PathBuf,
}

impl Helpers {
    /// Has one step done, and waits for its answer.
    ///
    /// # Errors
    /// [`Stopped`] where it was cancelled; else what it wrote to standard error.
    pub fn ask<Answer: DeserializeOwned>(
        &self,
        step: &str,
        order: &impl Serialize,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Answer> {
        let order = serde_json::to_vec(order)?;
        let mut command = Command::new(&self.program);
        command.args(["helper", step]).env_clear();
        let mut answer = Vec::new();
        let ended = run(command, order, &mut answer, cancel)
            .with_context(|| format!("could not start {}", self.program.display()))?;
        if !ended.status.success() {
            let complaint = ended.complaint.trim();
            let complaint = complaint.strip_prefix("error: ").unwrap_or(complaint);
            bail!("{complaint}");
        }
        serde_json::from_slice(&answer).context("a helper gave no answer that can be read")
    }
}

/// It was ended because its caller was asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// Runs a program to its end, gives it `order` as standard input, and takes what it writes. When `cancel` is
/// cancelled it is killed, with whatever it has started.
///
/// # Errors
/// Where it cannot be started, `into` cannot be written, or it was cancelled ([`Stopped`]). How it ended is no error.
pub fn run(
    mut command: Command,
    order: Vec<u8>,
    into: &mut (dyn Write + Send),
    cancel: &CancellationToken,
) -> anyhow::Result<Ended> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = Guarded(command.spawn()?);
    let pipes = (
        child.0.stdin.take(),
        child.0.stdout.take(),
        child.0.stderr.take(),
    );
    let (Some(mut stdin), Some(mut stdout), Some(stderr)) = pipes else {
        bail!("a program was started without pipes");
    };
    let group = child.group();
    thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(&order)));
        let complaint = scope.spawn(move || last_bytes(stderr));
        let output = scope.spawn(move || {
            let copied = copy(&mut stdout, into);
            if copied.is_err() {
                // It would wait for ever for someone to read.
                let _ = killpg(group, Signal::SIGKILL);
            }
            copied
        });
        let status = loop {
            if let Some(status) = child.0.try_wait()? {
                break status;
            }
            if cancel.is_cancelled() {
                let _ = killpg(group, Signal::SIGKILL);
                child.0.wait()?;
                break child.0.wait()?;
            }
            thread::sleep(LOOK_EVERY);
        };
        // What it started and left holds the pipes open.
        let _ = killpg(group, Signal::SIGKILL);
        let copied = output
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        let complaint = complaint.join().unwrap_or_default();
        if cancel.is_cancelled() {
            return Err(Stopped.into());
        }
        copied.context("could not keep what it wrote")?;
        Ok(Ended { status, complaint })
    })
}

/// Kills what it holds when it goes.
struct Guarded(Child);

impl Guarded {
    fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap_or(i32::MAX))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = killpg(self.group(), Signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}

fn copy(from: &mut impl Read, into: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return into.flush(),
            Ok(count) => into.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn last_bytes(mut from: impl Read) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..count]);
        let over = kept.len().saturating_sub(COMPLAINT_BYTES);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
