//! Every setting, its default and its check; the one reader of the environment.
//!
//! One TOML file, environment variables over it, flags over those. What was written (`raw`) becomes
//! a checked [`Config`], or an error that names the setting.

mod arenas;
mod backups;
mod check;
mod database_name;
mod document_types;
mod explain;
mod leftovers;
pub mod once;
mod own_places;
mod parameters;
mod raw;
mod redact;
mod refusal;
mod replace;
mod requests;
mod secret;
mod sections;
pub mod trust;
pub mod variables;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

pub(crate) use self::explain::without_password;
pub use self::{
    arenas::keep_heaps_few,
    backups::{ArchiveConfig, BackupsConfig, PathsConfig, SourceConfig},
    database_name::is_database_name,
    explain::{explain, without_secrets},
    leftovers::Leftovers,
    own_places::{Found, OwnFolder, OwnPlaces},
    parameters::{Accepted, Accepts, Given, as_json},
    raw::{CommandConfig, Flags, HealthThresholds, Threshold},
    redact::Masker,
    replace::replace,
    requests::{HttpRequestConfig, ParametersIn, SecretHeader},
    secret::{Secret, SecretSource},
};
use crate::domain::{TaskName, document::DocumentTypes, task::Fields};

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(String),
}

/// How the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// In the syntax of tracing's `EnvFilter`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// How long things are kept that no task's own policy rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    pub events_keep_for: Duration,
    pub events_keep_count: i64,
    pub requests_keep_for: Duration,
    pub ledger_keep_for: Duration,
    /// Logs of runs; none: as long as their runs.
    pub keep_logs_for: Option<Duration>,
}

/// Bounds of documents' contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentConfig {
    pub max_bytes: u64,
    pub keep_unused_for: Duration,
}

/// The settings in force, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub data: PathBuf,
    pub database: DatabaseUrl,
    pub listen: SocketAddr,
    /// The organisation's zone.
    pub time_zone: String,
    pub max_running: usize,
    /// Connections at once, where the system lets it have so many.
    pub max_connections: usize,
    pub lease: Duration,
    pub shutdown_grace: Duration,
    pub audit_grace: Duration,
    /// Whether there are kinds of task for measuring.
    pub bench_kinds: bool,
    pub log: LogConfig,
    pub history: HistoryConfig,
    pub content: ContentConfig,
    /// What is said of types of documents.
    pub document_types: DocumentTypes,
    pub backups: BackupsConfig,
    pub health: HealthThresholds,
    pub commands: BTreeMap<String, CommandConfig>,
    pub http_requests: BTreeMap<String, HttpRequestConfig>,
    pub secrets: BTreeMap<String, SecretSource>,
    /// The configuration's layer of each task: fields of a `TaskSpec` as written.
    pub tasks: BTreeMap<TaskName, Fields>,
    /// Of all that shapes tasks.
    pub hash: String,
    /// The same but for what is said of each task.
    pub basis: String,
    /// The file that was read; none where there was none.
    pub file: Option<PathBuf>,
    /// A start without a file is what is meant, whatever was in force.
    pub without_configuration: bool,
    /// To go by an older configuration than others do is what is meant.
    pub apply_older: bool,
}

impl Config {
    /// Reads the file, the environment and the flags. No disk is asked of what they name: a restore neither hangs nor is
    /// refused where a source lies on a disk that has died.
    ///
    /// # Errors
    /// Which setting is wrong, where it was written, and what was expected.
    pub fn load(flags: &Flags) -> anyhow::Result<Self> {
        let (read, file) = raw::read(flags)?;
        Ok(Self {
            file: file.map(std::path::absolute).transpose()?,
            without_configuration: flags.without_configuration,
            apply_older: flags.apply_older,
            ..check::check(&read)?
        })
    }

    /// Asks the disks whether a source of backups holds what backups make, or lies in it, through whatever link or mount.
    /// For who makes backups, or looks whether they fit. Blocks, and waits for two seconds at the most.
    ///
    /// # Errors
    /// Which source, and which of the places.
    pub fn expect_no_own_places(&self) -> anyhow::Result<()> {
        OwnPlaces::of(&self.backups).refuse_on_disk(&self.backups)
    }
}

/// A status or a range of them, such as `404` or `200-299`.
///
/// # Errors
/// What was expected.
pub fn status_range(text: &str) -> anyhow::Result<std::ops::RangeInclusive<u16>> {
    let read = |text: &str| {
        let status: Option<u16> = text.trim().parse().ok();
        status.filter(|status| (100..=599).contains(status)).ok_or_else(|| {
            anyhow::anyhow!("{text:?} is no HTTP status; expected one such as 404, or a range such as 200-299")
        })
    };
    match text.split_once('-') {
        Some((from, to)) => Ok(read(from)?..=read(to)?),
        None => {
            let status = read(text)?;
            Ok(status..=status)
        }
    }
}

/// A variable of the server's environment, for a command that may inherit it.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// The first word after the program's name, which says what it is to do.
pub fn first_argument() -> Option<std::ffi::OsString> {
    std::env::args_os().nth(1)
}

/// The server's own program, by a name that is good also once another version lies in its place.
pub fn own_program() -> PathBuf {
    let own = PathBuf::from("/proc/self/exe");
    match own.exists() {
        true => own,
        false => std::env::current_exe().unwrap_or_else(|_| PathBuf::from("watchbell")),
    }
}
