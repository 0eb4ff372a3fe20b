//! Settings as they are written: the file's tables, the environment's names, the flags.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
    value::Dict,
};
use serde::{Deserialize, Serialize};

use super::{
    backups::RawBackups,
    document_types::RawDocumentType,
    leftovers::Leftovers,
    parameters::Accepts,
    refusal::refusal,
    requests::HttpRequestConfig,
    secret::SecretSource,
    sections::{self, Cut},
    variables,
};
use crate::domain::{span, task::Fields};

/// What the command line may say; over everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub data: Option<PathBuf>,
    pub database: Option<String>,
    pub listen: Option<String>,
    /// There is to be no file.
    pub without_configuration: bool,
    /// An older configuration than others go by is to be applied.
    pub apply_older: bool,
}

/// Every setting with its default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) data: PathBuf,
    pub(super) database: String,
    pub(super) listen: String,
    pub(super) time_zone: String,
    pub(super) max_running: usize,
    pub(super) max_connections: usize,
    #[serde(with = "span::required")]
    pub(super) lease: Duration,
    #[serde(with = "span::required")]
    pub(super) shutdown_grace: Duration,
    #[serde(with = "span::required")]
    pub(super) audit_grace: Duration,
    pub(super) bench_kinds: bool,
    pub(super) log: RawLog,
    pub(super) history: RawHistory,
    pub(super) content: RawContent,
    pub(super) document_types: BTreeMap<String, RawDocumentType>,
    pub(super) backups: RawBackups,
    pub(super) health: HealthThresholds,
    pub(super) commands: BTreeMap<String, CommandConfig>,
    pub(super) http_requests: BTreeMap<String, HttpRequestConfig>,
    pub(super) secrets: BTreeMap<String, SecretSource>,
    pub(super) tasks: BTreeMap<String, Fields>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) filter: String,
    pub(super) format: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHistory {
    #[serde(with = "span::required")]
    pub(super) events_keep_for: Duration,
    pub(super) events_keep_count: i64,
    #[serde(with = "span::required")]
    pub(super) requests_keep_for: Duration,
    #[serde(with = "span::required")]
    pub(super) ledger_keep_for: Duration,
    /// Logs of runs; none: as long as their runs.
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub(super) keep_logs_for: Option<Duration>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawContent {
    pub(super) max_bytes: u64,
    #[serde(with = "span::required")]
    pub(super) keep_unused_for: Duration,
}

/// A warning and a critical bound of a measure. Whether below or above is bad, the measure knows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    pub warning: f64,
    pub critical: f64,
}

/// The bounds of the health check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthThresholds {
    /// Milliseconds of a small read; more is worse.
    pub database_latency_ms: Threshold,
    /// Percent of the data directory's disk that is free; less is worse.
    pub disk_free_percent: Threshold,
    /// Percent of memory that is available; less is worse.
    pub memory_available_percent: Threshold,
    /// One-minute load average per core; more is worse.
    pub load_per_core: Threshold,
    /// Runs in the queue; more is worse.
    pub queue_depth: Threshold,
    /// Tasks with a slot due for over a minute and not decided; more is worse.
    pub late_slots: Threshold,
    /// Milliseconds between the host's clock and the database's; more is worse.
    pub clock_offset_ms: Threshold,
}

/// A command that tasks may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The program, by absolute path, and its arguments. No shell reads them.
    pub argv: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<PathBuf>,
    /// Variables to set.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Variables of the server's own environment to pass on; no others are.
    #[serde(default)]
    pub inherit_environment: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Values that a trigger may hand over: variables `WATCHBELL_PARAM_…` of the command.
    #[serde(default, skip_serializing_if = "Accepts::is_empty")]
    pub accepts: Accepts,
    /// Whether they are also written to its standard input, as a JSON object.
    #[serde(default)]
    pub parameters_on_stdin: bool,
    /// Run as this user; only a server that runs as root may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default = "zero")]
    pub success_exit_codes: Vec<i32>,
    #[serde(default)]
    pub nothing_to_do_exit_codes: Vec<i32>,
    #[serde(default)]
    pub partial_exit_codes: Vec<i32>,
    /// Codes after which another attempt would fail the same way.
    #[serde(default)]
    pub no_retry_exit_codes: Vec<i32>,
    /// What becomes of processes that live on once the command has ended.
    #[serde(default)]
    pub leftovers: Leftovers,
    /// How long they are waited for.
    #[serde(default = "minute", with = "span::required")]
    pub leftovers_for: Duration,
}

fn zero() -> Vec<i32> {
    vec![0]
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Raw {
    fn default() -> Self {
        Self {
            data: "watchbell-data".into(),
            database: "sqlite".into(),
            listen: "127.0.0.1:7420".into(),
            time_zone: "UTC".into(),
            max_running: 256,
            max_connections: 4096,
            lease: Duration::from_secs(15),
            shutdown_grace: Duration::from_secs(30),
            audit_grace: Duration::from_secs(60),
            bench_kinds: false,
            log: RawLog::default(),
            history: RawHistory::default(),
            content: RawContent::default(),
            document_types: BTreeMap::new(),
            backups: RawBackups::default(),
            health: HealthThresholds::default(),
            commands: BTreeMap::new(),
            http_requests: BTreeMap::new(),
            secrets: BTreeMap::new(),
            tasks: BTreeMap::new(),
        }
    }
}

impl Default for RawLog {
    fn default() -> Self {
        Self {
            filter: "info".into(),
            format: "text".into(),
        }
    }
}

impl Default for RawHistory {
    fn default() -> Self {
        Self {
            events_keep_for: 7 * DAY,
            events_keep_count: 1_000_000,
            requests_keep_for: 2 * DAY,
            ledger_keep_for: 400 * DAY,
            keep_logs_for: None,
        }
    }
}

impl Default for RawContent {
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            keep_unused_for: 7 * DAY,
        }
    }
}

impl Default for HealthThresholds {
    fn default() -> Self {
        let bounds = |warning, critical| Threshold { warning, critical };
        Self {
            database_latency_ms: bounds(100.0, 1000.0),
            disk_free_percent: bounds(15.0, 5.0),
            memory_available_percent: bounds(10.0, 3.0),
            load_per_core: bounds(4.0, 16.0),
            queue_depth: bounds(1000.0, 50_000.0),
            late_slots: bounds(1.0, 10.0),
            clock_offset_ms: bounds(250.0, 1000.0),
        }
    }
}

/// The layers, lowest first.
///
/// # Errors
/// Where the file that was named is not there.
pub(super) fn figment(flags: &Flags) -> anyhow::Result<Figment> {
    layered(flags, File::read(flags)?)
}

/// Everything, read, and the file that some of it was read from.
///
/// # Errors
/// As [`figment`]; and every wrong setting: its name, where it was written, and what was expected.
pub(super) fn read(flags: &Flags) -> anyhow::Result<(Raw, Option<PathBuf>)> {
    let mut file = File::read(flags)?;
    let path = file.as_ref().map(|file| file.path.clone());
    let mut tasks = None;
    if let Some(file) = &mut file
        && !tasks_by_variables()
        && let Some(cut) = sections::cut(&file.text)
    {
        let Cut { rest, tasks: found } = cut;
        (file.text, tasks) = (rest, Some(found));
    }
    let mut raw = extract(&layered(flags, file)?)?;
    if let Some(tasks) = tasks {
        raw.tasks = tasks;
    }
    Ok((raw, path))
}

/// The configuration file, read once.
struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn read(flags: &Flags) -> anyhow::Result<Option<Self>> {
        let Some(path) = config_file(flags)? else {
            return Ok(None);
        };
        let text = super::trust::read_file(&path);
        let text = text
            .with_context(|| format!("could not read the configuration file {}", path.display()))?;
        Ok(Some(Self { path, text }))
    }
}

impl figment::Provider for File {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::from("TOML file", self.path.as_path())
    }

    fn data(&self) -> figment::Result<figment::value::Map<figment::Profile, Dict>> {
        let dict = Toml::from_str::<Dict>(&self.text);
        let dict = dict.map_err(|error| figment::Error::from(error.to_string()))?;
        Ok(figment::Profile::Default.collect(dict))
    }
}

/// `WATCHBELL_LOG__FILTER` is `log.filter`.
fn variables() -> Env {
    Env::prefixed(variables::PREFIX)
        .filter(|key| variables::is_setting(key.as_str()))
        .split("__")
}

/// Whether variables say something of tasks, over the file.
fn tasks_by_variables() -> bool {
    variables().iter().any(|(key, _)| {
        let first = key.as_str().split('.').next();
        first.is_some_and(|first| first.eq_ignore_ascii_case("tasks"))
    })
}

fn layered(flags: &Flags, file: Option<File>) -> anyhow::Result<Figment> {
    let mut figment = Figment::from(Serialized::defaults(Raw::default()));
    if let Some(file) = file {
        figment = figment.merge(file);
    }
    figment = figment.merge(variables());
    let given = [
        (
            "data",
            flags
                .data
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
        ),
        ("database", flags.database.clone()),
        ("listen", flags.listen.clone()),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            figment = figment.merge(Flag { name, value });
        }
    }
    Ok(figment)
}

/// The file: by flag, by environment, or none.
///
/// # Errors
/// Where the one that is named is not there, or is named although there is to be none.
fn config_file(flags: &Flags) -> anyhow::Result<Option<PathBuf>> {
    let by_env = super::variable("WATCHBELL_CONFIG").map(PathBuf::from);
    if let Some(path) = by_env.as_ref().filter(|_| flags.without_configuration) {
        bail!(
            "--without-configuration was given, but WATCHBELL_CONFIG names {}: unset it, or leave the flag out",
            path.display()
        );
    }
    let Some(path) = flags.config.clone().or(by_env) else {
        return Ok(None);
    };
    if !path.is_file() {
        bail!(
            "there is no configuration file {}: pass one that is there by --config",
            path.display()
        );
    }
    Ok(Some(path))
}

/// A flag, as a layer whose name is told in errors and by `watchbell config`.
struct Flag {
    name: &'static str,
    value: String,
}

impl figment::Provider for Flag {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(format!("flag --{}", self.name))
    }

    fn data(&self) -> figment::Result<figment::value::Map<figment::Profile, Dict>> {
        Serialized::default(self.name, &self.value).data()
    }
}

/// Everything, read.
///
/// # Errors
/// Every wrong setting: its name, where it was written, and what was expected.
pub(super) fn extract(figment: &Figment) -> anyhow::Result<Raw> {
    figment.extract::<Raw>().map_err(refusal)
}
