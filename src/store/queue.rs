//! The queue as it stands: how full it is, what of it has to be seen to, and when to look again.

use jiff::Timestamp;
use sea_orm::{DbBackend, FromQueryResult};

use super::{
    Id, Store, Tx, convert,
    convert::micros,
    entity::run,
    lines::{first_in_line, occupies},
    sql::Sql,
};
use crate::{
    domain::{ReplicaId, Run, RunId, TaskId},
    error::Result,
};

/// What the queue holds, and when to look at it again.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueOutlook {
    /// A run may be claimed.
    pub ready: bool,
    /// The next retry is due.
    pub retry_at: Option<Timestamp>,
    /// The next start deadline passes.
    pub deadline_at: Option<Timestamp>,
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueCounts {
    pub queued: i64,
    pub retry_wait: i64,
    pub running: i64,
    pub oldest_due_at: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct Outlook {
    ready_at: Option<i64>,
    retry_at: Option<i64>,
    deadline_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Lease {
    lease_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Counts {
    live: i64,
    retry_wait: i64,
    running: i64,
    oldest_due_at: Option<i64>,
}

/// Each is counted in an index that holds nothing else.
const COUNTS: &str = "SELECT (SELECT count(*) FROM runs WHERE finished_at IS NULL) AS live, \
     (SELECT count(*) FROM runs WHERE state = 'retry_wait') AS retry_wait, \
     (SELECT count(*) FROM runs WHERE state = 'running') AS running, ";

/// The tasks of the runs that have not ended, each found by a step in the index.
pub(super) const LIVE_TASKS: &str = "WITH RECURSIVE live(id) AS (SELECT (SELECT r.task_id FROM runs r \
     WHERE r.finished_at IS NULL ORDER BY r.task_id LIMIT 1) UNION ALL SELECT (SELECT r.task_id FROM runs r \
     WHERE r.finished_at IS NULL AND r.task_id > live.id ORDER BY r.task_id LIMIT 1) FROM live \
     WHERE live.id IS NOT NULL) ";

/// The ten priorities, the most urgent first.
const PRIORITIES: &str = "(SELECT 9 AS priority UNION ALL SELECT 8 UNION ALL SELECT 7 UNION ALL SELECT 6 \
     UNION ALL SELECT 5 UNION ALL SELECT 4 UNION ALL SELECT 3 UNION ALL SELECT 2 UNION ALL SELECT 1 \
     UNION ALL SELECT 0) p";

impl Tx {
    /// Notes that a run which was due then is in the queue from this write on: where that is long ago, looks begin there.
    pub(super) fn put_in_queue(&mut self, due_at: Timestamp) {
        let at = micros(due_at);
        self.queued_from = Some(self.queued_from.map_or(at, |from| from.min(at)));
    }
}

/// When the first run was due that may be claimed, as a subquery; none was before `floor`. What is due longest is the first
/// of one of the priorities, in which the index has them in order: so PostgreSQL reads it from there on, and not the dead
/// rows before, which it keeps as long as anybody holds an older snapshot.
fn first_due(select: Sql, floor: i64) -> Sql {
    select
        .push(
            "(SELECT min(of_each.due_at) FROM (SELECT (SELECT r.due_at FROM runs r WHERE r.state = 'queued' \
             AND r.claim_at IS NOT NULL AND r.priority = p.priority AND r.due_at > ",
        )
        .bind(floor)
        .push(" ORDER BY r.due_at LIMIT 1) AS due_at FROM ")
        .push(PRIORITIES)
        .push(") of_each)")
}

/// When one was due that may be claimed, whichever: that there is one is all that is asked. Those below the floor PostgreSQL
/// tells by the index alone, and reads no dead row of them.
pub(super) fn any_due(select: Sql, floor: i64) -> Sql {
    let select = select
        .push("(SELECT r.due_at FROM runs r WHERE r.state = 'queued' AND r.claim_at IS NOT NULL");
    above(select, floor).push(" LIMIT 1)")
}

/// That a run is not below the floor. SQLite keeps no dead rows in its indexes.
pub(super) fn above(select: Sql, floor: i64) -> Sql {
    match select.is_postgres() {
        true => select.push(" AND r.due_at > ").bind(floor),
        false => select,
    }
}

impl Store {
    /// Has the next look at the queue begin below all there is: what another process has put there may lie below the floors.
    pub fn look_anew_at_queue(&self) {
        self.inner.floors.queue.lift();
        self.inner.floors.leases.lift();
    }

    /// What there is to do in the queue, and when to look again.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn queue_outlook(&self) -> Result<QueueOutlook> {
        let floors = &self.inner.floors;
        let look = floors.queue.look();
        let now = self.inner.clock.now();
        let select = any_due(self.sql("SELECT "), floors.queue.at())
            .push(
                " AS ready_at, (SELECT min(claim_at) FROM runs WHERE state = 'retry_wait') AS retry_at, \
                 (SELECT min(start_deadline_at) FROM runs WHERE state = 'queued' AND started_at IS NULL \
                 AND start_deadline_at IS NOT NULL) AS deadline_at",
            )
            .done();
        let row: Option<Outlook> = self.one(select).await?;
        let Some(row) = row else {
            return Ok(QueueOutlook::default());
        };
        // Of those that there are this is not the first: the floor stays until there is none.
        if self.inner.backend == DbBackend::Postgres
            && let Some(look) = look.filter(|_| row.ready_at.is_none())
        {
            floors.queue.set(look, None, now);
        }
        Ok(QueueOutlook {
            ready: row.ready_at.is_some(),
            retry_at: convert::instant_of(row.retry_at)?,
            deadline_at: convert::instant_of(row.deadline_at)?,
        })
    }

    /// When the next lease of another replica runs out. Apart from what is asked at each look at the queue: on PostgreSQL
    /// all that has ended within a lease's time lies before it in the index, for as long as it is not cleaned.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn lease_next(&self, replica: ReplicaId) -> Result<Option<Timestamp>> {
        let floor = &self.inner.floors.leases;
        let look = floor.look();
        let now = self.inner.clock.now();
        let select = self
            .sql("SELECT min(lease_until) AS lease_at FROM runs WHERE state = 'running' AND lease_owner <> ")
            .bind(replica.0)
            .push(" AND lease_until > ")
            .bind(floor.at())
            .done();
        let row: Option<Lease> = self.one(select).await?;
        let lease_at = row.and_then(|row| row.lease_at);
        if self.inner.backend == DbBackend::Postgres
            && let Some(look) = look
        {
            floor.set(look, lease_at, now);
        }
        convert::instant_of(lease_at)
    }

    pub async fn queue_counts(&self) -> Result<QueueCounts> {
        let floor = self.inner.floors.queue.at();
        let counts = first_due(self.sql(COUNTS), floor)
            .push(" AS oldest_due_at")
            .done();
        let row: Option<Counts> = self.one(counts).await?;
        let Some(row) = row else {
            return Ok(QueueCounts::default());
        };
        Ok(QueueCounts {
            queued: row.live - row.retry_wait - row.running,
            retry_wait: row.retry_wait,
            running: row.running,
            oldest_due_at: convert::instant_of(row.oldest_due_at)?,
        })
    }

    /// Runs whose start deadline has passed before an attempt began; at most `limit`.
    pub async fn runs_past_deadline(&self, now: Timestamp, limit: usize) -> Result<Vec<Run>> {
        let select = self
            .sql(
                "SELECT * FROM runs WHERE state = 'queued' AND started_at IS NULL \
                 AND start_deadline_at IS NOT NULL AND start_deadline_at <= ",
            )
            .bind(micros(now));
        self.some_runs(select, limit).await
    }

    /// Runs whose lease has run out, or goes on for longer than any that was given by now (`beyond`); where `all_others`, also all that another replica holds: on SQLite
    /// the lock of the data directory proves that no other process lives. At most `limit`.
    pub async fn runs_lost(
        &self,
        now: Timestamp,
        beyond: Timestamp,
        replica: ReplicaId,
        all_others: bool,
        limit: usize,
    ) -> Result<Vec<Run>> {
        let mut select = self
            .sql("SELECT * FROM runs WHERE state = 'running' AND (lease_until <= ")
            .bind(micros(now))
            .push(" OR lease_until > ")
            .bind(micros(beyond));
        if all_others {
            select = select.push(" OR lease_owner <> ").bind(replica.0);
        }
        self.some_runs(select.push(")"), limit).await
    }

    /// Tasks with runs in line and none before them; at most 1,000.
    pub async fn lines_halted(&self) -> Result<Vec<TaskId>> {
        let select = self
            .sql(LIVE_TASKS)
            .push("SELECT id FROM live WHERE id IS NOT NULL AND ")
            .push(&occupies("live.id"))
            .push(" IS NULL AND (")
            .push(&first_in_line("live.id"))
            .push(") IS NOT NULL LIMIT 1000")
            .done();
        let rows: Vec<Id> = self.all(select).await?;
        Ok(rows.into_iter().map(|row| TaskId(row.id)).collect())
    }

    /// Runs of this replica that someone wants to stop.
    pub async fn runs_to_stop(&self, replica: ReplicaId) -> Result<Vec<RunId>> {
        let select = self
            .sql("SELECT id FROM runs WHERE state = 'running' AND cancellation IS NOT NULL AND lease_owner = ")
            .bind(replica.0)
            .done();
        let rows: Vec<Id> = self.all(select).await?;
        Ok(rows.into_iter().map(|row| RunId(row.id)).collect())
    }

    async fn some_runs(&self, select: Sql, limit: usize) -> Result<Vec<Run>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<run::Model> = self.all(select.push(" LIMIT ").bind(limit).done()).await?;
        rows.into_iter().map(Run::try_from).collect()
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::Statement;

    use super::*;
    use crate::store::{
        plan::{empty_store, plan},
        runs::LIVE,
    };

    /// History grows without end: what runs all the time must not read it.
    #[tokio::test]
    async fn the_hot_paths_read_what_is_live_and_no_history() {
        let (_dir, store) = empty_store().await;
        let live = "runs WHERE finished_at IS NULL";
        let queries = [
            "SELECT 1 FROM runs WHERE state = 'queued' AND claim_at IS NOT NULL".to_owned(),
            "SELECT min(claim_at) FROM runs WHERE state = 'retry_wait'".to_owned(),
            "SELECT min(lease_until) FROM runs WHERE state = 'running' AND lease_owner <> x''"
                .to_owned(),
            format!("SELECT count(*) FROM {live}"),
            format!("{COUNTS} 1"),
            format!(
                "SELECT id FROM runs INDEXED BY runs_live WHERE {LIVE} AND task_id IN (x'', x'01') ORDER BY id"
            ),
            format!(
                "{LIVE_TASKS} SELECT id FROM live WHERE {} IS NULL",
                occupies("live.id")
            ),
            format!("SELECT 1 WHERE {} IS NOT NULL", occupies("x''")),
            first_in_line("x''"),
            "SELECT r.id FROM runs r WHERE r.state = 'queued' AND r.claim_at IS NOT NULL \
             ORDER BY r.priority DESC, r.due_at, r.id LIMIT 10"
                .to_owned(),
        ];
        let of_the_live = ["runs_claim", "runs_waiting", "runs_lease", "runs_live"];
        let statement = |query: &String| Statement::from_string(DbBackend::Sqlite, query.as_str());
        let mut statements: Vec<(String, Statement)> = queries
            .iter()
            .map(|query| (query.clone(), statement(query)))
            .collect();
        let looks: [fn(Sql, i64) -> Sql; 2] = [first_due, any_due];
        for look in looks {
            let look = look(store.sql("SELECT "), i64::MIN).done();
            statements.push((look.sql.clone(), look));
        }
        for (query, statement) in statements {
            let mut plan = plan(&store, statement).await;
            plan.retain(|step| {
                [" runs", " q ", " r ", " o "]
                    .iter()
                    .any(|table| step.contains(table))
            });
            assert!(!plan.is_empty(), "{query}");
            for step in &plan {
                assert!(
                    of_the_live.iter().any(|index| step.contains(index)),
                    "{query}: {plan:?}"
                );
            }
        }
    }
}
