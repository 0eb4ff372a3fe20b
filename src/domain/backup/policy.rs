//! What is backed up, when, and for how long it is kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{PolicyId, PolicyKind, retention::Retention};
use crate::{
    domain::{TaskName, schedule::ScheduleSpec, task::Owner},
    error::{Error, Faults, Result},
};

const DESCRIPTION_MAX: usize = 1000;
const SOURCES_MAX: usize = 50;
/// The server's own database, and what is in documents.
pub const OWN_SOURCES: [&str; 2] = [OWN_DATABASE, "content"];
pub const OWN_DATABASE: &str = "database";
/// The kind of task that runs policies.
pub const BACKUP_KIND: &str = "backup";
const CATEGORY: &str = "Backup & Recovery";

/// A policy, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub id: PolicyId,
    pub kind: PolicyKind,
    pub description: String,
    /// Empty: on demand.
    pub schedule: ScheduleSpec,
    pub sources: Vec<String>,
    pub retention: Retention,
    pub enabled: bool,
    pub priority: i16,
    /// Whether it ships with the server.
    pub shipped: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Who last changed it.
    pub principal: String,
    /// Counts its changes, from 1.
    pub version: i64,
}

/// A policy that ships: what a first start makes.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    pub id: &'static str,
    pub kind: PolicyKind,
    pub description: &'static str,
    pub cron: Option<&'static str>,
    pub keep_last: u32,
    pub priority: i16,
    /// How long a run of it may stay queued.
    pub start_deadline: &'static str,
}

/// Those of the requirement: names, times and counts are its.
pub const SHIPPED: [Shipped; 4] = [
    Shipped {
        id: "daily-full",
        kind: PolicyKind::Full,
        description: "Full backup of the database and of what is in documents",
        cron: Some("0 2 * * *"),
        keep_last: 30,
        priority: 9,
        start_deadline: "1h",
    },
    Shipped {
        id: "weekly-export",
        kind: PolicyKind::Export,
        description: "Portable export, built from the newest verified backup",
        cron: Some("0 3 * * 0"),
        keep_last: 12,
        priority: 8,
        start_deadline: "2h",
    },
    Shipped {
        id: "monthly-archive",
        kind: PolicyKind::Archive,
        description: "Copy of the newest drilled backup in a second place",
        cron: Some("0 4 1 * *"),
        keep_last: 12,
        priority: 7,
        start_deadline: "3h",
    },
    Shipped {
        id: "pre-deployment",
        kind: PolicyKind::Full,
        description: "Full backup before a change, on demand",
        cron: None,
        keep_last: 20,
        priority: 9,
        start_deadline: "1h",
    },
];

impl Shipped {
    /// Name of its task.
    pub fn task(&self) -> String {
        format!("backup-{}", self.id)
    }

    /// Its task's fields, but for the schedule, which is the policy's.
    pub fn fields(&self) -> Map<String, Value> {
        task_fields(
            self.id,
            self.description,
            self.priority,
            self.start_deadline,
        )
    }

    /// The policy that a first start makes.
    ///
    /// # Errors
    /// Never: its id is one.
    pub fn policy(&self, now: Timestamp) -> Result<Policy> {
        Ok(Policy {
            id: self.id.parse()?,
            kind: self.kind,
            description: self.description.to_owned(),
            schedule: ScheduleSpec {
                cron: self.cron.map(str::to_owned),
                ..ScheduleSpec::default()
            },
            sources: default_sources(self.kind),
            retention: Retention::last(self.keep_last),
            enabled: true,
            priority: self.priority,
            shipped: true,
            created_at: now,
            updated_at: now,
            principal: "watchbell".to_owned(),
            version: 1,
        })
    }
}

/// What a policy of a kind backs up where nothing is said.
pub fn default_sources(kind: PolicyKind) -> Vec<String> {
    match kind {
        PolicyKind::Full => OWN_SOURCES.map(str::to_owned).to_vec(),
        PolicyKind::Export | PolicyKind::Archive => Vec::new(),
    }
}

/// What its task's priority is where nothing is said.
pub fn default_priority(kind: PolicyKind) -> i16 {
    match kind {
        PolicyKind::Full => 9,
        PolicyKind::Export => 8,
        PolicyKind::Archive => 7,
    }
}

impl Policy {
    /// `backupPolicies/{policy}`.
    pub fn resource_name(&self) -> String {
        format!("backupPolicies/{}", self.id)
    }

    /// The task that runs it.
    ///
    /// # Errors
    /// Never: an id is short enough.
    pub fn task(&self) -> Result<TaskName> {
        format!("backup-{}", self.id).parse()
    }

    pub fn etag(&self) -> String {
        format!("{}-{}", self.created_at.as_microsecond(), self.version)
    }

    /// Whether it has a schedule; else it runs on demand.
    pub fn is_scheduled(&self) -> bool {
        let schedule = &self.schedule;
        schedule.cron.is_some() || schedule.every.is_some() || schedule.at.is_some()
    }

    /// Checks what needs nothing but itself and the names of the sources there are. Its schedule is checked with its
    /// task.
    ///
    /// # Errors
    /// [`Error::Invalid`] with a field below `policy`.
    pub fn check(&self, known: &[String]) -> Result<()> {
        let mut faults = Faults::default();
        let mut wrong = |field: &str, what: String| {
            let error = Error::invalid(format!("policy.{field}"), what);
            faults.take(Err::<(), _>(error)).map(drop)
        };
        let length = self.description.chars().count();
        if DESCRIPTION_MAX < length || self.description.contains('\0') {
            wrong(
                "description",
                format!(
                    "{length} characters; expected at most {DESCRIPTION_MAX}, none of them NUL"
                ),
            )?;
        }
        if !(0..=9).contains(&self.priority) {
            wrong(
                "priority",
                format!("{} given; expected 0 to 9", self.priority),
            )?;
        }
        if let Err(what) = self.check_sources(known) {
            wrong("sources", what)?;
        }
        let checked = self.retention.check();
        faults.take(checked.map_err(|error| error.below("policy.retention")))?;
        faults.done()
    }

    /// Says what is wrong with the sources, where something is.
    fn check_sources(&self, known: &[String]) -> Result<(), String> {
        match self.kind {
            PolicyKind::Export | PolicyKind::Archive if !self.sources.is_empty() => {
                return Err(format!(
                    "expected none: what is of kind {} is made of a restore point",
                    self.kind
                ));
            }
            PolicyKind::Full if self.sources.is_empty() || SOURCES_MAX < self.sources.len() => {
                return Err(format!(
                    "{} given; expected 1 to {SOURCES_MAX}",
                    self.sources.len()
                ));
            }
            _ => {}
        }
        for (index, source) in self.sources.iter().enumerate() {
            if !known.contains(source) {
                return Err(format!(
                    "there is no source {source:?}; expected one of {}: the configuration defines others, below \
                     [backups.sources]",
                    known.join(", ")
                ));
            }
            if self.sources[..index].contains(source) {
                return Err(format!("{source:?} is named twice"));
            }
        }
        Ok(())
    }

    /// What it says of its task. Where it is not to run, the task has no schedule.
    pub fn owner(&self, runs: bool) -> Owner {
        let mut fields = if self.shipped {
            Map::new()
        } else {
            task_fields(self.id.as_str(), &self.description, self.priority, "3h")
        };
        if self.shipped {
            fields.insert("description".to_owned(), json!(self.description));
            fields.insert("priority".to_owned(), json!(self.priority));
        }
        let schedule = if runs {
            self.schedule.clone()
        } else {
            ScheduleSpec::default()
        };
        let schedule = serde_json::to_value(schedule).unwrap_or_else(|_| json!({}));
        fields.insert("schedule".to_owned(), schedule);
        Owner {
            name: self.resource_name(),
            fields,
        }
    }
}

fn task_fields(
    id: &str,
    description: &str,
    priority: i16,
    start_deadline: &str,
) -> Map<String, Value> {
    let fields = json!({
        "kind": BACKUP_KIND,
        "parameters": {"policy": id},
        "description": description,
        "category": CATEGORY,
        "icon": "💾",
        "priority": priority,
        "start_deadline": start_deadline,
        "attempt_timeout": "12h",
        "progress_deadline": "30m",
        "retry": {"max_attempts": 3, "initial_backoff": "1m", "max_backoff": "15m"},
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
