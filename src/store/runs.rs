//! Runs: reading them, adding them, and the line in which runs of one task stand.

use jiff::Timestamp;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, FromQueryResult, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::{
    CHUNK, Page, PageOf, Store, Tx, convert,
    convert::{json, json_of, micros, micros_of, uuid_of},
    entity::{run, run_attempt},
};
use crate::{
    domain::{
        EventKind, NewEvent, ReplicaId, Run, RunId, RunState, TaskId, Trigger,
        run::{Attempt, Cancellation},
    },
    error::{Error, Result},
};

/// Which runs a list holds.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub task: Option<TaskId>,
    /// By name, for tasks that are gone.
    pub task_name: Option<String>,
    pub states: Vec<RunState>,
    pub triggers: Vec<Trigger>,
    pub queued_since: Option<Timestamp>,
    pub queued_before: Option<Timestamp>,
}

/// A run of a task that has not ended, in short.
#[derive(Clone, Debug)]
pub struct LiveRun {
    pub id: RunId,
    pub task_id: TaskId,
    pub state: RunState,
    pub catch_up: bool,
    pub attempt: i64,
    pub trigger: Trigger,
}

#[derive(FromQueryResult)]
struct LiveRow {
    id: uuid::Uuid,
    task_id: uuid::Uuid,
    state: String,
    catch_up: bool,
    attempt: i64,
    trigger_by: String,
    due_at: i64,
}

impl Store {
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn run(&self, id: RunId) -> Result<Run> {
        let row = run::Entity::find_by_id(id.0).one(&self.inner.read).await?;
        row.ok_or_else(|| Error::not_found("run", id))?.try_into()
    }

    /// Attempts that ended before the present one, oldest first; at most 1,000.
    pub async fn run_attempts(&self, id: RunId) -> Result<Vec<Attempt>> {
        let rows = run_attempt::Entity::find()
            .filter(run_attempt::Column::RunId.eq(id.0))
            .order_by_asc(run_attempt::Column::Attempt)
            .limit(1000)
            .all(&self.inner.read)
            .await?;
        let read = |row: run_attempt::Model| {
            Ok(Attempt {
                attempt: row.attempt,
                started_at: convert::instant(row.started_at)?,
                finished_at: convert::instant(row.finished_at)?,
                replica: row.replica.map(ReplicaId),
                reason: row.reason,
                message: row.message,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// A page of runs, the newest queued first.
    pub async fn runs(
        &self,
        filter: &RunFilter,
        page: &Page<(Timestamp, RunId)>,
    ) -> Result<PageOf<Run, (Timestamp, RunId)>> {
        let mut select = run::Entity::find();
        if let Some(task) = filter.task {
            select = select.filter(run::Column::TaskId.eq(task.0));
        }
        if let Some(name) = &filter.task_name {
            select = select.filter(run::Column::Task.eq(name));
        }
        if !filter.states.is_empty() {
            let states = filter.states.iter().map(|state| state.as_str());
            select = select.filter(run::Column::State.is_in(states));
        }
        if !filter.triggers.is_empty() {
            let triggers = filter.triggers.iter().map(|trigger| trigger.as_str());
            select = select.filter(run::Column::TriggerBy.is_in(triggers));
        }
        if let Some(since) = filter.queued_since {
            select = select.filter(run::Column::QueuedAt.gte(micros(since)));
        }
        if let Some(before) = filter.queued_before {
            select = select.filter(run::Column::QueuedAt.lt(micros(before)));
        }
        if let Some((at, id)) = page.after {
            let at = micros(at);
            let later = Condition::all()
                .add(run::Column::QueuedAt.eq(at))
                .add(run::Column::Id.lt(id.0));
            // The first condition lets the index find the place; the second breaks ties.
            select = select.filter(run::Column::QueuedAt.lte(at)).filter(
                Condition::any()
                    .add(run::Column::QueuedAt.lt(at))
                    .add(later),
            );
        }
        let rows = select
            .order_by_desc(run::Column::QueuedAt)
            .order_by_desc(run::Column::Id)
            .limit(page.size + 1)
            .all(&self.inner.read)
            .await?;
        let runs = rows.into_iter().map(Run::try_from).collect::<Result<_>>()?;
        Ok(PageOf::cut(runs, page.size, |run: &Run| {
            (run.queued_at, run.id)
        }))
    }

    /// Runs that have not ended, oldest first.
    pub async fn runs_live(&self, task: Option<TaskId>, limit: u64) -> Result<Vec<Run>> {
        let mut select = self.sql("SELECT * FROM runs WHERE ").push(LIVE);
        if let Some(task) = task {
            select = select.push(" AND task_id = ").bind(task.0);
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let select = select
            .push(" ORDER BY queued_at, id LIMIT ")
            .bind(limit)
            .done();
        let rows: Vec<run::Model> = self.all(select).await?;
        rows.into_iter().map(Run::try_from).collect()
    }
}

impl Tx {
    /// Adds runs, tells of them, and rings for those that may start.
    pub async fn runs_insert(&mut self, runs: &[Run]) -> Result<()> {
        for chunk in runs.chunks(CHUNK) {
            let rows: Vec<run::ActiveModel> = chunk
                .iter()
                .map(|run| Ok(row_of(run)?.into_active_model()))
                .collect::<Result<_>>()?;
            let done = run::Entity::insert_many(rows)
                .exec_without_returning(self.open()?)
                .await;
            self.check(done)?;
        }
        for run in runs {
            self.tell_run(EventKind::RunQueued, run);
        }
        self.rings.queue |= !runs.is_empty();
        Ok(())
    }

    /// The runs of these tasks that have not ended. The caller holds the tasks' locks.
    pub async fn runs_live_of(&mut self, tasks: &[TaskId]) -> Result<Vec<LiveRun>> {
        let mut live = Vec::new();
        for chunk in tasks.chunks(CHUNK) {
            let select = self
                .sql("SELECT id, task_id, state, catch_up, attempt, trigger_by, due_at FROM runs WHERE ")
                .push(LIVE)
                .push(" AND task_id IN ")
                .list(chunk.iter().map(|id| id.0))
                .push(" ORDER BY id")
                // What was read as queued must not be claimed before it is decided about.
                .postgres(" FOR UPDATE")
                .done();
            let mut rows: Vec<LiveRow> = self.all(select).await?;
            rows.sort_by_key(|row| (row.due_at, row.id));
            for row in rows {
                live.push(LiveRun {
                    id: RunId(row.id),
                    task_id: TaskId(row.task_id),
                    state: convert::word("run state", &row.state, RunState::parse(&row.state))?,
                    catch_up: row.catch_up,
                    attempt: row.attempt,
                    trigger: convert::word(
                        "trigger",
                        &row.trigger_by,
                        Trigger::parse(&row.trigger_by),
                    )?,
                });
            }
        }
        // A claim passes over what is locked here: it has to look again.
        self.rings.queue |= live
            .iter()
            .any(|run: &LiveRun| run.state == RunState::Queued);
        Ok(live)
    }

    /// A run, locked until this write is over. Its task's lock comes first.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn run_locked(&mut self, id: RunId) -> Result<Run> {
        let select = self
            .sql("SELECT * FROM runs WHERE id = ")
            .bind(id.0)
            .postgres(" FOR UPDATE")
            .done();
        let row: Option<run::Model> = self.one(select).await?;
        row.ok_or_else(|| Error::not_found("run", id))?.try_into()
    }

    /// PostgreSQL: locks runs in the one order, before a statement that changes many of them at once
    /// in an order of its own.
    pub(super) async fn runs_lock(&mut self, runs: impl Iterator<Item = RunId>) -> Result<()> {
        if !self.is_postgres() {
            return Ok(());
        }
        let lock = self
            .sql("SELECT id FROM runs WHERE id IN ")
            .list(runs.map(|id| id.0))
            .push(" ORDER BY id FOR UPDATE")
            .done();
        self.run(lock).await?;
        Ok(())
    }

    /// Notes that a run is wanted to stop. Where it is under way, rings for its replica.
    pub async fn run_cancel_wish(&mut self, id: RunId, wish: &Cancellation) -> Result<Run> {
        let update = self
            .sql("UPDATE runs SET version = version + 1, cancellation = ")
            .bind(json(wish)?)
            .push(" WHERE id = ")
            .bind(id.0)
            .push(" RETURNING *")
            .done();
        let row: Option<run::Model> = self.one(update).await?;
        let run: Run = row.ok_or_else(|| Error::not_found("run", id))?.try_into()?;
        if run.state == RunState::Running {
            self.rings.cancel = true;
            self.tell_run(EventKind::RunCancelRequested, &run);
        }
        Ok(run)
    }

    /// Lets the first in line of each of these tasks be claimed, where no other run of the task is
    /// under way, waits for its retry, or may be claimed already. The caller holds the tasks' locks.
    pub async fn runs_promote(&mut self, tasks: &[TaskId]) -> Result<u64> {
        let mut promoted = 0;
        let now = micros(self.now);
        for chunk in tasks.chunks(CHUNK) {
            let update = self
                .sql("")
                .with_values(&[("id", "uuid")], chunk.iter().map(|id| vec![id.0.into()]))
                .push("UPDATE runs SET claim_at = ")
                .bind(now)
                .push(
                    " WHERE claim_at IS NULL AND state = 'queued' AND id IN (SELECT (SELECT q.id FROM runs q \
                     WHERE q.task_id = v.id AND q.state = 'queued' AND q.finished_at IS NULL \
                     ORDER BY q.due_at, q.id LIMIT 1) FROM v) AND NOT EXISTS ",
                )
                .push(&under_way("runs.task_id"))
                .push(" AND NOT EXISTS ")
                .push(&may_start("runs.task_id"))
                .done();
            promoted += self.run(update).await?;
        }
        self.rings.queue |= 0 < promoted;
        Ok(promoted)
    }

    pub(super) fn tell_run(&mut self, kind: EventKind, run: &Run) {
        self.tell(NewEvent::new(
            kind,
            Some(run.task_id),
            run.resource_name(),
            run,
        ));
    }
}

/// Runs that have not ended: said so that the index of the live ones holds, and is chosen.
pub(super) const LIVE: &str =
    "finished_at IS NULL AND state IN ('queued', 'running', 'retry_wait')";

/// A subquery: a run of the task that is under way, or waits for its retry.
pub(super) fn under_way(task: &str) -> String {
    format!(
        "(SELECT 1 FROM runs o WHERE o.task_id = {task} AND o.finished_at IS NULL \
         AND o.state IN ('running', 'retry_wait'))"
    )
}

/// A subquery: a run of the task that may be claimed.
pub(super) fn may_start(task: &str) -> String {
    format!(
        "(SELECT 1 FROM runs o WHERE o.task_id = {task} AND o.state = 'queued' AND o.claim_at IS NOT NULL)"
    )
}

fn row_of(run: &Run) -> Result<run::Model> {
    Ok(run::Model {
        id: run.id.0,
        task_id: run.task_id.0,
        task: run.task.to_string(),
        kind: run.kind.clone(),
        trigger_by: run.trigger.as_str().to_owned(),
        state: run.state.as_str().to_owned(),
        outcome: run.outcome.map(|outcome| outcome.as_str().to_owned()),
        reason: run.reason.clone(),
        message: run.message.clone(),
        counters: json(&run.counters)?,
        attempt: run.attempt,
        attempts_charged: run.attempts_charged,
        priority: run.priority,
        parameters: json(&run.parameters)?,
        policy: json(&run.policy)?,
        dry_run: run.dry_run,
        solo: run.solo,
        slot_at: micros_of(run.slot_at),
        nominal_at: micros_of(run.nominal_at),
        due_at: micros(run.due_at),
        queued_at: micros(run.queued_at),
        claim_at: micros_of(run.claim_at),
        start_deadline_at: micros_of(run.start_deadline_at),
        started_at: micros_of(run.started_at),
        attempt_started_at: micros_of(run.attempt_started_at),
        finished_at: micros_of(run.finished_at),
        lease_owner: uuid_of(run.lease_owner),
        lease_until: micros_of(run.lease_until),
        coalesced: json_of(run.coalesced.as_ref())?,
        catch_up: run.catch_up,
        retry_of: uuid_of(run.retry_of),
        principal: run.principal.clone(),
        request_reason: run.request_reason.clone(),
        cancellation: json_of(run.cancellation.as_ref())?,
        progress: json_of(run.progress.as_ref())?,
        revision: run.revision,
        version: run.version,
    })
}
