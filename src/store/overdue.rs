//! Runs that wait for longer than they should: in the queue, in a line, or for a server that moves them on.

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement};

use super::{Store, convert, convert::micros, lines::first_in_line, queue::LIVE_TASKS, sql::Sql};
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

/// The run of the task of `live` that has waited longest for a server to move it on.
const FORSAKEN: &str =
    "FROM forsaken f WHERE f.task_id = live.id ORDER BY f.moves_at, f.id LIMIT 1";

/// What is before the line: under way, waiting for a retry, or for a place.
const HEAD: &str = "SELECT max(o.claim_at) FROM runs o WHERE o.task_id = live.id AND o.finished_at IS NULL \
     AND o.claim_at > 0";

/// Whether what is before the line waits for a retry, which may well be long.
const HEAD_WAITS: &str = "EXISTS (SELECT 1 FROM runs o WHERE o.task_id = w.id AND o.finished_at IS NULL \
     AND o.claim_at > 0 AND o.state = 'retry_wait')";

impl Store {
    /// Tasks of which a run has waited since `before` or longer, or since `beyond` or later, which only a clock has noted
    /// that was ahead: `limit` of them by their ids, behind one. Found by what is live, and not by history.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn runs_waiting(
        &self,
        before: Timestamp,
        beyond: Timestamp,
        behind: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<Waiting>> {
        let select = self.waiting(before, beyond, behind, limit);
        let rows: Vec<Row> = self.all(select).await?;
        rows.into_iter().map(Waiting::try_from).collect()
    }

    fn waiting(
        &self,
        before: Timestamp,
        beyond: Timestamp,
        behind: Option<TaskId>,
        limit: usize,
    ) -> Statement {
        // By the indexes of what is under way, and of what waits for its retry: a long queue is not read for it. Without
        // a limit, lest those of one task hide another's.
        let moves = |sql: Sql, state: &str, at: &str| {
            sql.push(&format!(
                "SELECT q.task_id, q.id, q.{at} AS moves_at FROM runs q \
                 WHERE q.state = '{state}' AND q.{at} <= "
            ))
            .bind(micros(before))
        };
        let select = self.sql(LIVE_TASKS.trim_end()).push(", forsaken AS (");
        let select = moves(select, "running", "lease_until").push(" UNION ALL ");
        // Asked once of each task that has something under way, and before the tasks are joined: PostgreSQL would ask it
        // all anew for each pair of a task that there is and one of those.
        let mut select = moves(select, "retry_wait", "claim_at")
            .push("), w AS MATERIALIZED (SELECT live.id AS id, (SELECT q.id ")
            .push(QUEUED)
            .push(") AS queued, (SELECT q.claim_at ")
            .push(QUEUED)
            .push(") AS queued_at, (SELECT f.id ")
            .push(FORSAKEN)
            .push(") AS forsaken, (SELECT f.moves_at ")
            .push(FORSAKEN)
            .push(") AS forsaken_at, (")
            .push(&first_in_line("live.id"))
            .push(") AS in_line, (")
            .push(&first_in_line("live.id").replacen("q.id", "q.queued_at", 1))
            .push(") AS line_at, (")
            .push(HEAD)
            .push(") AS head_at FROM live WHERE live.id IS NOT NULL");
        if let Some(behind) = behind {
            select = select.push(" AND live.id > ").bind(behind.0);
        }
        let select = select
            .push(") SELECT t.id, t.name, t.revision, t.usual_ms, w.queued, w.queued_at, w.forsaken, w.forsaken_at, w.in_line, w.line_at, w.head_at FROM w JOIN tasks t ON t.id = w.id WHERE (w.queued_at <= ")
            .bind(micros(before))
            .push(" OR w.queued_at > ")
            .bind(micros(beyond))
            .push(" OR w.forsaken_at IS NOT NULL OR (w.line_at <= ")
            .bind(micros(before))
            .push(" AND COALESCE(w.head_at, 0) <= ")
            .bind(micros(before))
            .push(") OR ((w.line_at > ")
            .bind(micros(beyond))
            .push(" OR (w.line_at > 0 AND w.head_at > ")
            .bind(micros(beyond))
            .push(")) AND NOT ")
            .push(HEAD_WAITS)
            .push("))");
        select
            .push(" ORDER BY t.id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    /// It is looked at while work is under way, and a queue may be long.
    #[tokio::test]
    async fn what_waits_is_found_by_indexes_that_a_long_queue_does_not_fill() {
        let (_dir, store) = empty_store().await;
        let (before, beyond) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let behind = Some(TaskId(uuid::Uuid::nil()));
        let steps = plan(&store, store.waiting(before, beyond, behind, 10)).await;
        let of_runs = steps
            .iter()
            .filter(|step| [" q ", " o "].iter().any(|table| step.contains(table)));
        let found: Vec<&str> = of_runs.map(String::as_str).collect();
        for index in ["runs_live", "runs_lease", "runs_waiting"] {
            assert!(found.iter().any(|step| step.contains(index)), "{steps:?}");
        }
        let indexed =
            |step: &&str| step.contains(" USING INDEX runs_l") || step.contains("runs_waiting (");
        assert!(found.iter().all(indexed), "{steps:?}");
        // What is sorted is what nobody moves on, of each task; and at last the tasks that are found.
        for pair in steps.windows(2) {
            assert!(
                !pair[1].contains("TEMP B-TREE")
                    || !found.contains(&pair[0].as_str())
                    || pair[0].contains(" o "),
                "{steps:?}"
            );
        }
    }
}
