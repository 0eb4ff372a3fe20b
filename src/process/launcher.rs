//! The launcher: this binary in a process of its own, between the server and one program that it started.
//!
//! It has no runtime and one thread, and waits in little memory. Whatever the program starts stays below it, as it is
//! their subreaper. Its standard input is a socket to the server: orders come by it, reports go. When that closes, the
//! server has gone, and everything ends.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{self, Gid, Pid, Uid},
};

use super::{
    open_files,
    order::{Identity, ORDER_MAX, Order, Report, Wish},
    proc::{self, Living, Process},
};
use crate::config::Masker;

/// What is killed has so long to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// Looks at what is to be there and is not shown, and what lies between two.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Launches as ordered by standard input, and returns when nothing is left to wait for.
pub fn launch() -> ExitCode {
    match Launcher::begin() {
        Ok(Some(launcher)) => launcher.watch(),
        Ok(None) => ExitCode::SUCCESS,
        // Nobody ordered anything: it was started by hand.
        Err(_) => ExitCode::from(2),
    }
}

struct Launcher {
    control: UnixStream,
    signals: SignalFd,
    /// The other ends of the program's output: what is let go is read by nobody else.
    drains: Vec<File>,
    cgroup: Option<PathBuf>,
    leader: Pid,
    /// Of command lines that are reported.
    masker: Masker,
    /// How the program ended.
    ended: Option<(Option<i32>, Option<i32>)>,
}

/// What is below the launcher.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Nothing,
    Something,
}

impl Launcher {
    /// Starts the program. None where it could not, and that was reported.
    fn begin() -> anyhow::Result<Option<Self>> {
        // What ends others must not end this before them.
        SigSet::all().thread_block()?;
        let mut child_ended = SigSet::empty();
        child_ended.add(Signal::SIGCHLD);
        let signals =
            SignalFd::with_flags(&child_ended, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let order = read_order(&mut control)?;
        if let Some(open_files) = order.open_files {
            // Of less than it was given no program has been heard to fail.
            let _ = open_files::lower_open_files(open_files);
        }
        // Without it what the program starts is still below this.
        let cgroup = order
            .cgroup
            .clone()
            .filter(|cgroup| std::fs::write(cgroup.join("cgroup.procs"), "0").is_ok());
        // Opened while this may: the pipes are the server's user's.
        let drains = [1, 2]
            .into_iter()
            .filter_map(|fd| File::open(format!("/proc/self/fd/{fd}")).ok())
            .collect();
        let masker = Masker::new(order.secrets.iter().map(String::as_str));
        let leader = match start(order) {
            Ok(leader) => leader,
            Err(error) => {
                let reason = format!("{error:#}");
                tell(&mut control, &Report::Refused { reason });
                return Ok(None);
            }
        };
        tell(
            &mut control,
            &Report::Started {
                leader: leader.clone(),
            },
        );
        Ok(Some(Self {
            control,
            signals,
            drains,
            cgroup,
            leader: Pid::from_raw(leader.id),
            masker,
            ended: None,
        }))
    }

    fn watch(mut self) -> ExitCode {
        let (mut told, mut left) = (false, false);
        loop {
            let mut below = self.reap();
            if let Some((code, signal)) = self.ended
                && !told
            {
                told = true;
                let living = self.living();
                if living.is_empty() {
                    below = Below::Nothing;
                }
                self.tell(&Report::Ended {
                    code,
                    signal,
                    living,
                });
            }
            if below == Below::Nothing {
                self.tell(&Report::Alone);
                return ExitCode::SUCCESS;
            }
            let mut wishes = [0; 16];
            let heard = match self.heard(&mut wishes) {
                Some(0) => None,
                Some(count) => Some(&wishes[..count]),
                None => continue,
            };
            let Some(heard) = heard else {
                return if left { self.drain() } else { self.end_all() };
            };
            for wish in heard.iter().filter_map(|byte| Wish::of(*byte)) {
                match wish {
                    Wish::Terminate => proc::signal_all(&self.below(), Signal::SIGTERM),
                    Wish::Kill => {
                        let living = self.kill();
                        if !living.is_empty() {
                            self.tell(&Report::Stuck { living });
                        }
                    }
                    Wish::Leave => {
                        left = true;
                        let living = self.living();
                        self.tell(&Report::Left { living });
                    }
                }
            }
        }
    }

    /// Waits for a child's end or for the server; bytes that came from it, none of them where it has gone. None where
    /// there is nothing from it.
    fn heard(&mut self, wishes: &mut [u8]) -> Option<usize> {
        let mut wanted = [
            PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(&mut wanted, PollTimeout::NONE);
        let from_server = wanted[0].any().unwrap_or(true);
        // One stands for all that came meanwhile.
        let _ = self.signals.read_signal();
        if !from_server {
            return None;
        }
        match self.control.read(wishes) {
            Ok(count) => Some(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(_) => Some(0),
        }
    }

    /// Takes the ends of whatever has ended.
    fn reap(&mut self) -> Below {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(child, code)) if child == self.leader => {
                    self.ended = Some((Some(code), None));
                }
                Ok(WaitStatus::Signaled(child, signal, _)) if child == self.leader => {
                    self.ended = Some((None, Some(signal as i32)));
                }
                Ok(WaitStatus::StillAlive) => return Below::Something,
                Err(Errno::ECHILD) => return Below::Nothing,
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn below(&self) -> Vec<Process> {
        proc::below(Pid::this().as_raw())
    }

    /// What lives below. Whether something does the kernel says; which that is, `/proc`, and it may be mounted so that it
    /// hides what is another user's.
    fn living(&mut self) -> Living {
        for _ in 0..LOOKS {
            if self.reap() == Below::Nothing {
                return Living::default();
            }
            let below = self.below();
            if !below.is_empty() {
                return Living::of(&below, &self.masker);
            }
            // It may have ended between the two looks.
            thread::sleep(LOOK_AGAIN);
        }
        Living::unseen()
    }

    /// Kills all there is; answers what cannot be killed.
    fn kill(&mut self) -> Living {
        let own = Pid::this().as_raw();
        let between = || {
            self.reap();
        };
        let stuck = proc::end_all(GONE_WITHIN, between, || proc::below(own));
        match stuck.as_slice() {
            [] => self.living(),
            stuck => Living::of(stuck, &self.masker),
        }
    }

    /// The end where the server has gone. Fails where something lives on.
    fn end_all(mut self) -> ExitCode {
        if self.kill().is_empty() {
            return ExitCode::SUCCESS;
        }
        if let Some(cgroup) = &self.cgroup {
            // Also what is another user's; and this process with it.
            let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
        }
        ExitCode::FAILURE
    }

    /// Takes what is still written by what was let go, for as long as it lives: else its next line would end it.
    fn drain(mut self) -> ExitCode {
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            let _ = unistd::dup2_stdin(&null);
            let _ = unistd::dup2_stdout(&null);
            let _ = unistd::dup2_stderr(&null);
        }
        let _ = unistd::chdir("/");
        let mut drains = std::mem::take(&mut self.drains);
        let mut buffer = [0; 4096];
        while !drains.is_empty() && self.reap() == Below::Something {
            let fds = drains.iter().map(|drain| drain.as_fd());
            let fds = fds.chain([self.signals.as_fd()]);
            let ready = |fd: BorrowedFd<'_>| {
                let mut wanted = [PollFd::new(fd, PollFlags::POLLIN)];
                poll(&mut wanted, PollTimeout::ZERO).is_ok_and(|ready| 0 < ready)
            };
            let mut wanted: Vec<PollFd<'_>> =
                fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            let _ = poll(&mut wanted, PollTimeout::NONE);
            drop(wanted);
            let _ = self.signals.read_signal();
            drains.retain_mut(|drain| {
                !ready(drain.as_fd()) || matches!(drain.read(&mut buffer), Ok(1..))
            });
        }
        ExitCode::SUCCESS
    }

    fn tell(&mut self, report: &Report) {
        tell(&mut self.control, report);
    }
}

fn tell(control: &mut UnixStream, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        // Where nobody listens any more, that is seen at the next look.
        let _ = control.write_all(&line);
    }
}

fn read_order(control: &mut UnixStream) -> anyhow::Result<Order> {
    let mut size = [0; 4];
    control.read_exact(&mut size)?;
    let size = usize::try_from(u32::from_le_bytes(size))?;
    if ORDER_MAX < size {
        bail!("the order is too long");
    }
    let mut order = vec![0; size];
    control.read_exact(&mut order)?;
    Ok(serde_json::from_slice(&order)?)
}

/// Becomes whom the program is to run as, and starts it.
fn start(order: Order) -> anyhow::Result<Process> {
    if let Some(identity) = &order.identity {
        become_user(identity)
            .with_context(|| format!("could not become user {}", identity.name))?;
    }
    if let Some(directory) = &order.directory {
        unistd::chdir(directory.as_path()).with_context(|| {
            format!(
                "could not enter the working directory {}",
                directory.display()
            )
        })?;
    }
    prctl::set_child_subreaper(true).context("could not become a subreaper")?;
    let mut words = order.argv.into_iter().map(OsString::from);
    let program = words.next().context("there is no program")?;
    let stdin = match order.stdin {
        Some(text) => Stdio::from(text_file(&text).context("could not keep its standard input")?),
        None if order.converses => Stdio::from(io::stdout().as_fd().try_clone_to_owned()?),
        None => Stdio::null(),
    };
    let mut command = Command::new(&program);
    command
        .args(words)
        .env_clear()
        .envs(
            order
                .environment
                .into_iter()
                .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        )
        .stdin(stdin)
        .process_group(0);
    // The program inherits what is blocked.
    SigSet::all().thread_unblock()?;
    let started = command.spawn();
    SigSet::all().thread_block()?;
    let child =
        started.with_context(|| format!("could not start {}", Path::new(&program).display()))?;
    let id = i32::try_from(child.id())?;
    // It may have ended already, and waits to be asked how.
    Ok(Process::of(id).unwrap_or(Process { id, started: 0 }))
}

/// In this order: who is no longer root may set no groups.
fn become_user(identity: &Identity) -> nix::Result<()> {
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    // So that it may open its own output by name, as /dev/stdout.
    let _ = unistd::fchown(io::stdout(), Some(uid), None);
    let _ = unistd::fchown(io::stderr(), Some(uid), None);
    unistd::setgroups(&groups)?;
    unistd::setgid(gid)?;
    unistd::setuid(uid)
}

/// A file in memory that holds this text, at its beginning.
fn text_file(text: &str) -> io::Result<File> {
    let file = rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
