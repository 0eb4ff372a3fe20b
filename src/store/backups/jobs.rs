//! Runs of backups, counted: those of policies' tasks, and nothing else.

use jiff::{SignedDuration, Timestamp};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::{
    domain::{RunId, RunState, TaskName, backup::figures::Jobs, run::reason},
    error::Result,
    store::{
        Store, convert,
        rows::{CHUNK, Type},
        sql::Sql,
    },
};

/// How long before a span a run may have been queued that ended within it: longer than any may take.
const LONGEST: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Runs that are looked at.
const LOOKED_AT: i64 = 10_000;

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    state: String,
    outcome: Option<String>,
    reason: String,
    dry_run: bool,
    finished_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Live {
    id: Uuid,
}

impl Store {
    /// Runs that are under way now, of any task: all of them, since what is not among them is swept.
    pub async fn runs_under_way(&self) -> Result<Vec<RunId>> {
        let mut runs: Vec<RunId> = Vec::new();
        loop {
            let mut select =
                self.sql("SELECT id FROM runs WHERE finished_at IS NULL AND state = 'running'");
            if let Some(last) = runs.last() {
                select = select.push(" AND id > ").bind(last.0);
            }
            let select = select.push(" ORDER BY id LIMIT ").bind(LOOKED_AT).done();
            let rows: Vec<Live> = self.all(select).await?;
            let is_last = (rows.len() as i64) < LOOKED_AT;
            runs.extend(rows.into_iter().map(|row| RunId(row.id)));
            if is_last {
                return Ok(runs);
            }
        }
    }

    /// Runs of these tasks since then: queued, and how those ended that ended; and those under way now. Dry runs do
    /// not count, and neither does what was under way when the instance was backed up that this one came from.
    pub async fn backup_jobs(&self, tasks: &[TaskName], since: Timestamp) -> Result<Jobs> {
        let first = RunId::first_from(since);
        let looked = since.saturating_sub(LONGEST).unwrap_or(since);
        let mut jobs = Jobs::default();
        for chunk in tasks.chunks(CHUNK) {
            let mut from = RunId::first_from(looked);
            let mut rows: Vec<Row> = Vec::new();
            loop {
                let names = chunk.iter().map(TaskName::as_str);
                let page: Vec<Row> = self.all(newest(self.sql(""), names, from).done()).await?;
                let is_last = (page.len() as i64) < LOOKED_AT;
                if let Some(last) = page.last() {
                    from = RunId(Uuid::from_u128(last.id.as_u128().saturating_add(1)));
                }
                rows.extend(page);
                if is_last {
                    break;
                }
            }
            for row in rows {
                if row.dry_run
                    || [reason::SUPERSEDED_BY_SLOT, reason::RESTORED].contains(&&*row.reason)
                {
                    continue;
                }
                let state = convert::word("run state", &row.state, RunState::parse(&row.state))?;
                jobs.queued += i64::from(first.0 <= row.id);
                jobs.running += i64::from(state == RunState::Running);
                let ended = row
                    .finished_at
                    .is_some_and(|at| convert::micros(since) <= at);
                match state {
                    RunState::Succeeded if !ended => {}
                    RunState::Succeeded if row.outcome.as_deref() == Some("partial") => {
                        jobs.partial += 1;
                    }
                    RunState::Succeeded => jobs.completed += 1,
                    RunState::Failed
                    | RunState::TimedOut
                    | RunState::Expired
                    | RunState::Abandoned => jobs.failed += i64::from(ended),
                    RunState::Cancelled
                    | RunState::Queued
                    | RunState::Running
                    | RunState::RetryWait => {}
                }
            }
        }
        Ok(jobs)
    }
}

/// The first runs of these tasks from one on, by their ids. PostgreSQL asks for those of each task apart: for all of them in
/// the one order it would read what any task has run since.
fn newest<'a>(sql: Sql, tasks: impl IntoIterator<Item = &'a str>, from: RunId) -> Sql {
    const TASKS: &str = "(SELECT id FROM tasks WHERE deleted_at IS NULL AND name";
    let sql = sql.push("SELECT id, state, outcome, reason, dry_run, finished_at FROM ");
    let sql = match sql.is_postgres() {
        true => sql
            .push("(SELECT r.* FROM ")
            .push(TASKS)
            .one_of(Type::Text, tasks)
            .push(") t CROSS JOIN LATERAL (SELECT * FROM runs WHERE task_id = t.id AND id >= ")
            .bind(from.0)
            .push(" ORDER BY task_id, id LIMIT ")
            .bind(LOOKED_AT)
            .push(") r) of_each"),
        false => sql
            .push("runs WHERE task_id IN ")
            .push(TASKS)
            .one_of(Type::Text, tasks)
            .push(") AND id >= ")
            .bind(from.0),
    };
    sql.push(" ORDER BY id LIMIT ").bind(LOOKED_AT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_counts_runs_of_backups_by_indexes_alone() {
        let (_dir, store) = empty_store().await;
        let from = RunId::first_from(Timestamp::UNIX_EPOCH);
        let select = newest(store.sql(""), ["backup-daily-full"], from).done();
        let steps = plan(&store, select).await.join("\n");
        assert!(steps.contains("runs_task (task_id=? AND id>?)"), "{steps}");
        assert!(steps.contains("tasks_name"), "{steps}");
    }
}
