//! Programs that a backup starts: each can be ended at once, and none outlives what it was started for.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context as _, bail};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::process::{Launchers, Order};

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
        let mut helper = Order::of([self.program.clone().into_os_string()]);
        helper.args(["helper", step]);
        helper.stdin = Some(serde_json::to_string(order)?);
        let mut answer = Vec::new();
        let ended = run(&launchers(&self.program), step, helper, &mut answer, cancel)?;
        if !ended.status.success() {
            let complaint = ended.complaint.trim();
            let complaint = complaint.strip_prefix("error: ").unwrap_or(complaint);
            bail!("{complaint}");
        }
        serde_json::from_slice(&answer).context("a helper gave no answer that can be read")
    }
}

/// What starts programs, where the server's own is this one. They need no cgroups: they become nobody else.
pub(super) fn launchers(program: &Path) -> Launchers {
    Launchers {
        program: program.to_owned(),
        cgroups: None,
    }
}

/// It was ended because its caller was asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// Runs a program to its end, and takes what it writes. When `cancel` is cancelled it is killed, with whatever it has
/// started; so it is where this process ends, by whatever cause. `label` is what lists of processes show.
///
/// # Errors
/// Where it cannot be started, `into` cannot be written, or it was cancelled ([`Stopped`]). How it ended is no error.
pub fn run(
    launchers: &Launchers,
    label: &str,
    order: Order,
    into: &mut (dyn Write + Send),
    cancel: &CancellationToken,
) -> anyhow::Result<Ended> {
    let (mut attended, mut stdout, stderr) = launchers.attend(label, order)?;
    let unread = AtomicBool::new(false);
    thread::scope(|scope| {
        let complaint = scope.spawn(move || last_bytes(stderr));
        let output = scope.spawn(|| {
            let copied = copy(&mut stdout, into);
            // It would wait for ever for someone to read.
            unread.store(copied.is_err(), Ordering::Relaxed);
            copied
        });
        let ended =
            attended.until_ended(|| cancel.is_cancelled() || unread.load(Ordering::Relaxed));
        // What it started and left holds the pipes open.
        drop(attended);
        let copied = output
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        let complaint = complaint.join().unwrap_or_default();
        if cancel.is_cancelled() {
            return Err(Stopped.into());
        }
        copied.context("could not keep what it wrote")?;
        let status = ended?.context("it was ended before its time")?;
        Ok(Ended { status, complaint })
    })
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

/// The end of what a program writes to standard error.
pub(super) fn last_bytes(mut from: impl Read) -> String {
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
