//! The rows of the ledger that a decision makes, each from the cursor on.

use jiff::Timestamp;

use super::{Decision, Facts};
use crate::domain::{
    id::TaskId,
    ledger::{SlotOutcome, SlotRow},
    schedule::{Schedule, just_before},
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

/// Closes a pause as one row up to `upto`. A slot that has come by then and is due later, because of its spread, is no
/// part of the pause: it stays to be decided.
pub fn close_pause(
    task: &mut Course,
    facts: &Facts<'_>,
    pause: &Pause,
    upto: Timestamp,
) -> Option<SlotRow> {
    let waiting = facts.schedule.waiting(task.cursor_at, upto);
    let upto = waiting.map_or(upto, just_before);
    let outcome = SlotOutcome::SkippedPaused;
    close(task, facts, upto, outcome, paused_by(pause))
}

/// Why slots did not run that fell into a pause.
pub fn paused_by(pause: &Pause) -> String {
    match pause.reason.as_str() {
        "" => format!("paused by {}", pause.principal),
        said => format!("paused by {}: {said}", pause.principal),
    }
}

/// Fate of a slot that has come and waits for its spread, where the schedule changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing waits; or the next schedule has no such slot, or one after it that has come.
    Nothing,
    /// It is not due by the next schedule either, and stays open.
    Stays(Timestamp),
    /// By the next schedule, whose spread is shorter, it is due already.
    IsDue(Timestamp),
}

/// Looks whether a slot waits that a change of the schedule at `now` must not lose.
pub fn waiting_through(
    before: &Schedule,
    next: &Schedule,
    cursor_at: Timestamp,
    now: Timestamp,
) -> Waiting {
    match before.waiting(cursor_at, now) {
        Some(slot) if next.last_between(just_before(slot), now) != Some(slot) => Waiting::Nothing,
        Some(slot) if now < next.due_at(slot) => Waiting::Stays(slot),
        Some(slot) => Waiting::IsDue(slot),
        None => Waiting::Nothing,
    }
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
        tzdb: facts.schedule.tzdb(),
        decided_at: facts.now,
    }
}
