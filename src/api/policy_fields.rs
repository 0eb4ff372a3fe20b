//! From a policy message and a mask to fields of a policy.

use super::{convert, mask};
use crate::{
    domain::{
        backup::{
            policy::{Policy, default_priority, default_sources},
            retention::Retention,
        },
        schedule::ScheduleSpec,
    },
    error::{Error, Result, all},
    pb,
};

/// Fields that an update may name.
const FIELDS: [&str; 6] = [
    "description",
    "schedule",
    "sources",
    "retention",
    "enabled",
    "priority",
];

fn populated(given: &pb::BackupPolicy) -> Vec<&'static str> {
    let is_there = |field: &&str| match *field {
        "description" => !given.description.is_empty(),
        "schedule" => given.schedule.is_some(),
        "sources" => !given.sources.is_empty(),
        "retention" => given.retention.is_some(),
        "enabled" => given.enabled.is_some(),
        _ => given.priority.is_some(),
    };
    FIELDS.into_iter().filter(is_there).collect()
}

/// Names of the fields of a new policy: what it keeps has no default.
pub(super) fn needed(given: &pb::BackupPolicy) -> Vec<&'static str> {
    let mut fields = populated(given);
    if given.retention.is_none() {
        fields.push("retention");
    }
    fields
}

/// Names of the fields that an update changes.
pub(super) fn changed(
    given: &pb::BackupPolicy,
    mask: Option<&prost_types::FieldMask>,
) -> Result<Vec<&'static str>> {
    let meant = mask::meant(mask, FIELDS)?;
    Ok(meant.unwrap_or_else(|| populated(given)))
}

/// Fields of a policy that are given, or taken back to what they are by default.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    description: Option<String>,
    schedule: Option<ScheduleSpec>,
    sources: Option<Vec<String>>,
    retention: Option<Retention>,
    enabled: Option<bool>,
    /// None within: the default of its kind.
    priority: Option<Option<i16>>,
}

impl Fields {
    /// Reads the fields of these names.
    pub(super) fn read(given: &pb::BackupPolicy, names: &[&str]) -> Result<Self> {
        let is_meant = |field| names.contains(&field);
        let schedule = given.schedule.as_ref().filter(|_| is_meant("schedule"));
        let schedule = schedule.map(convert::schedule_spec).transpose();
        let schedule = schedule.map_err(|error| error.below("policy"));
        let retention = is_meant("retention")
            .then(|| convert::retention("policy.retention", given.retention.as_ref()));
        let priority = given.priority.filter(|_| is_meant("priority"));
        let priority = priority.map(i16::try_from).transpose();
        let (schedule, retention, priority) = all((
            schedule,
            retention.transpose(),
            priority.map_err(|_| Error::invalid("policy.priority", "expected 0 to 9")),
        ))?;
        Ok(Self {
            description: is_meant("description").then(|| given.description.clone()),
            schedule: is_meant("schedule").then(|| schedule.unwrap_or_default()),
            sources: is_meant("sources").then(|| given.sources.clone()),
            retention,
            enabled: is_meant("enabled").then(|| given.enabled.unwrap_or(true)),
            priority: is_meant("priority").then_some(priority),
        })
    }

    pub(super) fn lay(self, policy: &mut Policy) {
        let kind = policy.kind;
        let sources = self.sources.map(|sources| match sources.is_empty() {
            true => default_sources(kind),
            false => sources,
        });
        let priority = self.priority;
        let priority = priority.map(|given| given.unwrap_or_else(|| default_priority(kind)));
        policy.description = self
            .description
            .unwrap_or_else(|| policy.description.clone());
        policy.schedule = self.schedule.unwrap_or_else(|| policy.schedule.clone());
        policy.sources = sources.unwrap_or_else(|| policy.sources.clone());
        policy.retention = self.retention.unwrap_or_else(|| policy.retention.clone());
        policy.enabled = self.enabled.unwrap_or(policy.enabled);
        policy.priority = priority.unwrap_or(policy.priority);
    }
}
