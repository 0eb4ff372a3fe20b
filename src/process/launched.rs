//! A program that was started, from the server's side.

use std::{
    fmt,
    io::{self, PipeReader, Write as _},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream as StdStream, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Command as StdCommand, Stdio},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixStream, unix::pipe},
    process::{Child, Command},
    runtime::Handle,
};

use super::{
    LAUNCH,
    cgroup::{Cgroup, Cgroups},
    children::{self, Ours},
    open_files,
    order::{ORDER_MAX, Order, Report, Wish},
    proc::Process,
};

/// Bytes of a report at most.
pub(super) const REPORT_MAX: usize = 64 << 10;

/// What starts programs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Launchers {
    /// The server's own program.
    pub program: PathBuf,
    pub cgroups: Option<Cgroups>,
}

/// A launcher, and what it has started. Dropped, it ends everything that it was not asked to leave; its own end is taken in
/// the background.
#[derive(Debug)]
pub struct Launched {
    control: UnixStream,
    /// Of reports; the last one may have come in part.
    heard: Vec<u8>,
    /// There until its end is taken.
    running: Option<Running>,
}

/// The launcher's process.
struct Running {
    child: Child,
    ours: Ours,
    cgroup: Option<Cgroup>,
    at_end: Option<AtEnd>,
}

/// Done when a launcher has ended; told whether it has left nothing but what it was asked to.
type AtEnd = Box<dyn FnOnce(bool) + Send + Sync>;

/// A launcher that has its order, and what it was started by.
#[derive(Debug)]
pub(super) struct Begun<Spawned, Noted> {
    pub(super) control: StdStream,
    pub(super) stderr: PipeReader,
    pub(super) child: Spawned,
    pub(super) ours: Ours,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) noted: Noted,
}

/// What a program writes.
#[derive(Debug)]
pub struct Output {
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
}

impl Launchers {
    /// Starts a launcher, and lets it start a program; `label` is what lists of processes show. `note` is called
    /// with the launcher and its cgroup before the program runs, on a thread that may block.
    ///
    /// # Errors
    /// Where the launcher cannot be started. Whether the program could, its first report says.
    pub async fn start<Noted: Send + 'static>(
        &self,
        label: &str,
        order: Order,
        note: impl FnOnce(&Process, Option<&Cgroup>) -> Noted + Send + 'static,
    ) -> anyhow::Result<(Launched, Output, Noted)> {
        let (launchers, label) = (self.clone(), label.to_owned());
        let started = tokio::task::spawn_blocking(move || {
            let spawn = |command| Command::from(command).spawn();
            let (stdout, theirs) = io::pipe()?;
            let begun = launchers.begin(&label, order, theirs.into(), spawn, Child::id, note)?;
            begun.control.set_nonblocking(true)?;
            let launched = Launched {
                control: UnixStream::from_std(begun.control)?,
                heard: Vec::new(),
                running: Some(Running {
                    child: begun.child,
                    ours: begun.ours,
                    cgroup: begun.cgroup,
                    at_end: None,
                }),
            };
            let output = Output {
                stdout: pipe::Receiver::from_owned_fd(stdout.into())?,
                stderr: pipe::Receiver::from_owned_fd(begun.stderr.into())?,
            };
            Ok((launched, output, begun.noted))
        });
        started.await.context("a thread panicked")?
    }

    /// Starts a launcher by `spawn`, and gives it its order; what the program writes to standard output comes by `stdout`.
    /// Blocks.
    pub(super) fn begin<Spawned, Noted>(
        &self,
        label: &str,
        mut order: Order,
        stdout: OwnedFd,
        spawn: impl FnOnce(StdCommand) -> io::Result<Spawned>,
        id: impl Fn(&Spawned) -> Option<u32>,
        note: impl FnOnce(&Process, Option<&Cgroup>) -> Noted,
    ) -> anyhow::Result<Begun<Spawned, Noted>> {
        let cgroup = self.cgroups.as_ref().map(|cgroups| cgroups.make(label));
        let cgroup = cgroup.and_then(|made| {
            made.inspect_err(|error| tracing::warn!(%error, "could not make a cgroup"))
                .ok()
        });
        order.cgroup = cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
        order.open_files = open_files::given_open_files();
        let order = serde_json::to_vec(&order)?;
        if ORDER_MAX < order.len() {
            bail!("environment and standard input are over 64 MiB");
        }

        let (mut control, theirs) = StdStream::pair()?;
        let (stderr, their_stderr) = io::pipe()?;
        let mut command = StdCommand::new(&self.program);
        command
            .args([LAUNCH, label])
            .arg0("watchbell")
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(their_stderr))
            .process_group(0);
        // The command holds the other ends, and goes with its start.
        let (child, ours) = children::spawn(|| spawn(command), &id)
            .with_context(|| format!("could not start {}", self.program.display()))?;
        let id = id(&child).context("the launcher has no process id")?;
        let launcher = Process::of(i32::try_from(id)?).context("the launcher ended at once")?;
        let noted = note(&launcher, cgroup.as_ref());
        control.write_all(&u32::try_from(order.len())?.to_le_bytes())?;
        control
            .write_all(&order)
            .context("the launcher did not take its order")?;
        Ok(Begun {
            control,
            stderr,
            child,
            ours,
            cgroup,
            noted,
        })
    }
}

impl Launched {
    /// The next report; none where the launcher has ended. May be given up and called again.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn report(&mut self) -> anyhow::Result<Option<Report>> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let report = serde_json::from_slice(&self.heard[..end]);
                self.heard.drain(..=end);
                return Ok(Some(report.context("a report cannot be read")?));
            }
            if REPORT_MAX < self.heard.len() {
                bail!("a report does not end");
            }
            match self.control.read_buf(&mut self.heard).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                // It has ended without having read all that it was told.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks something of the launcher. Of one that has ended that is seen by its reports.
    pub async fn wish(&mut self, wish: Wish) {
        let _ = self.control.write_all(&[wish.byte()]).await;
    }

    /// Has this done when the launcher has ended, on a thread that may block: told whether it has left nothing but what it
    /// was asked to.
    pub fn at_end(&mut self, then: impl FnOnce(bool) + Send + Sync + 'static) {
        if let Some(running) = &mut self.running {
            running.at_end = Some(Box::new(then));
        }
    }

    /// Waits until the launcher has ended, and takes that.
    pub async fn ended(mut self) {
        if let Some(running) = self.running.take() {
            running.ended().await;
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // The launcher hears of it by what is dropped after this.
        if let Some(running) = self.running.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(running.ended());
        }
    }
}

impl Running {
    async fn ended(mut self) {
        let status = self.child.wait().await;
        drop(self.ours);
        let clean = status.is_ok_and(|status| status.success());
        let (cgroup, at_end) = (self.cgroup, self.at_end);
        let after = move || {
            if let Some(cgroup) = cgroup {
                cgroup.remove();
            }
            if let Some(at_end) = at_end {
                at_end(clean);
            }
        };
        // An error is a panic of its own.
        let _ = tokio::task::spawn_blocking(after).await;
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}
