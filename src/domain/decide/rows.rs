//! The rows of the ledger that a decision makes, each from the cursor on.

use jiff::Timestamp;

use super::{Decision, Facts};
use crate::domain::{
    id::TaskId,
    ledger::{SlotOutcome, SlotRow},
    task::{Course, Pause},
};

/// Closes (cursor, `upto`] as one row, and moves the cursor there; nothing where it is there already.
/// A clock that was set back never moves a cursor back.
pub fn close(
    task: &mut Course,
    facts: &Facts<'_>,
    upto: Timestamp,
    outcome: SlotOutcome,
    reason: String,
) -> Option<SlotRow> {
    if upto <= task.cursor_at {
        return None;
    }
    let row = span_row(task, facts, upto, outcome, reason);
    task.cursor_at = upto;
    Some(row)
}

/// Closes a pause as one row up to `upto`.
pub fn close_pause(
    task: &mut Course,
    facts: &Facts<'_>,
    pause: &Pause,
    upto: Timestamp,
) -> Option<SlotRow> {
    let reason = match pause.reason.as_str() {
        "" => format!("paused by {}", pause.principal),
        said => format!("paused by {}: {said}", pause.principal),
    };
    close(task, facts, upto, SlotOutcome::SkippedPaused, reason)
}

pub(super) fn skip(
    task: &mut Course,
    facts: &Facts<'_>,
    upto: Timestamp,
    outcome: SlotOutcome,
    reason: String,
    decision: &mut Decision,
) {
    decision
        .rows
        .extend(close(task, facts, upto, outcome, reason));
}

/// A row over (cursor, `upto`].
pub(super) fn span_row(
    task: &Course,
    facts: &Facts<'_>,
    upto: Timestamp,
    outcome: SlotOutcome,
    reason: String,
) -> SlotRow {
    let after = task.cursor_at;
    let first_at = facts
        .schedule
        .next_after(after)
        .filter(|first| *first <= upto);
    SlotRow {
        task_id: TaskId(task.id.0),
        after_at: after,
        upto_at: upto,
        outcome,
        reason,
        count: i64::try_from(facts.schedule.count(after, upto)).unwrap_or(i64::MAX),
        first_at,
        last_at: facts.schedule.last_between(after, upto),
        run_id: None,
        revision: task.revision,
        tzdb: facts.tzdb.to_owned(),
        decided_at: facts.now,
    }
}
