//! A PostgreSQL of a story's own, which it may stop, crash and lie to about the time.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};
use tempfile::TempDir;

use super::{look::Look, pace::soon};
use crate::support::skip;

/// Below the ports that systems hand out for outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const START_WITHIN: Duration = Duration::from_secs(60);
const END_WITHIN: Duration = Duration::from_secs(60);
/// At ports that others may take.
const TRIES: usize = 10;
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 64MB
fsync = on
synchronous_commit = on
timezone = 'UTC'
logging_collector = off
";

/// Its files, and the process while there is one. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Postgres {
    programs: PathBuf,
    files: TempDir,
    port: u16,
    environment: Vec<(String, String)>,
    process: Option<Child>,
}

/// How it ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shutdown {
    /// Ends connections and writes out what it holds.
    Fast,
    /// As a crash: the next start recovers.
    Immediate,
}

impl Postgres {
    /// A new one that runs, in this environment; none, with a word, where there are no programs for it.
    pub(super) async fn start(environment: Vec<(String, String)>) -> Option<Self> {
        let Some(programs) = programs() else {
            skip(
                "a database that restarts",
                "there is no PostgreSQL of our own to start",
            );
            return None;
        };
        let files = tempfile::tempdir().unwrap();
        if let Some(owner) = owner() {
            std::os::unix::fs::chown(
                files.path(),
                Some(owner.uid.as_raw()),
                Some(owner.gid.as_raw()),
            )
            .unwrap();
        }
        let mut postgres = Self {
            programs,
            files,
            port: 0,
            environment,
            process: None,
        };
        let data = postgres.data();
        let initialised = postgres
            .program("initdb")
            .arg("--pgdata")
            .arg(&data)
            .args([
                "--username=watchbell",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .output()
            .unwrap();
        assert!(initialised.status.success(), "{initialised:?}");
        let mut settings = fs::read_to_string(data.join("postgresql.conf")).unwrap();
        settings.push_str(SETTINGS);
        fs::write(data.join("postgresql.conf"), settings).unwrap();
        for _ in 0..TRIES {
            postgres.port = free_port();
            if postgres.begins().await {
                return Some(postgres);
            }
        }
        panic!("PostgreSQL ended at each start");
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://watchbell@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it, and waits until it takes connections.
    pub(super) async fn run(&mut self) {
        assert!(self.begins().await, "PostgreSQL ended at its start");
    }

    /// The same; says whether it goes on, which it does not where its port is another's.
    async fn begins(&mut self) -> bool {
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.files.path().join("log"))
            .unwrap();
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .envs(self.environment.clone())
            .stderr(log);
        let url = self.url();
        let process = self.process.insert(command.spawn().unwrap());
        let begins = soon("PostgreSQL to take connections", START_WITHIN, async || {
            // Who answers may be another.
            if process.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let answers = Look::answers(&url).await;
            (answers && process.try_wait().unwrap().is_none()).then_some(true)
        });
        let (begins, _) = begins.await;
        if !begins {
            self.process = None;
        }
        begins
    }

    /// Stops it, and waits until it is gone.
    pub(super) async fn stop(&mut self, how: Shutdown) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        end(&process, how);
        soon("PostgreSQL to end", END_WITHIN, async || {
            process.try_wait().unwrap()
        })
        .await;
    }

    fn data(&self) -> PathBuf {
        self.files.path().join("data")
    }

    /// One of its programs, as a user whom it lets run it: it refuses to be root.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .current_dir(self.files.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(owner) = owner() {
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            end(process, Shutdown::Immediate);
            // It has ended where this fails.
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.files.path().join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("── the end of PostgreSQL's log:");
            for line in lines.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

fn end(process: &Child, how: Shutdown) {
    let signal = match how {
        Shutdown::Fast => Signal::SIGINT,
        Shutdown::Immediate => Signal::SIGQUIT,
    };
    let id = Pid::from_raw(i32::try_from(process.id()).unwrap());
    // It has ended where this fails.
    let _ = kill(id, signal);
}

/// As whom it runs, where we are root.
fn owner() -> Option<User> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let named = |name| User::from_name(name).ok().flatten();
    named("postgres").or_else(|| named("nobody"))
}

/// Where its programs are: as `scripts/test-postgres` says, which may have installed them, or as Debian
/// keeps them.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn programs() -> Option<PathBuf> {
    let said = std::env::var_os("WATCHBELL_TEST_POSTGRES").map(PathBuf::from);
    let kept = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut kept: Vec<PathBuf> = kept.map(|version| version.path().join("bin")).collect();
    kept.sort();
    let places = said.into_iter().chain(kept.into_iter().rev());
    let mut whole = places.filter(|place| is_whole(place));
    whole.next()
}

fn is_whole(place: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|program| place.join(program).is_file())
}

/// A port that nobody listens on now, and no other story of this process has had. Where another process takes it
/// meanwhile, the start fails.
fn free_port() -> u16 {
    static HAD: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let start = u16::try_from(std::process::id() % 6000).unwrap();
    let random = u16::try_from(uuid::Uuid::now_v7().as_u128() % 6000).unwrap();
    let first = PORTS.start + start + random;
    let mut ports = (first..PORTS.end).chain(PORTS);
    let mut had = HAD.lock().unwrap();
    let free =
        ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && had.insert(*port));
    free.expect("a free port")
}
