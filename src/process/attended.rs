//! A program that a thread waits for, from the server's side: for work that blocks anyway, and needs no runtime.

use std::{
    io::{self, PipeReader, Read as _},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt as _},
    },
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{
    cgroup::Cgroup,
    children::Ours,
    launched::{Launchers, REPORT_MAX},
    order::{Order, Report},
    proc::Process,
    remains::Remains,
};

/// Between two looks whether to go on waiting; so a stop takes as long at the most.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A launcher, and what it has started. Dropped, it ends everything, and waits for that.
#[derive(Debug)]
pub struct Attended {
    /// Closed, the launcher ends everything.
    control: Option<UnixStream>,
    heard: Vec<u8>,
    child: Child,
    remains: Remains,
    _ours: Ours,
    cgroup: Option<Cgroup>,
}

impl Launchers {
    /// Starts a launcher, and lets it start a program; with what that writes to standard output and standard error. Blocks.
    ///
    /// # Errors
    /// Where the launcher cannot be started.
    pub fn attend(
        &self,
        label: &str,
        order: Order,
    ) -> anyhow::Result<(Attended, PipeReader, PipeReader)> {
        let (stdout, theirs) = io::pipe()?;
        let (attended, stderr) = self.attend_to(label, order, theirs.into())?;
        Ok((attended, stdout, stderr))
    }

    /// The same, of a program that is talked to: its standard input and standard output are one socket, whose other end is
    /// in the answer, with what it writes to standard error. Blocks.
    ///
    /// # Errors
    /// Where the launcher cannot be started.
    pub fn converse(
        &self,
        label: &str,
        mut order: Order,
    ) -> anyhow::Result<(Attended, UnixStream, PipeReader)> {
        let (socket, theirs) = UnixStream::pair()?;
        order.converses = true;
        let (attended, stderr) = self.attend_to(label, order, theirs.into())?;
        Ok((attended, socket, stderr))
    }

    fn attend_to(
        &self,
        label: &str,
        order: Order,
        stdout: OwnedFd,
    ) -> anyhow::Result<(Attended, PipeReader)> {
        let spawn = |mut command: Command| command.spawn();
        let remains = |launcher: &Process, cgroup: Option<&Cgroup>| Remains {
            launcher: launcher.clone(),
            leader: None,
            cgroup: cgroup.map(|cgroup| cgroup.path().to_owned()),
            marks: Vec::new(),
        };
        let begun = self.begin(
            label,
            order,
            stdout,
            spawn,
            |child| Some(child.id()),
            remains,
        )?;
        begun.control.set_read_timeout(Some(LOOK_EVERY))?;
        let attended = Attended {
            control: Some(begun.control),
            heard: Vec::new(),
            child: begun.child,
            remains: begun.noted,
            _ours: begun.ours,
            cgroup: begun.cgroup,
        };
        Ok((attended, begun.stderr))
    }
}

impl Attended {
    /// Waits until the program ends, and says how; none where it is to `stop` before.
    ///
    /// # Errors
    /// Where it could not be started, or its launcher was ended by someone else.
    pub fn until_ended(&mut self, stop: impl Fn() -> bool) -> anyhow::Result<Option<ExitStatus>> {
        while !stop() {
            match self.report()? {
                Some(Report::Started { leader }) => self.remains.leader = Some(leader),
                Some(Report::Refused { reason }) => bail!(reason),
                Some(Report::Ended { code, signal, .. }) => {
                    let status = status(code, signal);
                    return status
                        .map(Some)
                        .context("its launcher did not say how it ended");
                }
                Some(Report::Alone | Report::Left { .. } | Report::Stuck { .. }) | None => {}
            }
        }
        Ok(None)
    }

    /// The next report, where one comes soon.
    fn report(&mut self) -> anyhow::Result<Option<Report>> {
        if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
            let report = serde_json::from_slice(&self.heard[..end]);
            self.heard.drain(..=end);
            return Ok(Some(report.context("a report cannot be read")?));
        }
        if REPORT_MAX < self.heard.len() {
            bail!("a report does not end");
        }
        let control = self.control.as_mut();
        let mut buffer = [0; 4096];
        match control.map_or(Ok(0), |control| control.read(&mut buffer)) {
            Ok(0) => self.died(),
            Ok(count) => {
                self.heard.extend_from_slice(&buffer[..count]);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.died(),
            Err(error) if is_for_now(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn died(&self) -> anyhow::Result<Option<Report>> {
        self.remains.end()?;
        bail!("its launcher was ended by someone else");
    }
}

/// How a program ended; none where that is not told, which must not pass for an end without fault.
fn status(code: Option<i32>, signal: Option<i32>) -> Option<ExitStatus> {
    code.map(|code| code << 8)
        .or(signal)
        .map(ExitStatus::from_raw)
}

/// Whether nothing has come of a socket at the moment, and something may yet.
pub(crate) fn is_for_now(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

impl Drop for Attended {
    fn drop(&mut self) {
        drop(self.control.take());
        // Where that fails it was taken already.
        let _ = self.child.wait();
        if let Some(cgroup) = self.cgroup.take() {
            cgroup.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_which_nothing_is_told_is_no_success() {
        assert_eq!(status(None, None), None);
        assert!(status(Some(0), None).unwrap().success());
        assert_eq!(status(Some(7), None).unwrap().code(), Some(7));
        assert_eq!(status(None, Some(9)).unwrap().signal(), Some(9));
    }
}
