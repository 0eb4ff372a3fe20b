//! From rows to nouns and back.

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::entity::{run, slot};
use crate::{
    domain::{
        Outcome, ReplicaId, Run, RunId, RunState, TaskId, Trigger,
        ledger::{SlotOutcome, SlotRow},
    },
    error::{Error, Result},
};

pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(super) fn micros_of(at: Option<Timestamp>) -> Option<i64> {
    at.map(micros)
}

pub(super) fn instant(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(Error::internal)
}

pub(super) fn instant_of(micros: Option<i64>) -> Result<Option<Timestamp>> {
    micros.map(instant).transpose()
}

/// A span as whole milliseconds.
pub(super) fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn millis_of(millis: Option<i64>) -> Option<std::time::Duration> {
    millis.map(|millis| std::time::Duration::from_millis(millis.max(0).unsigned_abs()))
}

pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

pub(super) fn json_of<T: Serialize>(value: Option<&T>) -> Result<Option<String>> {
    value.map(json).transpose()
}

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

pub(super) fn read_of<T: DeserializeOwned>(text: Option<&str>) -> Result<Option<T>> {
    text.map(read).transpose()
}

/// A word of ours that the database holds; another one is a newer server's, or damage.
pub(super) fn word<T>(what: &str, text: &str, parsed: Option<T>) -> Result<T> {
    parsed.ok_or_else(|| Error::internal(format!("the database holds an unknown {what}: {text:?}")))
}

impl TryFrom<run::Model> for Run {
    type Error = Error;

    fn try_from(row: run::Model) -> Result<Self> {
        let outcome = row.outcome.as_deref();
        Ok(Self {
            id: RunId(row.id),
            task_id: TaskId(row.task_id),
            task: row.task.parse()?,
            kind: row.kind,
            trigger: word("trigger", &row.trigger_by, Trigger::parse(&row.trigger_by))?,
            state: word("run state", &row.state, RunState::parse(&row.state))?,
            outcome: outcome
                .map(|text| word("outcome", text, Outcome::parse(text)))
                .transpose()?,
            reason: row.reason,
            message: row.message,
            counters: read(&row.counters)?,
            attempt: row.attempt,
            attempts_charged: row.attempts_charged,
            priority: row.priority,
            parameters: read(&row.parameters)?,
            policy: read(&row.policy)?,
            dry_run: row.dry_run,
            solo: row.solo,
            slot_at: instant_of(row.slot_at)?,
            nominal_at: instant_of(row.nominal_at)?,
            due_at: instant(row.due_at)?,
            queued_at: instant(row.queued_at)?,
            claim_at: instant_of(row.claim_at)?,
            start_deadline_at: instant_of(row.start_deadline_at)?,
            started_at: instant_of(row.started_at)?,
            attempt_started_at: instant_of(row.attempt_started_at)?,
            finished_at: instant_of(row.finished_at)?,
            lease_owner: row.lease_owner.map(ReplicaId),
            lease_until: instant_of(row.lease_until)?,
            coalesced: read_of(row.coalesced.as_deref())?,
            catch_up: row.catch_up,
            retry_of: row.retry_of.map(RunId),
            principal: row.principal,
            request_reason: row.request_reason,
            cancellation: read_of(row.cancellation.as_deref())?,
            progress: read_of(row.progress.as_deref())?,
            revision: row.revision,
            version: row.version,
        })
    }
}

impl TryFrom<slot::Model> for SlotRow {
    type Error = Error;

    fn try_from(row: slot::Model) -> Result<Self> {
        Ok(Self {
            task_id: TaskId(row.task_id),
            after_at: instant(row.after_at)?,
            upto_at: instant(row.upto_at)?,
            outcome: word(
                "slot outcome",
                &row.outcome,
                SlotOutcome::parse(&row.outcome),
            )?,
            reason: row.reason,
            count: row.count,
            first_at: instant_of(row.first_at)?,
            last_at: instant_of(row.last_at)?,
            run_id: row.run_id.map(RunId),
            revision: row.revision,
            tzdb: row.tzdb,
            decided_at: instant(row.decided_at)?,
        })
    }
}

pub(super) fn uuid_of(id: Option<impl Into<Uuid>>) -> Option<Uuid> {
    id.map(Into::into)
}

impl From<RunId> for Uuid {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl From<ReplicaId> for Uuid {
    fn from(id: ReplicaId) -> Self {
        id.0
    }
}
