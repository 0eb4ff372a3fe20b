//! Where what runs differs from what is configured.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Engine;
use crate::{domain::task::Origin, error::Result};

/// A replica without a sign of life for longer than this is not compared.
pub const ALIVE_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftItem {
    /// OVERRIDE, KIND_UNSCHEDULED, DUPLICATE_WORK, REPLICA_CONFIGURATION or REPLICA_VERSION.
    pub kind: &'static str,
    pub subject: String,
    pub message: String,
    pub since: Option<Timestamp>,
    pub principal: Option<String>,
}

impl Engine {
    /// Overrides with their age, kinds that nothing schedules, tasks that do the same, replicas that
    /// differ from this one.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn drift(&self) -> Result<Vec<DriftItem>> {
        let mut items = Vec::new();
        let tasks = self.store().tasks_all().await?;
        let mut same: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for task in &tasks {
            let parameters = serde_json::to_string(&task.spec.parameters).unwrap_or_default();
            let work = (task.spec.kind.clone(), parameters);
            same.entry(work).or_default().push(task.resource_name());
            if task.layers.origin() == Origin::Api {
                continue;
            }
            for (field, change) in &task.layers.api {
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
        for (kind, _) in self.registry().kinds() {
            if !tasks.iter().any(|task| task.spec.kind == kind) {
                let message = "no task uses this kind".to_owned();
                items.push(plain("KIND_UNSCHEDULED", format!("kinds/{kind}"), message));
            }
        }
        for ((kind, parameters), names) in same {
            if let [first, others @ ..] = names.as_slice()
                && !others.is_empty()
            {
                let message = format!(
                    "does the same as {}: kind {kind}, parameters {parameters}",
                    others.join(", ")
                );
                items.push(plain("DUPLICATE_WORK", first.clone(), message));
            }
        }
        items.extend(self.replica_drift().await?);
        items.sort_by(|a, b| (&a.subject, a.kind).cmp(&(&b.subject, b.kind)));
        Ok(items)
    }

    async fn replica_drift(&self) -> Result<Vec<DriftItem>> {
        let own = self.replica();
        let now = self.clock().now();
        let mut items = Vec::new();
        for other in self.store().replicas().await? {
            if other.id == own.id || ALIVE_FOR < now.duration_since(other.seen_at) {
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

fn plain(kind: &'static str, subject: String, message: String) -> DriftItem {
    DriftItem {
        kind,
        subject,
        message,
        since: None,
        principal: None,
    }
}
