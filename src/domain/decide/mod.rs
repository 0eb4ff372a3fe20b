//! Which slots run: the rules from a due slot to a run and its ledger rows. Pure: the caller reads
//! the facts under the task's lock, and writes what comes out in the same transaction.
//!
//! Order of rules: start and end → paused → catch-up → overlap.

mod rows;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use self::rows::{Waiting, close, close_pause, paused_by, waiting_through};
use self::rows::{skip, span_row};
use super::{
    id::RunId,
    ledger::{SlotOutcome, SlotRow},
    retry::later,
    run::{Coalesced, Run, RunState, Trigger},
    schedule::{Schedule, just_before},
    span,
    task::{CatchUpMode, Course, Overlap},
};

/// A run of the task that has not ended, as far as a decision needs it.
#[derive(Clone, Debug)]
pub struct Live {
    pub run: RunId,
    pub state: RunState,
    pub catch_up: bool,
    pub attempt: i64,
}

/// What a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub schedule: &'a Schedule,
    pub now: Timestamp,
    pub live: &'a [Live],
}

/// What was decided: rows and runs to insert, and queued catch-up runs that a slot has overtaken.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    pub rows: Vec<SlotRow>,
    pub runs: Vec<Run>,
    pub superseded: Vec<(RunId, i64)>,
}

/// Decides every slot of the task that is due, and moves its cursor and what comes next.
pub fn decide(task: &mut Course, facts: &Facts<'_>) -> Decision {
    let mut decision = Decision::default();
    if let Some(pause) = task.pause.clone() {
        match pause.until {
            Some(until) if until <= facts.now => {
                decision
                    .rows
                    .extend(close_pause(task, facts, &pause, pause.ends_at(facts.now)));
                task.pause = None;
            }
            _ => return decision,
        }
    }
    decide_due(task, facts, &mut decision);
    plan_next(task, facts.schedule);
    decision
}

/// Decides a slot that waits for its spread at once, as one that is on time: it is due already by the schedule that
/// follows, whose spread is shorter.
pub fn decide_early(task: &mut Course, facts: &Facts<'_>, slot: Timestamp) -> Decision {
    let mut decision = Decision::default();
    if let Some(reason) = overlap_reason(task.spec.overlap, facts.live) {
        let outcome = SlotOutcome::SkippedOverlap;
        skip(task, facts, slot, outcome, reason, &mut decision);
        return decision;
    }
    let in_line = !facts.live.is_empty();
    dispatch(task, facts, slot, false, in_line, None, &mut decision);
    for run in &mut decision.runs {
        run.due_at = facts.now;
    }
    decision
}

/// Works out the next slot after the cursor.
pub fn plan_next(task: &mut Course, schedule: &Schedule) {
    task.next_slot_at = schedule.next_after(task.cursor_at);
    task.next_due_at = task.next_slot_at.map(|slot| schedule.due_at(slot));
    task.rules = schedule.rules();
}

/// A run of this task, to be queued at `now`, that nothing stands before.
pub fn new_run(task: &Course, trigger: Trigger, due_at: Timestamp, now: Timestamp) -> Run {
    Run {
        id: RunId::at(now),
        task_id: task.id,
        task: task.name.clone(),
        kind: task.spec.kind.clone(),
        trigger,
        state: RunState::Queued,
        outcome: None,
        reason: String::new(),
        message: String::new(),
        counters: Default::default(),
        attempt: 0,
        attempts_charged: 0,
        priority: task.spec.priority,
        parameters: task.spec.parameters.clone(),
        policy: task.spec.run_policy(),
        dry_run: false,
        solo: task.spec.overlap != Overlap::Allow,
        slot_at: None,
        nominal_at: None,
        due_at,
        queued_at: now,
        claim_at: Some(now),
        start_deadline_at: task.spec.start_deadline.map(|span| later(now, span)),
        started_at: None,
        attempt_started_at: None,
        finished_at: None,
        lease_owner: None,
        lease_until: None,
        coalesced: None,
        catch_up: false,
        retry_of: None,
        principal: "schedule".to_owned(),
        request_reason: String::new(),
        cancellation: None,
        progress: None,
        revision: task.revision,
        version: 1,
    }
}

/// Why a further run of the task may not be queued, if so.
pub fn overlap_reason(overlap: Overlap, live: &[Live]) -> Option<String> {
    let first = live.first()?;
    match overlap {
        Overlap::Allow => None,
        Overlap::Skip => Some(format!("run {} is {}", first.run, first.state)),
        Overlap::BufferOne => {
            let waits = live
                .iter()
                .find(|live| live.state == RunState::Queued && live.attempt == 0);
            // The one that is queued alone is not behind another: it is the next to run.
            let waits = if live.len() == 1 { None } else { waits };
            waits.map(|live| format!("run {} already waits in line", live.run))
        }
    }
}

fn decide_due(task: &mut Course, facts: &Facts<'_>, decision: &mut Decision) {
    let Facts { schedule, now, .. } = *facts;
    let Some(newest) = newest_due(task, facts) else {
        return;
    };
    let newest_due_at = schedule.due_at(newest);
    let newest_missed = later(newest_due_at, task.spec.late_after) < now;
    let before = schedule.last_between(task.cursor_at, just_before(newest));

    let mut live = facts.live.to_vec();
    let mut superseded = Vec::new();
    if task.spec.catch_up.mode == CatchUpMode::Latest {
        let overtaken =
            |live: &Live| live.catch_up && live.state == RunState::Queued && live.attempt == 0;
        let gone = live.extract_if(.., |live| overtaken(live));
        superseded.extend(gone.map(|live| (live.run, live.attempt)));
    }

    match task.spec.catch_up.mode {
        CatchUpMode::None if newest_missed => {
            let late = span::format(task.spec.late_after);
            let reason = format!("missed: not decided within {late} of being due");
            skip(
                task,
                facts,
                newest,
                SlotOutcome::SkippedCatchupNone,
                reason,
                decision,
            );
            return;
        }
        CatchUpMode::None => {
            if let Some(before) = before {
                let reason = "missed: a later slot is due too".to_owned();
                skip(
                    task,
                    facts,
                    before,
                    SlotOutcome::SkippedCatchupNone,
                    reason,
                    decision,
                );
            }
        }
        CatchUpMode::All => {
            drop_old(task, facts, newest, newest_missed, decision);
            if newest <= task.cursor_at {
                return;
            }
        }
        CatchUpMode::Latest => {}
    }

    if let Some(reason) = overlap_reason(task.spec.overlap, &live) {
        skip(
            task,
            facts,
            newest,
            SlotOutcome::SkippedOverlap,
            reason,
            decision,
        );
        return;
    }
    // Only by a slot that runs: what waits to catch up is not dropped for one that is skipped.
    decision.superseded = superseded;
    let mut in_line = !live.is_empty();
    if task.spec.catch_up.mode == CatchUpMode::All {
        let slots: Vec<Timestamp> = schedule
            .slots(task.cursor_at, just_before(newest))
            .collect();
        for slot in slots {
            dispatch(task, facts, slot, true, in_line, None, decision);
            in_line = true;
        }
    }
    let coalesced = match schedule.last_between(task.cursor_at, just_before(newest)) {
        Some(before) => {
            let row = span_row(task, facts, before, SlotOutcome::Coalesced, String::new());
            let coalesced = Coalesced {
                first_at: row.first_at.unwrap_or(before),
                last_at: before,
                count: row.count,
            };
            task.cursor_at = before;
            Some((row, coalesced))
        }
        None => None,
    };
    dispatch(
        task,
        facts,
        newest,
        newest_missed,
        in_line,
        coalesced,
        decision,
    );
}

/// The newest slot that is due.
fn newest_due(task: &Course, facts: &Facts<'_>) -> Option<Timestamp> {
    let Facts { schedule, now, .. } = *facts;
    match schedule.last_come(task.cursor_at, now)? {
        (last, true) => Some(last),
        (last, false) => schedule.last_between(task.cursor_at, just_before(last)),
    }
}

/// Catch-up ALL: closes what is older than the window, then what is beyond the maximum.
fn drop_old(
    task: &mut Course,
    facts: &Facts<'_>,
    newest: Timestamp,
    newest_missed: bool,
    decision: &mut Decision,
) {
    let Facts { schedule, now, .. } = *facts;
    let window = task.spec.catch_up.window.unwrap_or_default();
    let max = task.spec.catch_up.max_count.unwrap_or(1);
    let window_span = jiff::SignedDuration::try_from(window).unwrap_or(jiff::SignedDuration::MAX);
    let opens = now.saturating_sub(window_span).unwrap_or(Timestamp::MIN);
    // One that is on time runs, however small the window.
    let upto = if newest_missed {
        newest
    } else {
        just_before(newest)
    };
    let upto = upto.min(just_before(opens));
    if let Some(last) = schedule.last_between(task.cursor_at, upto) {
        let reason = format!(
            "missed: older than the catch-up window of {}",
            span::format(window)
        );
        skip(
            task,
            facts,
            last,
            SlotOutcome::SkippedCatchupExpired,
            reason,
            decision,
        );
    }
    if newest <= task.cursor_at {
        return;
    }
    // Walk back from the newest: as many steps as are kept, however many were missed.
    let mut kept_from = newest;
    for _ in 0..max.saturating_sub(u32::from(newest_missed)) {
        match schedule.last_between(task.cursor_at, just_before(kept_from)) {
            Some(slot) => kept_from = slot,
            None => return,
        }
    }
    if let Some(last) = schedule.last_between(task.cursor_at, just_before(kept_from)) {
        let reason = format!("missed: more than the catch-up maximum of {max}");
        skip(
            task,
            facts,
            last,
            SlotOutcome::SkippedCatchupCapped,
            reason,
            decision,
        );
    }
}

fn dispatch(
    task: &mut Course,
    facts: &Facts<'_>,
    slot: Timestamp,
    catch_up: bool,
    in_line: bool,
    coalesced: Option<(SlotRow, Coalesced)>,
    decision: &mut Decision,
) {
    let mut run = new_run(
        task,
        Trigger::Schedule,
        facts.schedule.due_at(slot),
        facts.now,
    );
    run.slot_at = Some(slot);
    run.nominal_at = Some(slot);
    run.catch_up = catch_up;
    if run.solo && in_line {
        run.claim_at = None;
    }
    if let Some((mut row, coalesced)) = coalesced {
        row.run_id = Some(run.id);
        row.reason = format!("coalesced into the run of {slot}");
        run.coalesced = Some(coalesced);
        decision.rows.push(row);
    }
    let reason = if catch_up {
        "caught up".to_owned()
    } else {
        String::new()
    };
    let mut row = span_row(task, facts, slot, SlotOutcome::Dispatched, reason);
    row.run_id = Some(run.id);
    decision.rows.push(row);
    decision.runs.push(run);
    task.cursor_at = slot;
}
