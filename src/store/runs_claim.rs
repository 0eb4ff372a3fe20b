//! Claims and leases: which replica may work on which run, and until when.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::FromQueryResult;

use super::{CHUNK, Store, Tx, convert, convert::micros, entity::run};
use crate::{
    domain::{EventKind, ReplicaId, Run, RunId, TaskId, retry::later, run::Progress},
    error::Result,
};

/// Any number will do, as long as every server takes the same.
const CLAIM_LOCK: i64 = 0x5761_7463_6863_6c6d;

/// What the queue holds, and when to look at it again.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueOutlook {
    /// A run may be claimed.
    pub ready: bool,
    /// The next retry is due.
    pub retry_at: Option<Timestamp>,
    /// The next start deadline passes.
    pub deadline_at: Option<Timestamp>,
    /// The next lease of another replica runs out.
    pub lease_at: Option<Timestamp>,
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
    ready: Option<i64>,
    retry_at: Option<i64>,
    deadline_at: Option<i64>,
    lease_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Counts {
    queued: i64,
    retry_wait: i64,
    running: i64,
    oldest_due_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Id {
    id: uuid::Uuid,
}

impl Store {
    pub async fn queue_outlook(&self, replica: ReplicaId) -> Result<QueueOutlook> {
        let select = self
            .sql(
                "SELECT (SELECT min(claim_at) FROM runs WHERE state = 'queued' AND claim_at IS NOT NULL) AS ready, \
                 (SELECT min(claim_at) FROM runs WHERE state = 'retry_wait') AS retry_at, \
                 (SELECT min(start_deadline_at) FROM runs WHERE state = 'queued' AND started_at IS NULL \
                 AND start_deadline_at IS NOT NULL) AS deadline_at, \
                 (SELECT min(lease_until) FROM runs WHERE state = 'running' AND lease_owner <> ",
            )
            .bind(replica.0)
            .push(") AS lease_at")
            .done();
        let row: Option<Outlook> = self.one(select).await?;
        let Some(row) = row else {
            return Ok(QueueOutlook::default());
        };
        Ok(QueueOutlook {
            ready: row.ready.is_some(),
            retry_at: convert::instant_of(row.retry_at)?,
            deadline_at: convert::instant_of(row.deadline_at)?,
            lease_at: convert::instant_of(row.lease_at)?,
        })
    }

    pub async fn queue_counts(&self) -> Result<QueueCounts> {
        let select = self.sql(
            "SELECT (SELECT count(*) FROM runs WHERE state = 'queued') AS queued, \
             (SELECT count(*) FROM runs WHERE state = 'retry_wait') AS retry_wait, \
             (SELECT count(*) FROM runs WHERE state = 'running') AS running, \
             (SELECT min(due_at) FROM runs WHERE state = 'queued' AND claim_at IS NOT NULL) AS oldest_due_at",
        );
        let row: Option<Counts> = self.one(select.done()).await?;
        let Some(row) = row else {
            return Ok(QueueCounts::default());
        };
        Ok(QueueCounts {
            queued: row.queued,
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

    /// Runs whose lease has run out; where `all_others`, also all that another replica holds: on SQLite
    /// the lock of the data directory proves that no other process lives. At most `limit`.
    pub async fn runs_lost(
        &self,
        now: Timestamp,
        replica: ReplicaId,
        all_others: bool,
        limit: usize,
    ) -> Result<Vec<Run>> {
        let mut select = self
            .sql("SELECT * FROM runs WHERE state = 'running' AND (lease_until <= ")
            .bind(micros(now));
        if all_others {
            select = select.push(" OR lease_owner <> ").bind(replica.0);
        }
        self.some_runs(select.push(")"), limit).await
    }

    /// Tasks with runs in line and none before them; at most 1,000.
    pub async fn lines_halted(&self) -> Result<Vec<TaskId>> {
        let select = "SELECT DISTINCT r.task_id AS id FROM runs r WHERE r.state = 'queued' AND r.claim_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.task_id = r.task_id AND (o.state IN ('running', 'retry_wait') \
             OR (o.state = 'queued' AND o.claim_at IS NOT NULL))) LIMIT 1000";
        let rows: Vec<Id> = self.all(self.sql(select).done()).await?;
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

    async fn some_runs(&self, select: super::sql::Sql, limit: usize) -> Result<Vec<Run>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<run::Model> = self.all(select.push(" LIMIT ").bind(limit).done()).await?;
        rows.into_iter().map(Run::try_from).collect()
    }
}

impl Tx {
    /// Takes up to `limit` runs of these kinds, the most urgent first, each with the next token and a
    /// lease. One claimer at a time in the cluster: so no two can both see a task as free.
    pub async fn runs_claim(
        &mut self,
        replica: ReplicaId,
        kinds: &[&str],
        hosted: &[RunId],
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Run>> {
        if self.is_postgres() {
            let lock = self
                .sql("SELECT pg_advisory_xact_lock(")
                .bind(CLAIM_LOCK)
                .push(")");
            self.run(lock.done()).await?;
        }
        let now = micros(self.now);
        let until = micros(later(self.now, lease));
        let mut claim = self
            .sql("UPDATE runs SET state = 'running', attempt = attempt + 1, attempts_charged = attempts_charged + 1, \
                 claim_at = NULL, version = version + 1, progress = NULL, reason = '', message = '', lease_owner = ")
            .bind(replica.0)
            .push(", lease_until = ")
            .bind(until)
            .push(", attempt_started_at = ")
            .bind(now)
            .push(", started_at = COALESCE(started_at, ")
            .bind(now)
            .push(
                ") WHERE state = 'queued' AND id IN (SELECT r.id FROM runs r WHERE r.state = 'queued' \
                 AND r.claim_at IS NOT NULL AND (r.started_at IS NOT NULL OR r.start_deadline_at IS NULL \
                 OR r.start_deadline_at > ",
            )
            .bind(now)
            .push(") AND r.kind IN ")
            .list(kinds.iter().copied())
            .push(
                " AND (NOT r.solo OR NOT EXISTS (SELECT 1 FROM runs o WHERE o.task_id = r.task_id \
                 AND o.state IN ('running', 'retry_wait')))",
            );
        if !hosted.is_empty() {
            claim = claim
                .push(" AND r.id NOT IN ")
                .list(hosted.iter().map(|id| id.0));
        }
        let claim = claim
            .push(" ORDER BY r.priority DESC, r.due_at, r.id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .push(") RETURNING *")
            .done();
        let rows: Vec<run::Model> = self.all(claim).await?;
        let mut runs = rows
            .into_iter()
            .map(Run::try_from)
            .collect::<Result<Vec<_>>>()?;
        runs.sort_by_key(|run| (-run.priority, run.due_at, run.id));
        for run in &runs {
            self.tell_run(EventKind::RunStarted, run);
        }
        Ok(runs)
    }

    /// Brings runs whose retry is due back into the queue; says how many.
    pub async fn retries_queue(&mut self) -> Result<usize> {
        let update = self
            .sql(
                "UPDATE runs SET state = 'queued', version = version + 1 WHERE state = 'retry_wait' \
                 AND claim_at <= ",
            )
            .bind(micros(self.now))
            .push(" RETURNING *")
            .done();
        let rows: Vec<run::Model> = self.all(update).await?;
        for row in &rows {
            let run = Run::try_from(row.clone())?;
            self.tell_run(EventKind::RunQueued, &run);
        }
        self.rings.queue |= !rows.is_empty();
        Ok(rows.len())
    }

    /// Renews the leases of runs that this replica hosts; returns those it still holds.
    pub async fn leases_renew(
        &mut self,
        replica: ReplicaId,
        held: &[(RunId, i64)],
        lease: Duration,
    ) -> Result<Vec<RunId>> {
        let until = micros(later(self.now, lease));
        let mut kept = Vec::with_capacity(held.len());
        for chunk in held.chunks(CHUNK) {
            let rows = chunk
                .iter()
                .map(|(id, token)| vec![id.0.into(), (*token).into()]);
            let update = self
                .sql("")
                .with_values(&[("id", "uuid"), ("token", "bigint")], rows)
                .push("UPDATE runs SET lease_until = ")
                .bind(until)
                .push(
                    " FROM v WHERE runs.id = v.id AND runs.attempt = v.token AND runs.state = 'running' \
                     AND runs.lease_owner = ",
                )
                .bind(replica.0)
                .push(" RETURNING runs.id AS id")
                .done();
            let rows: Vec<Id> = self.all(update).await?;
            kept.extend(rows.into_iter().map(|row| RunId(row.id)));
        }
        Ok(kept)
    }

    /// Notes how far runs are, and tells of it.
    pub async fn runs_progress(&mut self, news: &[(RunId, i64, Progress)]) -> Result<()> {
        for chunk in news.chunks(CHUNK) {
            let rows = chunk
                .iter()
                .map(|(id, token, progress)| {
                    Ok(vec![
                        id.0.into(),
                        (*token).into(),
                        convert::json(progress)?.into(),
                    ])
                })
                .collect::<Result<Vec<_>>>()?;
            let update = self
                .sql("")
                .with_values(
                    &[("id", "uuid"), ("token", "bigint"), ("progress", "text")],
                    rows,
                )
                .push(
                    "UPDATE runs SET progress = v.progress, version = version + 1 FROM v \
                     WHERE runs.id = v.id AND runs.attempt = v.token AND runs.state = 'running'",
                )
                .returning_all("runs")
                .done();
            let rows: Vec<run::Model> = self.all(update).await?;
            for row in rows {
                let run = Run::try_from(row)?;
                self.tell_run(EventKind::RunProgressed, &run);
            }
        }
        Ok(())
    }
}
