//! Where what runs differs from what is configured.

use jiff::Timestamp;

use super::{Engine, rules_in_use};
use crate::{
    domain::{Task, rules::ZoneRules},
    error::Result,
};

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftItem {
    /// OVERRIDE, DUPLICATE_WORK, PLAN_TZDATA, REPLICA_CONFIGURATION, REPLICA_TZDATA or REPLICA_VERSION.
    pub kind: &'static str,
    pub subject: String,
    pub message: String,
    pub since: Option<Timestamp>,
    pub principal: Option<String>,
}

impl Engine {
    /// Overrides that change something, with their age; tasks of the API that do the work of a configured one; replicas
    /// that differ from this one, and plans by other rules of time zones. Nothing else: a list that is never empty is read by nobody.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn drift(&self) -> Result<Vec<DriftItem>> {
        let mut items = Vec::new();
        for task in self.store().tasks_overridden().await? {
            for (field, change) in &task.layers.api {
                if !changes_something(&task, field) {
                    continue;
                }
                items.push(DriftItem {
                    kind: "OVERRIDE",
                    subject: task.resource_name(),
                    message: match change.reason.as_str() {
                        "" => format!("{field} is {}", change.value),
                        reason => format!("{field} is {}: {reason}", change.value),
                    },
                    since: Some(change.at),
                    principal: Some(change.principal.clone()),
                });
            }
        }
        // One work at two times is what a configuration may well say, as a crontab does.
        for double in self.store().tasks_doubled().await? {
            let parameters = serde_json::to_string(&double.spec.parameters).unwrap_or_default();
            let message = format!(
                "does the same as tasks/{}, which is configured: kind {}, parameters {parameters}",
                double.defined, double.spec.kind
            );
            items.push(plain(
                "DUPLICATE_WORK",
                format!("tasks/{}", double.added),
                message,
            ));
        }
        let planned_otherwise = self.board().read().planned_otherwise;
        if 0 < planned_otherwise {
            let message = format!(
                "{planned_otherwise} tasks are planned by other rules of their time zone than this server's, whose tz \
                 database is {}: another server has newer ones",
                self.tzdb()
            );
            let subject = format!("replicas/{}", self.replica().id);
            items.push(plain("PLAN_TZDATA", subject, message));
        }
        items.extend(self.replica_drift().await?);
        items.sort_by(|a, b| (&a.subject, a.kind).cmp(&(&b.subject, b.kind)));
        Ok(items)
    }

    async fn replica_drift(&self) -> Result<Vec<DriftItem>> {
        let own = self.replica();
        let now = self.clock().now();
        let mut items = Vec::new();
        if self.store().kind() != "postgresql" {
            // One process owns the data directory: whatever else is in the table has died.
            return Ok(items);
        }
        for other in self.store().replicas().await? {
            if other.id == own.id || !other.is_alive(now) {
                continue;
            }
            let subject = format!("replicas/{}", other.id);
            if other.configuration_hash != own.configuration_hash {
                let message = format!(
                    "on {}: another configuration than this replica's",
                    other.host
                );
                items.push(plain("REPLICA_CONFIGURATION", subject.clone(), message));
            }
            let rules = ZoneRules::read(&other.rules);
            if let Some(unlike) = rules.and_then(|rules| rules.told_beside(&rules_in_use())) {
                let message = format!("on {}: {unlike}", other.host);
                items.push(plain("REPLICA_TZDATA", subject.clone(), message));
            }
            if other.version != own.version {
                let message = format!(
                    "on {}: version {}, this one is {}",
                    other.host, other.version, own.version
                );
                items.push(plain("REPLICA_VERSION", subject, message));
            }
        }
        Ok(items)
    }
}

/// Whether the task would be another without what was changed in this field.
fn changes_something(task: &Task, field: &str) -> bool {
    let mut without = task.layers.clone();
    without.api.remove(field);
    // What does not fit, with it or without it, differs.
    match (without.merge(), task.layers.merge()) {
        (Ok(without), Ok(with)) => without != with,
        (Err(_), _) | (_, Err(_)) => true,
    }
}

fn plain(kind: &'static str, subject: String, message: String) -> DriftItem {
    DriftItem {
        kind,
        subject,
        message,
        since: None,
        principal: None,
    }
}
