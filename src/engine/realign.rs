//! The last resort for a task that was decided by a clock that was ahead: it begins anew now.
//!
//! What was decided is never undone: the keys of the ledger and of the runs refuse a slot a second time. So the task ends
//! under its name, with all that it was decided for, and is made anew: of the same layers, with its health and its
//! newest runs, and a ledger of its own that begins now. Nothing that orders a ledger or runs has to know of it.

use jiff::{SignedDuration, Timestamp};

use super::{Engine, etag::check_etag};
use crate::{
    domain::{
        Caller, EventKind, NewEvent, Task, TaskId, TaskName, decide,
        ledger::SlotOutcome,
        schedule::just_before,
        task::{Freshness, Health},
    },
    error::{Error, Reason, Result},
    store::Remember,
};

/// A cursor is always a little behind; one that is further ahead was moved by another clock.
const AHEAD: SignedDuration = SignedDuration::from_secs(1);
/// Runs that come along, the newest. The others stay with what the task was.
const RUNS: u64 = 1000;

impl Engine {
    /// Begins a task anew that is decided beyond now, so that its slots fire again.
    ///
    /// # Errors
    /// [`Error::Conflict`] `NOT_AHEAD` where it is not; `OVERLAP` where a run of it is under way; [`Error::Aborted`]
    /// `ETAG_MISMATCH`.
    pub async fn realign_task(
        &self,
        who: &Caller,
        name: &TaskName,
        etag: Option<&str>,
        reason: &str,
        remember: Option<Remember<'_, Task>>,
    ) -> Result<Task> {
        self.refuse_older()?;
        self.refuse_held()?;
        let mut tx = self.store().begin().await?;
        tx.global_pause_locked().await?;
        let mut old = tx.task_locked(name).await?;
        check_etag(&old, etag)?;
        let (now, decided_upto) = (tx.now(), old.cursor_at);
        if decided_upto.duration_since(now) <= AHEAD {
            let message = format!(
                "{} is decided up to {decided_upto}, which is not beyond now, {now}: its slots fire by themselves",
                old.resource_name()
            );
            return Err(Error::conflict(
                Reason::NotAhead,
                old.resource_name(),
                message,
            ));
        }
        if let Some(run) = tx.runs_live_of(&[old.id]).await?.first() {
            let message = format!(
                "run {} of {} is {}: wait until it has ended, or cancel it",
                run.id,
                old.resource_name(),
                run.state
            );
            return Err(Error::conflict(
                Reason::Overlap,
                old.resource_name(),
                message,
            ));
        }
        let why = match reason {
            "" => format!("realigned by {}", who.principal),
            reason => format!("realigned by {}: {reason}", who.principal),
        };

        let schedule = self.schedule_or_none(&old)?;
        let facts = self.facts(&schedule, now);
        let mut course = old.course();
        let end = decided_upto + SignedDuration::from_micros(1);
        let outcome = SlotOutcome::SkippedEnded;
        let last = decide::close(&mut course, &facts, end, outcome, why.clone());
        tx.slots_insert(last.as_slice()).await?;
        old.follow(course);
        old.next_slot_at = None;
        old.next_due_at = None;
        old.deleted_at = Some(now);
        old.version += 1;
        old.updated_at = now;
        tx.problems_clear_of(&old.resource_name()).await?;
        tx.task_update(&old).await?;

        let mut task = anew(&old, now);
        let mut course = task.course();
        let outcome = SlotOutcome::SkippedEdited;
        let first = decide::close(&mut course, &facts, now, outcome, why);
        let row = first.map(|row| crate::domain::ledger::SlotRow { revision: 1, ..row });
        decide::plan_next(&mut course, &schedule);
        task.follow(course);
        tx.task_insert(&task, &who.principal, reason).await?;
        tx.slots_insert(row.as_slice()).await?;
        tx.runs_follow(old.id, task.id, RUNS).await?;
        tx.tell(NewEvent::new(
            EventKind::TaskRealigned,
            Some(task.id),
            task.resource_name(),
            &serde_json::json!({
                "task": task,
                "before": old.id,
                "decided_upto": decided_upto,
                "principal": who.principal,
                "reason": reason,
            }),
        ));
        tx.keep(who, remember, &task).await?;
        tx.commit().await?;
        Ok(task)
    }
}

/// The task as it begins: with what it is told to do, and what is known of how it was, as far as that lies before now.
fn anew(old: &Task, now: Timestamp) -> Task {
    let created_at = just_before(now);
    let before = |at: Option<Timestamp>| at.map(|at| at.min(now));
    Task {
        id: TaskId::new(),
        revision: 1,
        version: 1,
        cursor_at: created_at,
        created_at,
        updated_at: now,
        deleted_at: None,
        audited_at: created_at,
        health: Health {
            last_success_at: before(old.health.last_success_at),
            last_failure_at: before(old.health.last_failure_at),
            failing_since: before(old.health.failing_since),
            ..old.health.clone()
        },
        freshness: Freshness {
            fresh_at: before(old.freshness.fresh_at),
            usual: old.freshness.usual,
            ..Freshness::new(now)
        },
        ..old.clone()
    }
}
