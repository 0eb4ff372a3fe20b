//! Deciding what is due within a transaction: for the scheduler, and for whoever edits a task whose slots
//! are due.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use tracing::warn;

use super::{Engine, scheduler::LOOK_AGAIN};
use crate::{
    domain::{
        EventKind, NewEvent, RunId, RunState, TaskId,
        decide::{self, Decision, Facts, Live},
        ledger::SlotRow,
        run::reason,
        task::Course,
    },
    error::{Error, Result},
    store::{AttemptEnd, Decided, Ended, ReadyWrite, Tx},
};

/// Tasks decided at once, while the database writes what came of those before.
const AT_ONCE: usize = 256;

type LiveOf = BTreeMap<TaskId, Vec<Live>>;

/// What came of some tasks, ready to be written.
#[derive(Debug)]
struct Chunk {
    ready: ReadyWrite,
    runs: usize,
    /// Queued catch-up runs that a slot has overtaken.
    superseded: Vec<(TaskId, RunId, i64)>,
    /// Tasks whose pause is over.
    unpaused: Vec<Course>,
    /// Tasks whose schedule cannot be read.
    unreadable: Vec<TaskId>,
}

impl Engine {
    /// Decides every slot of these tasks that is due, in this transaction; says how many runs were
    /// queued. The caller holds the tasks' locks.
    pub(super) async fn decide(&self, tx: &mut Tx, mut tasks: Vec<Course>) -> Result<usize> {
        let now = tx.now();
        tasks.retain(|task| task.wake_at().is_some_and(|at| at <= now));
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let live = Arc::new(self.live_of(tx, &ids).await?);

        let mut chunks = Vec::with_capacity(tasks.len().div_ceil(AT_ONCE));
        while !tasks.is_empty() {
            let rest = tasks.split_off(AT_ONCE.min(tasks.len()));
            chunks.push(std::mem::replace(&mut tasks, rest));
        }
        let mut runs = 0;
        let mut chunks = chunks.into_iter();
        let mut ahead = chunks
            .next()
            .map(|chunk| self.clone().work_out(chunk, live.clone(), now));
        while let Some(ready) = ahead.take() {
            let chunk = ready?;
            // While this is written, the next is worked out on another thread.
            let next = chunks.next().map(|chunk| {
                let (engine, live) = (self.clone(), live.clone());
                tokio::spawn(async move { engine.work_out(chunk, live, now) })
            });
            runs += chunk.runs;
            self.write_chunk(tx, chunk).await?;
            ahead = match next {
                Some(next) => Some(next.await.map_err(Error::internal)?),
                None => None,
            };
        }
        Ok(runs)
    }

    async fn write_chunk(&self, tx: &mut Tx, chunk: Chunk) -> Result<()> {
        self.supersede(tx, chunk.superseded).await?;
        tx.write(chunk.ready).await?;
        for task in chunk.unreadable {
            tx.task_look_again(task, tx.now() + LOOK_AGAIN).await?;
        }
        for course in chunk.unpaused {
            let mut task = tx.task_locked(&course.name).await?;
            task.follow(course);
            self.touch(tx, &mut task, EventKind::TaskResumed).await?;
        }
        Ok(())
    }

    /// Writes what was decided of one task, whose cursor the caller writes.
    pub(super) async fn write_decided(
        &self,
        tx: &mut Tx,
        task: &Course,
        decision: Decision,
    ) -> Result<()> {
        let told = all_skipped(task, &decision).collect();
        let ready = self.store().ready(Decided {
            runs: decision.runs,
            rows: decision.rows,
            told,
            ..Decided::default()
        })?;
        tx.write(ready).await
    }

    /// Decides, without the database.
    fn work_out(self, tasks: Vec<Course>, live: Arc<LiveOf>, now: Timestamp) -> Result<Chunk> {
        let mut decided = Decided::default();
        let (mut superseded, mut unpaused, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for mut task in tasks {
            let schedule = match self.schedule_on(&task) {
                Ok(schedule) => schedule,
                Err(error) => {
                    // One task must not stop the others; the auditor makes it a problem.
                    warn!(task = %task.name, %error, "the schedule of {} cannot be read", task.name);
                    unreadable.push(task.id);
                    continue;
                }
            };
            let facts = Facts {
                schedule: &schedule,
                now,
                live: live.get(&task.id).map_or(&[], Vec::as_slice),
            };
            let (from, was_paused) = (task.cursor_at, task.pause.is_some());
            let decision = decide::decide(&mut task, &facts);
            decided.told.extend(all_skipped(&task, &decision));
            let overtaken = decision.superseded.iter();
            superseded.extend(overtaken.map(|(run, token)| (task.id, *run, *token)));
            decided.rows.extend(decision.rows);
            decided.runs.extend(decision.runs);
            if was_paused && task.pause.is_none() {
                unpaused.push(task);
            } else {
                decided.moved.push((from, task));
            }
        }
        Ok(Chunk {
            runs: decided.runs.len(),
            ready: self.store().ready(decided)?,
            superseded,
            unpaused,
            unreadable,
        })
    }

    /// The runs of these tasks that have not ended, by task.
    pub(super) async fn live_of(&self, tx: &mut Tx, tasks: &[TaskId]) -> Result<LiveOf> {
        let mut live = LiveOf::new();
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

/// Events of each row of slots that did not run.
fn all_skipped<'a>(task: &'a Course, decision: &'a Decision) -> impl Iterator<Item = NewEvent> {
    let rows = decision.rows.iter().filter(|row| row.run_id.is_none());
    rows.map(|row| skipped(task, row))
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
