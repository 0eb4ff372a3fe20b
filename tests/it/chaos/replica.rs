//! A server process that is ill-treated.

use std::{
    net::SocketAddr,
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::pace::soon;
use crate::process::harness::Written;

const LISTENING: &str = "listening on ";
/// A start waits for what others have under way.
const START_WITHIN: Duration = Duration::from_secs(60);
const END_WITHIN: Duration = Duration::from_secs(60);

/// A process of the cluster. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) address: SocketAddr,
    child: Child,
    log: Written,
}

impl Replica {
    /// Starts it, and waits until it listens.
    pub(super) async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Written::by(child.stderr.take().unwrap());
        let listening = soon("a server to listen", START_WITHIN, async || {
            let log = log.text();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended at its start: {status}\n{log}");
            }
            let (_, rest) = log.split_once(LISTENING)?;
            let (line, _) = rest.split_once('\n')?;
            line.split_whitespace().next()?.parse().ok()
        });
        let (address, _) = listening.await;
        Self {
            address,
            child,
            log,
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn log(&self) -> String {
        self.log.text()
    }

    /// What it has used of the processor so far.
    pub(super) fn used(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let ticks = rest.split(' ').skip(11).take(2);
        Duration::from_millis(ticks.map(|ticks| 10 * ticks.parse::<u64>().unwrap()).sum())
    }

    pub(super) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(id, signal).unwrap();
    }

    /// How it ended, and how long that took.
    pub(super) async fn ended(&mut self) -> (ExitStatus, Duration) {
        let child = &mut self.child;
        soon("a server to end", END_WITHIN, async || {
            child.try_wait().unwrap()
        })
        .await
    }

    /// Stops it in order; says how long that took.
    pub(super) async fn stop(mut self) -> Duration {
        self.signal(Signal::SIGTERM);
        let (status, took) = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
        took
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It has ended where these fail. A stopped process can be killed, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log.text();
            let lines: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("── the end of the log of server {}:", self.child.id());
            for line in lines.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
