//! The ends of attempts: many in one statement, each only where its token still holds.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, EntityTrait as _, FromQueryResult};

use super::{
    Tx, convert,
    convert::{json, micros, micros_of, uuid_of},
    entity::{run, run_attempt},
    rows::{CHUNK, Column, Type, column},
};
use crate::{
    domain::{EventKind, Outcome, ReplicaId, Run, RunId, RunState, TaskId, run::reason},
    error::Result,
};

/// What an attempt, or the wait for one, has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptEnd {
    /// A terminal state, or `Queued` or `RetryWait` where there is more to come.
    pub state: RunState,
    pub outcome: Option<Outcome>,
    pub reason: String,
    pub message: String,
    pub counters: BTreeMap<String, i64>,
    /// When the next attempt may begin, in `Queued` and `RetryWait`.
    pub claim_at: Option<Timestamp>,
    /// The attempt does not count against the maximum.
    pub refund: bool,
    /// It had come to this before anything was asked of it: a wish to cancel changes no end, and keeps only
    /// another attempt from being made.
    pub own: bool,
}

/// Which attempt of which run has ended, and how.
#[derive(Clone, Debug)]
pub struct Ended {
    pub run: RunId,
    pub task: TaskId,
    pub token: i64,
    /// The replica that ran it, where one did.
    pub replica: Option<ReplicaId>,
    pub end: AttemptEnd,
    /// The run as the attempt began with it, where the caller has that: then only what can have changed
    /// since is read.
    pub known: Option<Arc<Run>>,
}

/// What an end changes, and what may have changed since the attempt began.
#[derive(FromQueryResult)]
struct Moved {
    id: uuid::Uuid,
    state: String,
    outcome: Option<String>,
    reason: String,
    claim_at: Option<i64>,
    finished_at: Option<i64>,
    attempts_charged: i64,
    cancellation: Option<String>,
    progress: Option<String>,
    version: i64,
}

impl AttemptEnd {
    /// An end that says only why.
    pub fn because(state: RunState, reason: &str, message: impl Into<String>) -> Self {
        Self {
            state,
            outcome: None,
            reason: reason.to_owned(),
            message: message.into(),
            counters: BTreeMap::new(),
            claim_at: None,
            refund: false,
            own: false,
        }
    }
}

const COLUMNS: &[Column] = &[
    column("id", Type::Uuid),
    column("token", Type::Big),
    column("state", Type::Text),
    column("outcome", Type::Text).or_null(),
    column("reason", Type::Text),
    column("message", Type::Text),
    column("counters", Type::Text),
    column("claim_at", Type::Big).or_null(),
    column("finished_at", Type::Big).or_null(),
    column("refund", Type::Big),
    column("own", Type::Big),
];

impl Tx {
    /// Ends attempts of runs that are in one of the states `from` and whose token still matches;
    /// returns those runs as they are now. A wish to cancel a running one wins over all but an end that it had come
    /// to by itself.
    ///
    /// Each run's task is locked first; its health is noted, and the events are told. The line behind a run
    /// moves up before the commit, unless it is claimed from.
    pub async fn runs_end(&mut self, ended: &[Ended], from: &[RunState]) -> Result<Vec<Run>> {
        let mut tasks: Vec<TaskId> = ended.iter().map(|ended| ended.task).collect();
        tasks.sort();
        tasks.dedup();
        self.tasks_lock(&tasks).await?;
        let mut runs = Vec::with_capacity(ended.len());
        // Rows are locked as they come: in the one order.
        let mut in_order: Vec<&Ended> = ended.iter().collect();
        in_order.sort_by_key(|ended| ended.run);
        for chunk in in_order.chunks(CHUNK) {
            runs.extend(self.end_chunk(chunk, from).await?);
        }
        self.note_attempts(ended, &runs).await?;

        for run in &runs {
            self.tell_run(told_of(run.state), run);
            if run.state.is_terminal() {
                self.freed.insert(run.task_id);
            }
            // A run that is queued again, or whose retry is due at another time.
            self.rings.queue |= !run.state.is_terminal();
            if run.state == RunState::Queued {
                self.put_in_queue(run.due_at);
            }
        }
        self.note_health(&runs).await?;
        Ok(runs)
    }

    async fn end_chunk(&mut self, chunk: &[&Ended], from: &[RunState]) -> Result<Vec<Run>> {
        let now = micros(self.now);
        let rows = chunk
            .iter()
            .map(
                |Ended {
                     run, token, end, ..
                 }| {
                    let finished_at = end.state.is_terminal().then_some(now);
                    Ok(vec![
                        run.0.into(),
                        (*token).into(),
                        end.state.as_str().into(),
                        end.outcome
                            .map(|outcome| outcome.as_str().to_owned())
                            .into(),
                        end.reason.clone().into(),
                        end.message.clone().into(),
                        json(&end.counters)?.into(),
                        micros_of(end.claim_at).into(),
                        finished_at.into(),
                        i64::from(end.refund).into(),
                        i64::from(end.own && end.state.is_terminal()).into(),
                    ])
                },
            )
            .collect::<Result<Vec<_>>>()?;
        let cancelled = "runs.cancellation IS NOT NULL AND runs.state = 'running' AND v.own = 0";
        let update = self
            .sql("")
            .with_values(COLUMNS, rows)
            .push("UPDATE runs SET state = CASE WHEN ")
            .push(cancelled)
            .push(" THEN 'cancelled' ELSE v.state END, outcome = CASE WHEN ")
            .push(cancelled)
            .push(" THEN NULL ELSE v.outcome END, reason = CASE WHEN ")
            .push(cancelled)
            .push(" AND v.state <> 'cancelled' THEN ")
            .bind(reason::CANCEL_REQUESTED)
            .postgres("::text")
            .push(" ELSE v.reason END, message = v.message, counters = v.counters, claim_at = CASE WHEN ")
            .push(cancelled)
            .push(" THEN NULL ELSE v.claim_at END, finished_at = CASE WHEN ")
            .push(cancelled)
            .push(" THEN ")
            .bind(now)
            .postgres("::bigint")
            .push(
                " ELSE v.finished_at END, attempts_charged = attempts_charged - v.refund, lease_owner = NULL, \
                 lease_until = NULL, version = version + 1 FROM v WHERE runs.id = v.id \
                 AND runs.attempt = v.token AND runs.state",
            )
            .one_of(Type::Text, from.iter().map(|state| state.as_str()))
            .push(MOVED)
            .done();
        let moved: Vec<Moved> = self.all(update).await?;
        let by_id: BTreeMap<RunId, &Ended> =
            chunk.iter().map(|ended| (ended.run, *ended)).collect();
        let mut runs = Vec::with_capacity(moved.len());
        let mut unknown = Vec::new();
        for row in moved {
            let ended = by_id.get(&RunId(row.id));
            match ended.and_then(|ended| Some((ended.known.as_deref()?, &ended.end))) {
                Some((known, end)) => runs.push(row.onto(known, end)?),
                None => unknown.push(row.id),
            }
        }
        if !unknown.is_empty() {
            let select = self
                .sql("SELECT * FROM runs WHERE id")
                .one_of(Type::Uuid, unknown)
                .push(" ORDER BY id")
                .done();
            let rows: Vec<run::Model> = self.all(select).await?;
            for row in rows {
                runs.push(row.try_into()?);
            }
        }
        Ok(runs)
    }

    /// Keeps what is known of attempts after which there is more to come.
    async fn note_attempts(&mut self, ended: &[Ended], runs: &[Run]) -> Result<()> {
        let by_id: BTreeMap<RunId, &Ended> = ended.iter().map(|ended| (ended.run, ended)).collect();
        let goes_on = |run: &&Run| !run.state.is_terminal() && 0 < run.attempt;
        let rows: Vec<run_attempt::ActiveModel> = runs
            .iter()
            .filter(goes_on)
            .filter_map(|run| {
                let ended = by_id.get(&run.id)?;
                Some(run_attempt::ActiveModel {
                    run_id: Set(run.id.0),
                    attempt: Set(run.attempt),
                    started_at: Set(micros(run.attempt_started_at.unwrap_or(self.now))),
                    finished_at: Set(micros(self.now)),
                    replica: Set(uuid_of(ended.replica)),
                    reason: Set(ended.end.reason.clone()),
                    message: Set(ended.end.message.clone()),
                })
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let insert = run_attempt::Entity::insert_many(rows);
        let done = insert.exec_without_returning(self.open()?).await;
        self.check(done)?;
        Ok(())
    }
}

const MOVED: &str = " RETURNING runs.id AS id, runs.state AS state, runs.outcome AS outcome, \
     runs.reason AS reason, runs.claim_at AS claim_at, runs.finished_at AS finished_at, \
     runs.attempts_charged AS attempts_charged, runs.cancellation AS cancellation, \
     runs.progress AS progress, runs.version AS version";

impl Moved {
    /// The whole run, from what was known of it.
    fn onto(self, known: &Run, end: &AttemptEnd) -> Result<Run> {
        let outcome = self.outcome.as_deref();
        Ok(Run {
            state: convert::word("run state", &self.state, RunState::parse(&self.state))?,
            outcome: outcome
                .map(|text| convert::word("outcome", text, Outcome::parse(text)))
                .transpose()?,
            reason: self.reason,
            message: end.message.clone(),
            counters: end.counters.clone(),
            claim_at: convert::instant_of(self.claim_at)?,
            finished_at: convert::instant_of(self.finished_at)?,
            attempts_charged: self.attempts_charged,
            cancellation: convert::read_of(self.cancellation.as_deref())?,
            progress: convert::read_of(self.progress.as_deref())?,
            version: self.version,
            lease_owner: None,
            lease_until: None,
            ..known.clone()
        })
    }
}

fn told_of(state: RunState) -> EventKind {
    match state {
        RunState::Queued => EventKind::RunQueued,
        RunState::Running => EventKind::RunStarted,
        RunState::RetryWait => EventKind::RunRetryWait,
        RunState::Succeeded => EventKind::RunSucceeded,
        RunState::Failed => EventKind::RunFailed,
        RunState::TimedOut => EventKind::RunTimedOut,
        RunState::Cancelled => EventKind::RunCancelled,
        RunState::Expired => EventKind::RunExpired,
        RunState::Abandoned => EventKind::RunAbandoned,
    }
}
