//! Runs that wait for longer than they should: in the queue, in a line, or for a server that moves them on.

use jiff::Timestamp;
use sea_orm::FromQueryResult;

use super::{Store, convert, convert::micros, lines::first_in_line, queue::LIVE_TASKS};
use crate::{
    domain::{RunId, TaskId, TaskName},
    error::Result,
};

/// How long runs of a task have waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub id: TaskId,
    pub name: TaskName,
    pub revision: i64,
    pub usual: Option<std::time::Duration>,
    /// The run that may be claimed and has waited longest for that, and since when.
    pub queued: Option<(RunId, Timestamp)>,
    /// The run that a server should have moved on, and has waited longest for that, and since when: its lease has
    /// passed, or its retry is due.
    pub forsaken: Option<(RunId, Timestamp)>,
    /// The run that stands first in line, and since when what is before it has been able to run; its own beginning
    /// where nothing is.
    pub in_line: Option<(RunId, Timestamp)>,
}

#[derive(FromQueryResult)]
struct Row {
    id: uuid::Uuid,
    name: String,
    revision: i64,
    usual_ms: Option<i64>,
    queued: Option<uuid::Uuid>,
    queued_at: Option<i64>,
    forsaken: Option<uuid::Uuid>,
    forsaken_at: Option<i64>,
    in_line: Option<uuid::Uuid>,
    line_at: Option<i64>,
    head_at: Option<i64>,
}

/// The run of the task of `live` that may be claimed, and has waited longest.
const QUEUED: &str = "FROM runs q WHERE q.task_id = live.id AND q.finished_at IS NULL AND q.claim_at > 0 \
     AND q.state = 'queued' ORDER BY q.claim_at, q.due_at, q.id LIMIT 1";

/// When a server has to move on what is under way, or waits for its retry.
const MOVES_AT: &str = "CASE WHEN q.state = 'running' THEN q.lease_until WHEN q.state = 'retry_wait' THEN q.claim_at END";

/// What is before the line: under way, waiting for a retry, or for a place.
const HEAD: &str = "SELECT max(o.claim_at) FROM runs o WHERE o.task_id = live.id AND o.finished_at IS NULL \
     AND o.claim_at > 0";

impl Store {
    /// Tasks of which a run has waited since `before` or longer; at most `limit`. Found by what is live, and not
    /// by history.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn runs_waiting(&self, before: Timestamp, limit: usize) -> Result<Vec<Waiting>> {
        let forsaken = format!(
            "FROM runs q WHERE q.task_id = live.id AND q.finished_at IS NULL AND q.claim_at > 0 \
             AND {MOVES_AT} IS NOT NULL ORDER BY {MOVES_AT}, q.id LIMIT 1"
        );
        let select = self
            .sql(LIVE_TASKS)
            .push("SELECT t.id, t.name, t.revision, t.usual_ms, w.queued, w.queued_at, w.forsaken, w.forsaken_at, w.in_line, w.line_at, w.head_at FROM (SELECT live.id AS id, (SELECT q.id ")
            .push(QUEUED)
            .push(") AS queued, (SELECT q.claim_at ")
            .push(QUEUED)
            .push(") AS queued_at, (SELECT q.id ")
            .push(&forsaken)
            .push(") AS forsaken, (SELECT ")
            .push(MOVES_AT)
            .push(" ")
            .push(&forsaken)
            .push(") AS forsaken_at, (")
            .push(&first_in_line("live.id"))
            .push(") AS in_line, (")
            .push(&first_in_line("live.id").replacen("q.id", "q.queued_at", 1))
            .push(") AS line_at, (")
            .push(HEAD)
            .push(") AS head_at FROM live WHERE live.id IS NOT NULL) w JOIN tasks t ON t.id = w.id WHERE w.queued_at <= ")
            .bind(micros(before))
            .push(" OR w.forsaken_at <= ")
            .bind(micros(before))
            .push(" OR (w.line_at <= ")
            .bind(micros(before))
            .push(" AND COALESCE(w.head_at, 0) <= ")
            .bind(micros(before))
            .push(") ORDER BY t.id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        let rows: Vec<Row> = self.all(select).await?;
        rows.into_iter().map(Waiting::try_from).collect()
    }
}

impl TryFrom<Row> for Waiting {
    type Error = crate::error::Error;

    fn try_from(row: Row) -> Result<Self> {
        let pair = |id: Option<uuid::Uuid>, at: Option<i64>| {
            Ok::<_, Self::Error>(id.map(RunId).zip(convert::instant_of(at)?))
        };
        Ok(Self {
            id: TaskId(row.id),
            name: row.name.parse()?,
            revision: row.revision,
            usual: convert::millis_of(row.usual_ms),
            queued: pair(row.queued, row.queued_at)?,
            forsaken: pair(row.forsaken, row.forsaken_at)?,
            in_line: pair(row.in_line, row.line_at.max(row.head_at))?,
        })
    }
}
