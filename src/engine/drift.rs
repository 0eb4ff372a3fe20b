//! Where what runs differs from what is configured.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Engine, rules_in_use};
use crate::{
    domain::{Task, TaskName, rules::ZoneRules, task::Override},
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

/// A page of what differs, by subject.
#[derive(Clone, Debug, Default)]
pub struct DriftPage {
    pub items: Vec<DriftItem>,
    /// The task behind which the next page begins; none after the last.
    pub next: Option<TaskName>,
}

/// Tasks that the API has changed, read in one go.
const CHANGED: usize = 250;
/// Tasks that the API has added, looked at in one go for whether they do another's work.
const ADDED: usize = 2500;
/// Reads for one page: it may be short though there are more.
const READS: usize = 4;

impl Engine {
    /// Overrides that change something, with their age; tasks of the API that do the work of a configured one; replicas
    /// that differ from this one, and plans by other rules of time zones. Nothing else: a list that is never empty is read by nobody.
    /// A page of it that begins behind a task, and ends with one: of `limit` items, and those of its last task.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn drift(&self, behind: Option<&TaskName>, limit: usize) -> Result<DriftPage> {
        let mut page = DriftPage {
            next: behind.cloned(),
            ..DriftPage::default()
        };
        if behind.is_none() {
            page.items = self.servers_drift().await?;
        }
        for _ in 0..READS {
            let (found, upto) = self.tasks_drift(page.next.as_ref()).await?;
            for (task, items) in found {
                if upto.as_ref().is_some_and(|upto| *upto < task) {
                    break;
                }
                // One task at least, so that there is somewhere to go on from.
                if limit <= page.items.len() && page.next.is_some() {
                    return Ok(page);
                }
                page.items.extend(items);
                page.next = Some(task);
            }
            page.next = upto;
            if page.next.is_none() {
                break;
            }
        }
        Ok(page)
    }

    /// What differs of the next tasks, and up to which of them that is all; none where there are no more.
    async fn tasks_drift(
        &self,
        behind: Option<&TaskName>,
    ) -> Result<(BTreeMap<TaskName, Vec<DriftItem>>, Option<TaskName>)> {
        let mut found: BTreeMap<TaskName, Vec<DriftItem>> = BTreeMap::new();
        let changed = self.store().tasks_overridden(behind, CHANGED).await?;
        let last = changed.last().filter(|_| changed.len() == CHANGED);
        let last = last.map(|task| task.name.clone());
        for task in changed {
            let fields = task.layers.api.iter();
            let items = fields.filter(|(field, _)| changes_something(&task, field));
            let items: Vec<_> = items
                .map(|(field, change)| overridden(&task, field, change))
                .collect();
            if !items.is_empty() {
                found.insert(task.name, items);
            }
        }
        // One work at two times is what a configuration may well say, as a crontab does.
        let (doubled, last_added) = self.store().tasks_doubled(behind, ADDED).await?;
        for double in doubled {
            let parameters = serde_json::to_string(&double.spec.parameters).unwrap_or_default();
            let message = format!(
                "does the same as tasks/{}, which is configured: kind {}, parameters {parameters}",
                double.defined, double.spec.kind
            );
            let item = plain("DUPLICATE_WORK", format!("tasks/{}", double.added), message);
            found.entry(double.added).or_default().push(item);
        }
        let upto = [last, last_added].into_iter().flatten().min();
        Ok((found, upto))
    }

    /// What differs between servers.
    async fn servers_drift(&self) -> Result<Vec<DriftItem>> {
        let mut items = self.replica_drift().await?;
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

fn overridden(task: &Task, field: &str, change: &Override) -> DriftItem {
    DriftItem {
        kind: "OVERRIDE",
        subject: task.resource_name(),
        message: match change.reason.as_str() {
            "" => format!("{field} is {}", change.value),
            reason => format!("{field} is {}: {reason}", change.value),
        },
        since: Some(change.at),
        principal: Some(change.principal.clone()),
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
