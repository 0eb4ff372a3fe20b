//! Starts the programs, and waits for what they do with a limit that only a hung one reaches.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::support::Database;

const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Two minutes of looks, and more where the machine is busy.
const LOOKS: u32 = 12_000;

/// A folder of a test's own, with a configuration and what the programs make beside it.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
}

/// What a program left that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What a program writes while it runs, line by line.
#[derive(Clone, Debug)]
pub(crate) struct Written(Arc<Mutex<String>>);

impl Place {
    pub(crate) fn new(configuration: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.configure(configuration);
        place
    }

    pub(crate) fn configure(&self, configuration: &str) {
        self.write("watchbell.toml", configuration);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path("data/watchbell.db")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `watchbell COMMAND` on the configuration and the data directory of this place. Flags of the
    /// test's own take their place.
    pub(crate) fn watchbell(&self, command: &str, flags: &[&str]) -> Command {
        let mut watchbell = self.program(env!("CARGO_BIN_EXE_watchbell"));
        watchbell.arg(command);
        let defaults = [
            ("--config", self.path("watchbell.toml")),
            ("--data", self.data()),
        ];
        for (flag, path) in defaults {
            if !flags.contains(&flag) {
                watchbell.arg(flag).arg(path);
            }
        }
        watchbell.args(flags);
        watchbell
    }

    /// A program in this place, with nothing of the test's environment.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TZ", "UTC")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `watchbell COMMAND` to its end.
    pub(crate) fn run(&self, command: &str, flags: &[&str]) -> Done {
        finish(self.watchbell(command, flags))
    }

    /// Runs `watchbell COMMAND` to its end, with a standard output of which nobody reads a byte.
    pub(crate) fn run_unread(&self, command: &str, flags: &[&str]) -> Done {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut watchbell = self.watchbell(command, flags);
        watchbell.stdout(writer);
        finish(watchbell)
    }

    /// A start of the server that must fail.
    pub(crate) fn refused(&self, flags: &[&str]) -> Done {
        let mut all = vec!["--listen", "127.0.0.1:0"];
        if flags.contains(&"--listen") {
            all.clear();
        }
        all.extend(flags);
        self.run("serve", &all)
    }

    /// Names of what there is in the data directory; none where it was not made.
    pub(crate) fn data_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Done {
    pub(crate) fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// That it failed with this code, and said all of this.
    #[track_caller]
    pub(crate) fn assert_failed(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code(), code, "{self:?}");
        for text in says {
            assert!(self.stderr.contains(text), "no {text:?} in {}", self.stderr);
        }
    }

    #[track_caller]
    pub(crate) fn assert_good(&self) {
        assert_eq!(self.code(), 0, "{self:?}");
    }
}

impl Written {
    /// Reads on, beside the test.
    pub(crate) fn by(from: impl Read + Send + 'static) -> Self {
        let written = Self(Arc::default());
        let kept = written.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut text = kept.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        written
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// Waits until it says this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        let found = eventually(|| self.text().contains(text).then_some(()));
        assert!(found.is_some(), "no {text:?} in\n{}", self.text());
    }
}

/// `bellctl`, which is in another package: Cargo puts it beside the server.
pub(crate) fn bellctl() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_watchbell")).with_file_name("bellctl");
    assert!(
        beside.is_file(),
        "there is no {}: make it by `cargo build --workspace`, which `make test` does first",
        beside.display()
    );
    beside
}

/// Names of the schema's steps, oldest first: each is a file of its own.
pub(crate) fn migrations() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migration");
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files
        .filter_map(|file| file.unwrap().file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name.starts_with("m0"))
        .collect();
    names.sort();
    names
}

/// Runs a program to its end.
#[track_caller]
pub(crate) fn finish(mut command: Command) -> Done {
    let mut child = command.spawn().unwrap();
    let stdout = read(child.stdout.take());
    let stderr = read(child.stderr.take());
    let status = ended(&mut child);
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let Some(status) = status else {
        panic!("{command:?} did not end; it wrote\n{stdout}\n{stderr}");
    };
    Done {
        status,
        stdout,
        stderr,
    }
}

/// How the process ended; none where it did not within the limit.
pub(crate) fn ended(child: &mut Child) -> Option<ExitStatus> {
    eventually(|| child.try_wait().unwrap())
}

/// The first answer; none where there was none within the limit.
pub(crate) fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..LOOKS {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        thread::sleep(LOOK_AGAIN);
    }
    None
}

/// That something becomes so within the limit.
#[track_caller]
pub(crate) fn becomes(what: &str, mut so: impl FnMut() -> bool) {
    assert!(eventually(|| so().then_some(())).is_some(), "not: {what}");
}

fn read(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            from.read_to_end(&mut bytes).unwrap();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A database on PostgreSQL, with a runtime to speak to it; none where there is no PostgreSQL.
pub(crate) fn postgresql() -> Option<(Runtime, Database)> {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let database = runtime.block_on(Database::postgresql())?;
    Some((runtime, database))
}
