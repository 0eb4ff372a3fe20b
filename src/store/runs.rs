//! Runs: reading them and adding them.

use std::time::Duration;

use sea_orm::{
    ColumnTrait as _, DbBackend, EntityTrait as _, FromQueryResult, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Statement, Value,
};

use super::{
    Store, Tx, convert,
    convert::{json, json_of, micros, micros_of, uuid_of},
    entity::{run, run_attempt},
    rows::{CHUNK, Column, Type, column, insert, inserts},
};
use crate::{
    domain::{
        EventKind, NewEvent, ReplicaId, Run, RunId, RunState, TaskId, Trigger,
        retry::later,
        run::{Attempt, Cancellation},
    },
    error::{Error, Result, Thing},
};

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
        row.ok_or_else(|| Error::not_found(Thing::Run, id))?
            .try_into()
    }

    /// Attempts of a run that ended before the present one, oldest first; at most 1,000.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn run_attempts(&self, run: &Run) -> Result<Vec<Attempt>> {
        if !run.may_have_been_tried_before() {
            return Ok(Vec::new());
        }
        let rows = run_attempt::Entity::find()
            .filter(run_attempt::Column::RunId.eq(run.id.0))
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

    /// Runs that have not ended, oldest first.
    pub async fn runs_live(&self, task: Option<TaskId>, limit: u64) -> Result<Vec<Run>> {
        let mut select = self.sql("SELECT * FROM runs WHERE ").push(LIVE);
        if let Some(task) = task {
            select = select.push(" AND task_id = ").bind(task.0);
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let select = select.push(" ORDER BY id LIMIT ").bind(limit).done();
        let rows: Vec<run::Model> = self.all(select).await?;
        rows.into_iter().map(Run::try_from).collect()
    }
}

impl Tx {
    /// Adds runs that nothing has happened to yet, tells of them, and rings for those that may start.
    pub async fn runs_insert(&mut self, runs: &[Run]) -> Result<()> {
        for insert in insert_runs(self.backend(), runs)? {
            self.run(insert).await?;
        }
        for run in runs {
            self.tell_run(EventKind::RunQueued, run);
            // One in line concerns nobody yet, but for its start deadline.
            self.rings.queue |= run.start_deadline_at.is_some();
        }
        for run in runs.iter().filter(|run| run.claim_at.is_some()) {
            self.ready.insert(run.id);
            self.put_in_queue(run.due_at);
        }
        Ok(())
    }

    /// Adds a run that is started in the write that orders it, where it may be: it stands in no line, and has time left.
    /// Returns it as it is then. The caller holds the task's lock, has seen that no other run of it keeps it back, and
    /// commits next.
    pub async fn run_start(
        &mut self,
        run: &Run,
        replica: ReplicaId,
        lease: Duration,
    ) -> Result<Option<Run>> {
        let in_time = run.start_deadline_at.is_none_or(|at| self.now < at);
        if run.claim_at.is_none() || !in_time {
            return Ok(None);
        }
        let now = convert::instant(micros(self.now))?;
        let until = convert::instant(micros(later(self.now, lease)))?;
        let started = Run {
            state: RunState::Running,
            attempt: 1,
            attempts_charged: 1,
            started_at: Some(now),
            attempt_started_at: Some(now),
            lease_owner: Some(replica),
            lease_until: Some(until),
            version: run.version + 1,
            ..run.clone()
        };
        let mut row = row_of(&started)?;
        row.extend([
            micros(now).into(),
            micros(now).into(),
            replica.0.into(),
            micros(until).into(),
        ]);
        let columns = [COLUMNS, STARTED].concat();
        if self.is_postgres() {
            // One way to the database less: it is written with the events that tell of it, which is next.
            let with = self.sql("WITH started AS (");
            let of = (columns.as_slice(), FIRST_ATTEMPT);
            let insert = insert(with, self.backend(), "runs", of, vec![row]);
            self.with_events = Some(insert.push(") "));
        } else {
            self.insert("runs", &columns, FIRST_ATTEMPT, vec![row], "")
                .await?;
        }
        self.tell_run(EventKind::RunQueued, run);
        self.tell_run(EventKind::RunStarted, &started);
        Ok(Some(started))
    }

    /// The runs of these tasks that have not ended. The caller holds the tasks' locks.
    pub async fn runs_live_of(&mut self, tasks: &[TaskId]) -> Result<Vec<LiveRun>> {
        let mut live = Vec::new();
        // PostgreSQL locks them in the one order, which a second statement would begin again.
        let at_once = if self.is_postgres() {
            tasks.len().max(1)
        } else {
            CHUNK
        };
        for chunk in tasks.chunks(at_once) {
            let select = self
                .sql("SELECT id, task_id, state, catch_up, attempt, trigger_by, due_at FROM runs")
                // It would rather read the task's history, in which all have a task too.
                .sqlite(" INDEXED BY runs_live")
                .push(" WHERE ")
                .push(LIVE)
                .push(" AND task_id")
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
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
        row.ok_or_else(|| Error::not_found(Thing::Run, id))?
            .try_into()
    }

    /// PostgreSQL: locks runs in the one order, before a statement that may come upon them in another.
    pub(super) async fn runs_lock(&mut self, runs: impl Iterator<Item = RunId>) -> Result<()> {
        if !self.is_postgres() {
            return Ok(());
        }
        let lock = self
            .sql("SELECT id FROM runs WHERE id")
            .one_of(Type::Uuid, runs.map(|id| id.0))
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
        let run: Run = row
            .ok_or_else(|| Error::not_found(Thing::Run, id))?
            .try_into()?;
        if run.state == RunState::Running {
            self.rings.cancel = true;
            self.tell_run(EventKind::RunCancelRequested, &run);
        }
        Ok(run)
    }

    pub(super) fn tell_run(&mut self, kind: EventKind, run: &Run) {
        self.tell(NewEvent::of_run(kind, run, self.store.tells_compactly()));
    }
}

/// What adds runs that nothing has happened to yet.
pub(super) fn insert_runs(backend: DbBackend, runs: &[Run]) -> Result<Vec<Statement>> {
    let rows = runs.iter().map(row_of).collect::<Result<_>>()?;
    Ok(inserts(backend, "runs", COLUMNS, UNTOUCHED, rows, ""))
}

/// Runs that have not ended: said so that the index of the live ones holds, and is chosen.
pub(super) const LIVE: &str =
    "finished_at IS NULL AND state IN ('queued', 'running', 'retry_wait')";

const COLUMNS: &[Column] = &[
    column("id", Type::Uuid),
    column("task_id", Type::Uuid),
    column("task", Type::Text),
    column("kind", Type::Text),
    column("trigger_by", Type::Text),
    column("priority", Type::Small),
    column("parameters", Type::Text),
    column("policy", Type::Text),
    column("dry_run", Type::Bool),
    column("solo", Type::Bool),
    column("slot_at", Type::Big).or_null(),
    column("nominal_at", Type::Big).or_null(),
    column("due_at", Type::Big),
    column("queued_at", Type::Big),
    column("claim_at", Type::Big).or_null(),
    column("start_deadline_at", Type::Big).or_null(),
    column("coalesced", Type::Text).or_null(),
    column("catch_up", Type::Bool),
    column("retry_of", Type::Uuid).or_null(),
    column("principal", Type::Text),
    column("request_reason", Type::Text),
    column("revision", Type::Big),
    column("version", Type::Big),
];

/// What a run begins with; its other columns are null.
const UNTOUCHED: &[(&str, &str)] = &[
    ("state", "'queued'"),
    ("reason", "''"),
    ("message", "''"),
    ("counters", "'{}'"),
    ("attempt", "0"),
    ("attempts_charged", "0"),
];

/// What one that is started at once has besides [`COLUMNS`], and begins with.
const STARTED: &[Column] = &[
    column("started_at", Type::Big),
    column("attempt_started_at", Type::Big),
    column("lease_owner", Type::Uuid),
    column("lease_until", Type::Big),
];
const FIRST_ATTEMPT: &[(&str, &str)] = &[
    ("state", "'running'"),
    ("reason", "''"),
    ("message", "''"),
    ("counters", "'{}'"),
    ("attempt", "1"),
    ("attempts_charged", "1"),
];

/// The values of [`COLUMNS`].
fn row_of(run: &Run) -> Result<Vec<Value>> {
    let policy = match run.policy.is_usual() {
        true => "{}".to_owned(),
        false => json(&run.policy)?,
    };
    Ok(vec![
        run.id.0.into(),
        run.task_id.0.into(),
        run.task.as_str().into(),
        run.kind.as_str().into(),
        run.trigger.as_str().into(),
        run.priority.into(),
        json(&run.parameters)?.into(),
        policy.into(),
        run.dry_run.into(),
        run.solo.into(),
        micros_of(run.slot_at).into(),
        micros_of(run.nominal_at).into(),
        micros(run.due_at).into(),
        micros(run.queued_at).into(),
        micros_of(run.claim_at).into(),
        micros_of(run.start_deadline_at).into(),
        json_of(run.coalesced.as_ref())?.into(),
        run.catch_up.into(),
        uuid_of(run.retry_of).into(),
        run.principal.as_str().into(),
        run.request_reason.as_str().into(),
        run.revision.into(),
        run.version.into(),
    ])
}
