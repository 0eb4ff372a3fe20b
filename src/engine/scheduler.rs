//! Turns due slots into queued runs and ledger rows.
//!
//! The index on `wake_at` is the ordered set of what comes; one sleep until its first is the timer.
//! Any replica may decide any slot: the rows are locked, the cursor moves by compare-and-set, and
//! the keys of the ledger and of the runs refuse a second decision.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Engine;
use crate::{
    domain::{
        EventKind, NewEvent, RunId, RunState, TaskId,
        decide::{self, Decision, Facts, Live},
        ledger::SlotRow,
        run::reason,
        task::Course,
    },
    error::Result,
    store::{AttemptEnd, Ended, Tx},
};

/// Tasks decided in one transaction.
const BATCH: u64 = 1000;
/// How long to sleep at the most, should a bell have been missed.
pub(super) const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// After an error, real time: the clock of the schedule may stand still.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// The scheduler's loop.
#[derive(Clone, Debug)]
pub struct Scheduler {
    engine: Engine,
}

impl Scheduler {
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// Decides what is due until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut bell = self.engine.store().bells().schedule();
        while !stop.is_cancelled() {
            bell.mark_unchanged();
            let wake_at = match self.tick().await {
                Ok(wake_at) => wake_at,
                Err(error) => {
                    warn!(%error, "could not decide what is due; trying again");
                    stop.run_until_cancelled(tokio::time::sleep(AFTER_ERROR))
                        .await;
                    continue;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.engine.clock().sleep_until(wake_at) => {}
                _ = bell.changed() => {}
            }
        }
    }

    /// Decides all that is due now; says when to look again.
    ///
    /// # Errors
    /// Where the database is away: nothing is lost, the next tick does it.
    pub async fn tick(&self) -> Result<Timestamp> {
        let store = self.engine.store();
        loop {
            let now = self.engine.clock().now();
            self.engine.board().ticked(now);
            if let Some(pause) = store.global_pause().await? {
                match pause.until {
                    Some(until) if until <= now => {
                        self.engine.end_global_pause(until).await?;
                    }
                    // Nothing is decided; the bell rings when the pause ends before its time.
                    until => return Ok(until.unwrap_or(now + LOOK_AGAIN)),
                }
            }
            let latest = now + LOOK_AGAIN;
            let next = store.next_wake().await?.unwrap_or(latest);
            if now < next {
                return Ok(next.min(latest));
            }
            let mut tx = store.begin().await?;
            if tx.global_pause_locked().await?.is_some() {
                continue;
            }
            let due = tx.courses_due(BATCH).await?;
            let count = due.len();
            let courses = self.engine.courses(&mut tx, due).await?;
            let runs = self.engine.decide(&mut tx, courses).await?;
            tx.commit().await?;
            debug!(tasks = count, runs, "decided what was due");
        }
    }
}

impl Engine {
    /// Decides every slot of these tasks that is due, in this transaction; says how many runs were
    /// queued. The caller holds the tasks' locks.
    pub(super) async fn decide(&self, tx: &mut Tx, mut tasks: Vec<Course>) -> Result<usize> {
        let now = tx.now();
        tasks.retain(|task| task.wake_at().is_some_and(|at| at <= now));
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let live = self.live_of(tx, &ids).await?;

        let mut all = Decision::default();
        let mut superseded = Vec::new();
        let mut moved = Vec::with_capacity(tasks.len());
        let mut unpaused = Vec::new();
        for mut task in tasks {
            let schedule = match self.schedule_on(&task) {
                Ok(schedule) => schedule,
                Err(error) => {
                    // One task must not stop the others; the auditor makes it a problem.
                    warn!(task = %task.name, %error, "the schedule of {} cannot be read", task.name);
                    tx.task_look_again(task.id, now + LOOK_AGAIN).await?;
                    continue;
                }
            };
            let facts = Facts {
                schedule: &schedule,
                now,
                live: live.get(&task.id).map_or(&[], Vec::as_slice),
                tzdb: self.tzdb(),
            };
            let (from, was_paused) = (task.cursor_at, task.pause.is_some());
            let decision = decide::decide(&mut task, &facts);
            for row in decision.rows.iter().filter(|row| row.run_id.is_none()) {
                tx.tell(skipped(&task, row));
            }
            superseded.extend(
                decision
                    .superseded
                    .iter()
                    .map(|(run, token)| (task.id, *run, *token)),
            );
            all.rows.extend(decision.rows);
            all.runs.extend(decision.runs);
            if was_paused && task.pause.is_none() {
                unpaused.push(task);
            } else {
                moved.push((from, task));
            }
        }
        self.supersede(tx, superseded).await?;
        tx.runs_insert(&all.runs).await?;
        tx.slots_insert(&all.rows).await?;
        tx.cursors_move(&moved).await?;
        for course in unpaused {
            let mut task = tx.task_locked(&course.name).await?;
            task.follow(course);
            self.touch(tx, &mut task, EventKind::TaskResumed).await?;
        }
        Ok(all.runs.len())
    }

    /// The runs of these tasks that have not ended, by task.
    pub(super) async fn live_of(
        &self,
        tx: &mut Tx,
        tasks: &[TaskId],
    ) -> Result<BTreeMap<TaskId, Vec<Live>>> {
        let mut live: BTreeMap<TaskId, Vec<Live>> = BTreeMap::new();
        for run in tx.runs_live_of(tasks).await? {
            live.entry(run.task_id).or_default().push(Live {
                run: run.id,
                state: run.state,
                catch_up: run.catch_up,
                attempt: run.attempt,
            });
        }
        Ok(live)
    }

    async fn supersede(&self, tx: &mut Tx, superseded: Vec<(TaskId, RunId, i64)>) -> Result<()> {
        if superseded.is_empty() {
            return Ok(());
        }
        let message = "a catch-up run: the task's next slot came before it could start";
        let ended: Vec<Ended> = superseded
            .into_iter()
            .map(|(task, run, token)| Ended {
                run,
                task,
                token,
                replica: None,
                end: AttemptEnd::because(RunState::Expired, reason::SUPERSEDED_BY_SLOT, message),
                known: None,
            })
            .collect();
        // Their rows are locked since they were read as queued: each is ended.
        tx.runs_end(&ended, &[RunState::Queued]).await?;
        Ok(())
    }
}

/// The event of slots that did not run.
pub(super) fn skipped(task: &Course, row: &SlotRow) -> NewEvent {
    NewEvent::new(
        EventKind::SlotSkipped,
        Some(task.id),
        task.resource_name(),
        row,
    )
}
