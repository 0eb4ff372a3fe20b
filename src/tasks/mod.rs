//! The kinds of task: a file for each, and a line for each here; and the tasks that ship.

mod backup;
mod bench;
mod command;
mod documents;
mod health_check;
mod http_request;
mod prune_history;
mod sweep_content;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde_json::{Map, Value, json};

use crate::{
    backup::{Backups, CLEANUP_TASK, RESTORE_TASK, VERIFY_TASK},
    config::{
        CommandConfig, Config, HealthThresholds, HistoryConfig, HttpRequestConfig, SecretSource,
    },
    domain::backup::policy::{SHIPPED, Shipped},
    engine::{BuiltIn, Registry},
    error::{Error, Result},
    process::Launchers,
    records::{Documents, EFFECTIVE_TASK, OBSOLESCENCE_TASK},
};

/// What the kinds may use; cheap to clone.
#[derive(Clone, Debug)]
pub struct Env {
    shared: Arc<Shared>,
    /// None where there is no database: kinds are then only asked whether parameters fit.
    documents: Option<Documents>,
    backups: Option<Backups>,
}

#[derive(Debug)]
struct Shared {
    data: PathBuf,
    bench_kinds: bool,
    health: HealthThresholds,
    history: HistoryConfig,
    commands: BTreeMap<String, CommandConfig>,
    http_requests: BTreeMap<String, HttpRequestConfig>,
    secrets: BTreeMap<String, SecretSource>,
    launchers: Launchers,
}

impl Env {
    pub fn new(
        config: &Config,
        launchers: Launchers,
        documents: Option<Documents>,
        backups: Option<Backups>,
    ) -> Self {
        Self {
            documents,
            backups,
            shared: Arc::new(Shared {
                data: config.data.clone(),
                bench_kinds: config.bench_kinds,
                health: config.health.clone(),
                history: config.history.clone(),
                commands: config.commands.clone(),
                http_requests: config.http_requests.clone(),
                secrets: config.secrets.clone(),
                launchers,
            }),
        }
    }
}

impl Env {
    fn documents(&self) -> Result<&Documents> {
        let documents = self.documents.as_ref();
        documents.ok_or_else(|| Error::internal("a run without a database"))
    }

    fn backups(&self) -> Result<&Backups> {
        let backups = self.backups.as_ref();
        backups.ok_or_else(|| Error::internal("a run without a database"))
    }
}

/// Ends what servers that were killed have left running on this host; says how many commands.
///
/// # Errors
/// Where one cannot be ended, or the data directory cannot be read.
pub async fn end_left(data: &std::path::Path) -> anyhow::Result<usize> {
    command::end_left(data).await
}

/// Every kind, and the tasks that ship.
pub fn registry(env: &Env) -> Registry {
    let mut registry = Registry::default();
    if env.shared.bench_kinds {
        registry = registry
            .with::<bench::Noop>(env.clone())
            .with::<bench::Sleep>(env.clone())
            .with::<bench::Token>(env.clone());
    }
    for shipped in &SHIPPED {
        registry = registry.task(of_policy(shipped));
    }
    registry
        .with::<backup::Backup>(env.clone())
        .with::<backup::VerifyBackups>(env.clone())
        .with::<backup::BackupCleanup>(env.clone())
        .with::<backup::RestoreBackup>(env.clone())
        .with::<command::Command>(env.clone())
        .with::<documents::EffectiveDates>(env.clone())
        .with::<documents::ObsolescenceDates>(env.clone())
        .with::<health_check::HealthCheck>(env.clone())
        .with::<http_request::HttpRequest>(env.clone())
        .with::<prune_history::PruneHistory>(env.clone())
        .with::<sweep_content::SweepContent>(env.clone())
        .task(built_in(
            EFFECTIVE_TASK,
            json!({
                "kind": EFFECTIVE_TASK,
                "description": "Approved documents whose date has come become effective; what they replace becomes superseded",
                "category": "Document Lifecycle",
                "icon": "📅",
                "schedule": {"cron": "0 * * * *"},
                "priority": 8,
                "start_deadline": "1h",
                "attempt_timeout": "30m",
                "retry": {"max_attempts": 3, "initial_backoff": "10s", "max_backoff": "5m"},
            }),
        ))
        .task(built_in(
            OBSOLESCENCE_TASK,
            json!({
                "kind": OBSOLESCENCE_TASK,
                "description": "Documents scheduled for obsolescence whose date has come become obsolete",
                "category": "Document Lifecycle",
                "icon": "🗃️",
                "schedule": {"cron": "15 * * * *"},
                "priority": 8,
                "start_deadline": "1h",
                "attempt_timeout": "30m",
                "retry": {"max_attempts": 3, "initial_backoff": "10s", "max_backoff": "5m"},
            }),
        ))
        .task(built_in(
            CLEANUP_TASK,
            json!({
                "kind": CLEANUP_TASK,
                "description": "Removes restore points that retention lets go, and frees what only they held",
                "category": "Backup & Recovery",
                "icon": "🗑️",
                "schedule": {"cron": "0 5 * * *"},
                "priority": 5,
                "start_deadline": "1h",
                "attempt_timeout": "6h",
                "retry": {"max_attempts": 3, "initial_backoff": "5m", "max_backoff": "30m"},
            }),
        ))
        .task(built_in(
            VERIFY_TASK,
            json!({
                "kind": VERIFY_TASK,
                "description": "Reads a part of the repository in rotation, and drills the newest restore point",
                "category": "Backup & Recovery",
                "icon": "🔍",
                "schedule": {"cron": "0 6 * * *"},
                "priority": 5,
                "start_deadline": "6h",
                "attempt_timeout": "12h",
                "retry": {"max_attempts": 2, "initial_backoff": "5m", "max_backoff": "30m"},
            }),
        ))
        .task(built_in(
            RESTORE_TASK,
            json!({
                "kind": RESTORE_TASK,
                "description": "Restores by a plan, into a new directory or database; on demand",
                "category": "Backup & Recovery",
                "icon": "⏪",
                "priority": 9,
                "overlap": "allow",
                "attempt_timeout": "24h",
            }),
        ))
        .task(built_in(
            "perform-system-health-check",
            json!({
                "kind": "perform-system-health-check",
                "description": "Measures database, disk, memory, load, queue and clock, and warns by thresholds",
                "category": "System Monitoring",
                "icon": "🏥",
                "schedule": {"cron": "*/30 * * * *"},
                "priority": 4,
                "start_deadline": "30m",
                "attempt_timeout": "2m",
            }),
        ))
        .task(built_in(
            "prune-history",
            json!({
                "kind": "prune-history",
                "description": "Drops finished runs, ledger rows and events that are older than their policy keeps",
                "category": "System Monitoring",
                "icon": "🧹",
                "schedule": {"cron": "17 3 * * *"},
                "priority": 2,
                "attempt_timeout": "6h",
            }),
        ))
        .task(built_in(
            "sweep-content",
            json!({
                "kind": "sweep-content",
                "description": "Removes contents that no document has held for a while, and uploads that broke off",
                "category": "System Monitoring",
                "icon": "🧹",
                "schedule": {"cron": "23 4 * * *"},
                "priority": 2,
                "attempt_timeout": "6h",
            }),
        ))
}

/// The task of a policy that ships, but for its schedule, which is the policy's.
fn of_policy(shipped: &Shipped) -> BuiltIn {
    BuiltIn {
        name: shipped.task().into(),
        fields: shipped.fields(),
        owned: true,
    }
}

fn built_in(name: &'static str, fields: Value) -> BuiltIn {
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    BuiltIn {
        name: name.into(),
        fields,
        owned: false,
    }
}

/// What the configuration holds under a name that a task gives.
fn named<'a, T>(
    all: &'a BTreeMap<String, T>,
    field: &str,
    table: &str,
    name: &str,
) -> Result<&'a T> {
    all.get(name).ok_or_else(|| {
        let known: Vec<&str> = all.keys().map(String::as_str).take(20).collect();
        let known = if known.is_empty() {
            "it holds none".to_owned()
        } else {
            format!("it holds {}", known.join(", "))
        };
        Error::invalid(
            format!("parameters.{field}"),
            format!("the configuration has no [{table}.{name}]; {known}"),
        )
    })
}
