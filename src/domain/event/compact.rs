//! A run as the log keeps it: the one place that writes it and reads it back.
//!
//! Three events or more tell of each run, and each holds all of it, so that it can be read by itself from wherever
//! someone begins. So it is kept in as few bytes as that takes: fields by their numbers, instants by their distance from
//! the one before, and nothing that is as it usually is. What a newer server adds is passed over, as anywhere in protobuf.

mod form;
mod words;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use prost::Message as _;
use uuid::Uuid;

use self::{
    form::{Body, Missed, Policy, Step, Wish},
    words::Word,
};
use crate::domain::{
    ReplicaId, Run, RunId, TaskId,
    run::{Cancellation, Coalesced, Progress, RunPolicy},
};

/// Who asked for the runs that a schedule queued.
const BY_SCHEDULE: &str = "schedule";

/// The run in few bytes, but for its task's id and name, which the log holds beside it; none where it holds an instant or a span
/// that these cannot: then it is told as JSON, as it once was.
pub(super) fn write(run: &Run) -> Option<String> {
    let queued = micros(run.queued_at)?;
    let since = |at: Timestamp| micros(at)?.checked_sub(queued);
    // Of none, none.
    let since_of = |at: Option<Timestamp>| at.map(since).map_or(Some(None), |at| at.map(Some));
    let slot = since_of(run.slot_at)?;
    let started = since_of(run.started_at)?;
    let is_first = run.attempt_started_at == run.started_at;
    let beside = |at: Option<i64>, base: Option<i64>| match at {
        Some(at) => at.checked_sub(base.unwrap_or(0)).map(Some),
        None => Some(None),
    };
    let bytes = |id: Uuid| id.as_bytes().to_vec();
    let body = Body {
        id: bytes(run.id.0),
        kind: run.kind.clone(),
        word: Word {
            state: run.state,
            trigger: run.trigger,
            outcome: run.outcome,
            dry_run: run.dry_run,
            solo: run.solo,
            catch_up: run.catch_up,
            same_start: is_first,
        }
        .pack()?,
        attempt: run.attempt,
        uncharged: run.attempt.checked_sub(run.attempts_charged)?,
        priority: run.priority.into(),
        queued,
        slot,
        nominal: beside(since_of(run.nominal_at)?, slot)?,
        due: since(run.due_at)?,
        claim: since_of(run.claim_at)?,
        start_deadline: since_of(run.start_deadline_at)?,
        started,
        attempt_started: match is_first {
            true => None,
            false => beside(since_of(run.attempt_started_at)?, started)?,
        },
        version: run.version,
        finished: since_of(run.finished_at)?,
        lease_owner: run.lease_owner.map_or_else(Vec::new, |id| bytes(id.0)),
        lease_until: since_of(run.lease_until)?,
        revision: run.revision,
        principal: match run.principal.as_str() {
            BY_SCHEDULE => String::new(),
            // It would be read as the schedule.
            "" => return None,
            principal => principal.to_owned(),
        },
        reason: run.reason.clone(),
        message: run.message.clone(),
        counters: run.counters.clone(),
        policy: match run.policy.is_usual() {
            true => None,
            false => Some(Policy::of(&run.policy)?),
        },
        coalesced: match &run.coalesced {
            Some(coalesced) => Some(Missed {
                first: since(coalesced.first_at)?,
                last: since(coalesced.last_at)?,
                count: coalesced.count,
            }),
            None => None,
        },
        retry_of: run.retry_of.map_or_else(Vec::new, |id| bytes(id.0)),
        request_reason: run.request_reason.clone(),
        cancellation: match &run.cancellation {
            Some(wish) => Some(Wish {
                at: since(wish.at)?,
                principal: wish.principal.clone(),
                reason: wish.reason.clone(),
            }),
            None => None,
        },
        progress: match &run.progress {
            Some(progress) => Some(Step {
                done: progress.done,
                total: progress.total,
                message: progress.message.clone(),
                at: since(progress.at)?,
                phase: progress.phase.clone(),
                files: progress.files,
                remaining_ms: progress.remaining_ms,
            }),
            None => None,
        },
    };
    Some(text_of(&body.encode_to_vec()))
}

/// The run that was written so; none where a newer server has told what is not known here, or where they are damaged. What a
/// handler is told is not part of it.
pub(super) fn read(text: &str, task_id: TaskId, task: &str) -> Option<Run> {
    let body = Body::decode(bytes_of(text)?.as_slice()).ok()?;
    let at = |since: i64| Timestamp::from_microsecond(body.queued.checked_add(since)?).ok();
    let at_of = |since: Option<i64>| since.map(at).map_or(Some(None), |at| at.map(Some));
    let beside = |since: Option<i64>, base: Option<i64>| match since {
        Some(since) => since.checked_add(base.unwrap_or(0)).map(Some),
        None => Some(None),
    };
    let id_of = |bytes: &[u8]| match bytes {
        [] => Some(None),
        bytes => Uuid::from_slice(bytes).ok().map(Some),
    };
    let Word {
        state,
        trigger,
        outcome,
        dry_run,
        solo,
        catch_up,
        same_start,
    } = Word::unpack(body.word)?;
    let attempt_started = match same_start {
        true => body.started,
        false => beside(body.attempt_started, body.started)?,
    };
    Some(Run {
        id: RunId(id_of(&body.id)??),
        task_id,
        task: task.parse().ok()?,
        trigger,
        state,
        outcome,
        attempt: body.attempt,
        attempts_charged: body.attempt.checked_sub(body.uncharged)?,
        priority: body.priority.try_into().ok()?,
        parameters: serde_json::Map::new(),
        policy: match body.policy {
            Some(policy) => policy.read()?,
            None => RunPolicy::default(),
        },
        dry_run,
        solo,
        slot_at: at_of(body.slot)?,
        nominal_at: at_of(beside(body.nominal, body.slot)?)?,
        due_at: at(body.due)?,
        queued_at: at(0)?,
        claim_at: at_of(body.claim)?,
        start_deadline_at: at_of(body.start_deadline)?,
        started_at: at_of(body.started)?,
        attempt_started_at: at_of(attempt_started)?,
        finished_at: at_of(body.finished)?,
        lease_owner: id_of(&body.lease_owner)?.map(ReplicaId),
        lease_until: at_of(body.lease_until)?,
        coalesced: match body.coalesced {
            Some(missed) => Some(Coalesced {
                first_at: at(missed.first)?,
                last_at: at(missed.last)?,
                count: missed.count,
            }),
            None => None,
        },
        catch_up,
        retry_of: id_of(&body.retry_of)?.map(RunId),
        cancellation: match body.cancellation {
            Some(wish) => Some(Cancellation {
                at: at(wish.at)?,
                principal: wish.principal,
                reason: wish.reason,
            }),
            None => None,
        },
        progress: match body.progress {
            Some(step) => Some(Progress {
                done: step.done,
                total: step.total,
                message: step.message,
                at: at(step.at)?,
                phase: step.phase,
                files: step.files,
                remaining_ms: step.remaining_ms,
            }),
            None => None,
        },
        kind: body.kind,
        reason: body.reason,
        message: body.message,
        counters: body.counters,
        principal: match body.principal.as_str() {
            "" => BY_SCHEDULE.to_owned(),
            _ => body.principal,
        },
        request_reason: body.request_reason,
        revision: body.revision,
        version: body.version,
    })
}

/// Microseconds; none where there is more to it.
fn micros(at: Timestamp) -> Option<i64> {
    (at.subsec_nanosecond() % 1000 == 0).then(|| at.as_microsecond())
}

/// How such a text begins, unlike JSON.
const MARK: char = '1';

/// Bytes as text: the log's column holds nothing else, and another column would halt servers of before, which have
/// statements prepared that read all there were. Each byte is the character of the number after it, as PostgreSQL has none
/// of number 0: most take one byte again.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 5 / 4 + 1);
    text.push(MARK);
    text.extend(
        bytes
            .iter()
            .filter_map(|byte| char::from_u32(u32::from(*byte) + 1)),
    );
    text
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let chars = text.strip_prefix(MARK)?.chars();
    let byte = |letter: char| u32::from(letter).checked_sub(1)?.try_into().ok();
    chars.map(byte).collect()
}
