//! Claims and leases: which replica may work on which run, and until when.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Id, Tx, convert,
    convert::micros,
    entity::run,
    queue::above,
    rows::{CHUNK, Type, column},
};
use crate::{
    domain::{EventKind, ReplicaId, Run, RunId, retry::later, run::Progress},
    error::Result,
};

/// That no start deadline of the run `r` has passed at the instant that is bound next.
const MAY_START: &str =
    "(r.started_at IS NOT NULL OR r.start_deadline_at IS NULL OR r.start_deadline_at > ";

impl Tx {
    /// Takes up to `limit` runs of these kinds, the most urgent first, each with the next token and a
    /// lease; none of `avoid`. It waits for nobody, and for no other claimer: what that has locked is passed over.
    ///
    /// Two claimers at once do not both take a task for free. Whoever lets a run of it be claimed holds the task's lock,
    /// has looked at all its runs under theirs, and leaves a solo one in line while another has a `claim_at`. So there
    /// is one such run of a task, whose row one of the two has locked; or others that may run beside it.
    ///
    /// Where runs have ended in this write, those that stand first in the lines behind them are taken from
    /// there.
    pub async fn runs_claim(
        &mut self,
        replica: ReplicaId,
        kinds: &[&str],
        avoid: &[RunId],
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Run>> {
        self.lines_wait().await?;
        let heads: Vec<RunId> = self.heads.values().copied().collect();
        let now = micros(self.now);
        let until = micros(later(self.now, lease));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let floor = self.store.inner.floors.queue.at();
        // Chosen once, and apart: a subquery under the UPDATE may be run again after each row.
        let mut claim = self
            .sql("WITH ready AS MATERIALIZED (SELECT r.id, r.priority, r.due_at FROM runs r WHERE r.state = 'queued' AND r.claim_at IS NOT NULL");
        claim = above(claim, floor)
            .push(" AND ")
            .push(MAY_START)
            .bind(now)
            .push(") AND r.kind")
            .one_of(Type::Text, kinds.iter().copied())
            .push(
                " AND (NOT r.solo OR NOT EXISTS (SELECT 1 FROM runs o WHERE o.task_id = r.task_id \
                 AND o.finished_at IS NULL AND o.claim_at > 0 AND o.id <> r.id \
                 AND (o.state <> 'queued' OR (o.due_at, o.id) < (r.due_at, r.id))))",
            );
        if !avoid.is_empty() {
            claim = claim
                .push(" AND NOT r.id")
                .one_of(Type::Uuid, avoid.iter().map(|id| id.0));
        }
        claim = claim
            .push(" ORDER BY r.priority DESC, r.due_at, r.id LIMIT ")
            .bind(limit)
            // Whoever holds one is about to end it, or rings once it is free: never wait for a row.
            .postgres(" FOR UPDATE OF r SKIP LOCKED")
            .push(")");
        claim = if heads.is_empty() {
            claim.push(", chosen AS MATERIALIZED (SELECT id FROM ready)")
        } else {
            // The locks of their tasks keep them as they are.
            claim
                .push(", heads AS MATERIALIZED (SELECT r.id, r.priority, r.due_at FROM runs r WHERE r.id")
                .one_of(Type::Uuid, heads.iter().map(|head| head.0))
                .push(" AND ")
                .push(MAY_START)
                .bind(now)
                .push(") AND r.kind")
                .one_of(Type::Text, kinds.iter().copied())
                .push(
                    "), chosen AS MATERIALIZED (SELECT id FROM (SELECT * FROM ready UNION ALL SELECT * FROM heads) \
                     both_of ORDER BY priority DESC, due_at, id LIMIT ",
                )
                .bind(limit)
                .push(")")
        };
        let claim = claim
            .push(
                " UPDATE runs SET state = 'running', attempt = attempt + 1, \
                 attempts_charged = attempts_charged + 1, version = version + 1, \
                 progress = NULL, reason = '', message = '', lease_owner = ",
            )
            .bind(replica.0)
            .push(", lease_until = ")
            .bind(until)
            .push(", attempt_started_at = ")
            .bind(now)
            .push(", started_at = COALESCE(started_at, ")
            .bind(now)
            .push("), claim_at = COALESCE(claim_at, ")
            .bind(now)
            .push(") WHERE state = 'queued' AND id IN (SELECT id FROM chosen) RETURNING *")
            .done();
        let rows: Vec<run::Model> = self.all(claim).await?;
        let mut runs = rows
            .into_iter()
            .map(Run::try_from)
            .collect::<Result<Vec<_>>>()?;
        runs.sort_by_key(|run| (-run.priority, run.due_at, run.id));
        for run in &runs {
            if self.heads.get(&run.task_id) == Some(&run.id) {
                self.heads.remove(&run.task_id);
            }
            self.ready.remove(&run.id);
            self.tell_run(EventKind::RunStarted, run);
        }
        Ok(runs)
    }

    /// Has runs tried again now whose last attempt began after `beyond`, by a clock that was ahead, as the retry is set by
    /// that too; says how many.
    pub async fn retries_recall(&mut self, beyond: Timestamp) -> Result<u64> {
        let update = self
            .sql("UPDATE runs SET claim_at = ")
            .bind(micros(self.now))
            .push(", version = version + 1 WHERE state = 'retry_wait' AND claim_at > ")
            .bind(micros(beyond))
            .push(" AND attempt_started_at > ")
            .bind(micros(beyond))
            .done();
        let recalled = self.run(update).await?;
        self.rings.queue |= 0 < recalled;
        Ok(recalled)
    }

    /// Brings runs whose retry is due back into the queue; says how many.
    pub async fn retries_queue(&mut self) -> Result<usize> {
        let update = self
            .sql(
                "WITH due AS MATERIALIZED (SELECT id FROM runs WHERE state = 'retry_wait' AND claim_at <= ",
            )
            .bind(micros(self.now))
            .push(" ORDER BY id")
            .postgres(" FOR UPDATE")
            .push(
                ") UPDATE runs SET state = 'queued', version = version + 1 \
                 WHERE state = 'retry_wait' AND id IN (SELECT id FROM due) RETURNING *",
            )
            .done();
        let rows: Vec<run::Model> = self.all(update).await?;
        for row in &rows {
            let run = Run::try_from(row.clone())?;
            self.tell_run(EventKind::RunQueued, &run);
            self.put_in_queue(run.due_at);
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
        // Rows are locked chunk by chunk: all of them in the one order.
        let mut held = held.to_vec();
        held.sort_unstable();
        for chunk in held.chunks(CHUNK) {
            self.runs_lock(chunk.iter().map(|(id, _)| *id)).await?;
            let rows = chunk
                .iter()
                .map(|(id, token)| vec![id.0.into(), (*token).into()]);
            let update = self
                .sql("")
                .with_values(&[column("id", Type::Uuid), column("token", Type::Big)], rows)
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
        // As in `leases_renew`.
        let mut news: Vec<_> = news.iter().collect();
        news.sort_by_key(|(id, ..)| *id);
        for chunk in news.chunks(CHUNK) {
            self.runs_lock(chunk.iter().map(|(id, ..)| *id)).await?;
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
                    &[
                        column("id", Type::Uuid),
                        column("token", Type::Big),
                        column("progress", Type::Text),
                    ],
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
