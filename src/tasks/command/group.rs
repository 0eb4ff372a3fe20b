//! The process group of a command: it ends as a whole.

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tracing::warn;

/// A process group whose leader is our child. Dropped, it is killed: a handler that is cut off leaves
/// nothing behind.
#[derive(Debug)]
pub(super) struct Group {
    id: Pid,
    ended: bool,
}

impl Group {
    /// # Errors
    /// Where the child has no process id any more.
    pub(super) fn of(child: &tokio::process::Child) -> anyhow::Result<Self> {
        let id = child.id().context("the command has no process id")?;
        Ok(Self {
            id: Pid::from_raw(i32::try_from(id)?),
            ended: false,
        })
    }

    pub(super) fn id(&self) -> i32 {
        self.id.as_raw()
    }

    pub(super) fn terminate(&self) {
        self.send(Signal::SIGTERM);
    }

    pub(super) fn kill(&self) {
        self.send(Signal::SIGKILL);
    }

    /// Kills what is left once the leader has ended. From then on the number may be another's.
    pub(super) fn end(mut self) {
        self.kill();
        self.ended = true;
    }

    fn send(&self, signal: Signal) {
        match killpg(self.id, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => warn!(%error, "could not send {signal} to process group {}", self.id),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}
