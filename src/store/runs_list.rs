//! Lists of runs: pages whose cost depends neither on how many runs there are, nor on how few of them are
//! wanted.

use jiff::{SignedDuration, Timestamp};
use sea_orm::Statement;

use super::{
    Id, Page, PageOf, Store, convert::micros, entity::run, rows::Type, runs::LIVE, sql::Sql,
};
use crate::{
    domain::{Run, RunId, RunState, TaskId, TaskName, Trigger},
    error::Result,
};

/// Rows looked at for a page where no index knows which are wanted.
const WINDOW: i64 = 1000;
/// Where more runs than these have not ended, those that are queued are looked for as if no index knew them.
const DEEP: i64 = 5000;
/// Deleted tasks of one name whose runs are listed.
const GONE: i64 = 20;
const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

/// Which runs a list holds.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of any of these; of all, where there is none.
    pub tasks: Vec<TaskId>,
    pub states: Vec<RunState>,
    pub triggers: Vec<Trigger>,
    pub queued_since: Option<Timestamp>,
    pub queued_before: Option<Timestamp>,
}

/// A part of the table that an index finds, in which the page is looked for; of a task or of all.
#[derive(Clone, Copy, Debug)]
enum Source {
    All(Option<TaskId>),
    /// Not ended: [`DEEP`] runs at most.
    Live(Option<TaskId>),
    /// Running, or waiting for a retry: as many as there are places, and failures of late.
    UnderWay(Option<TaskId>),
    /// Ended in this state, which is not success.
    Unsuccessful(Option<TaskId>, RunState),
}

impl RunFilter {
    fn wants_queued(&self) -> bool {
        self.states.contains(&RunState::Queued)
    }

    /// What has not ended comes first: what ends meanwhile is then found among what has.
    fn sources(&self, is_deep: bool) -> Vec<Source> {
        let tasks: Vec<Option<TaskId>> = match self.tasks.as_slice() {
            [] => vec![None],
            tasks => tasks.iter().copied().map(Some).collect(),
        };
        let (ended, live): (Vec<RunState>, Vec<RunState>) =
            self.states.iter().partition(|state| state.is_terminal());
        let is_unknown = self.states.is_empty()
            || ended.contains(&RunState::Succeeded)
            || (!ended.is_empty() && !self.triggers.is_empty())
            || (is_deep && self.wants_queued());
        if is_unknown {
            return tasks.into_iter().map(Source::All).collect();
        }
        let mut sources = Vec::new();
        if self.wants_queued() {
            sources.extend(tasks.iter().copied().map(Source::Live));
        } else if !live.is_empty() {
            sources.extend(tasks.iter().copied().map(Source::UnderWay));
        }
        for task in tasks {
            sources.extend(ended.iter().map(|state| Source::Unsuccessful(task, *state)));
        }
        sources
    }

    /// Whether the source holds others than what is wanted, and how many of them nobody knows.
    fn is_sparse_in(&self, source: Source) -> bool {
        matches!(source, Source::All(_)) && !(self.states.is_empty() && self.triggers.is_empty())
    }

    /// `FROM runs WHERE …`: what of the source lies within the bounds of time and page.
    fn range(&self, sql: Sql, source: Source, after: Option<RunId>) -> Sql {
        // SQLite has no statistics of them, and would rather read the primary key than a partial index.
        let mut sql = match source {
            Source::All(task) => of(sql.push(" FROM runs WHERE true"), task),
            Source::Live(task) => {
                let sql = sql.push(" FROM runs").sqlite(" INDEXED BY runs_live");
                of(sql.push(" WHERE ").push(LIVE), task)
            }
            // One statement: what moves between the two is in one of them.
            Source::UnderWay(task) => {
                let sql = sql
                    .push(" FROM (SELECT * FROM runs")
                    .sqlite(" INDEXED BY runs_lease")
                    .push(" WHERE state = 'running' UNION ALL SELECT * FROM runs")
                    .sqlite(" INDEXED BY runs_waiting")
                    .push(" WHERE state = 'retry_wait') AS under_way WHERE true");
                of(sql, task)
            }
            Source::Unsuccessful(task, state) => {
                let index = match task {
                    Some(_) => " INDEXED BY runs_unsuccessful_of",
                    None => " INDEXED BY runs_unsuccessful",
                };
                let sql = sql
                    .push(" FROM runs")
                    .sqlite(index)
                    .push(" WHERE finished_at IS NOT NULL AND state <> 'succeeded' AND state = ")
                    .bind(state.as_str());
                of(sql, task)
            }
        };
        // The id's first bits find the place, to the millisecond.
        if let Some(since) = self.queued_since {
            sql = sql
                .push(" AND id >= ")
                .bind(RunId::first_from(since).0)
                .push(" AND queued_at >= ")
                .bind(micros(since));
        }
        if let Some(before) = self.queued_before {
            let next = before.saturating_add(MILLISECOND).unwrap_or(Timestamp::MAX);
            sql = sql
                .push(" AND id < ")
                .bind(RunId::first_from(next).0)
                .push(" AND queued_at < ")
                .bind(micros(before));
        }
        if let Some(after) = after {
            sql = sql.push(" AND id < ").bind(after.0);
        }
        sql
    }

    /// ` AND …`: what is wanted of the source.
    fn wanted(&self, mut sql: Sql) -> Sql {
        if !self.states.is_empty() {
            let states = self.states.iter().map(|state| state.as_str());
            sql = sql.push(" AND state").one_of(Type::Text, states);
        }
        if !self.triggers.is_empty() {
            let triggers = self.triggers.iter().map(|trigger| trigger.as_str());
            sql = sql.push(" AND trigger_by").one_of(Type::Text, triggers);
        }
        sql
    }

    /// Up to `limit` runs that are wanted; none below `end`.
    fn select(
        &self,
        sql: Sql,
        source: Source,
        (after, end): (Option<RunId>, Option<uuid::Uuid>),
        limit: i64,
    ) -> Statement {
        let mut sql = self.range(sql.push("SELECT *"), source, after);
        if let Some(end) = end {
            sql = sql.push(" AND id >= ").bind(end);
        }
        if !matches!(source, Source::Unsuccessful(..)) {
            sql = self.wanted(sql);
        }
        sql.push(" ORDER BY id DESC LIMIT ").bind(limit).done()
    }

    /// The last run of a sparse source that is looked at for the page, where there are more.
    fn select_end(&self, sql: Sql, source: Source, after: Option<RunId>) -> Statement {
        self.range(sql.push("SELECT id"), source, after)
            .push(" ORDER BY id DESC LIMIT 1 OFFSET ")
            .bind(WINDOW - 1)
            .done()
    }
}

fn of(sql: Sql, task: Option<TaskId>) -> Sql {
    match task {
        Some(task) => sql.push(" AND task_id = ").bind(task.0),
        None => sql,
    }
}

impl Store {
    /// A page of runs, the newest queued first. It may hold fewer than were wanted, or none, though there are
    /// more: where few of many are wanted, each page looks at so many only.
    pub async fn runs(&self, filter: &RunFilter, page: &Page<RunId>) -> Result<PageOf<Run, RunId>> {
        let limit = i64::try_from(page.size.saturating_add(1)).unwrap_or(i64::MAX);
        let mut rows: Vec<run::Model> = Vec::new();
        // Nothing is known of what lies behind.
        let mut all_end: Option<uuid::Uuid> = None;
        let is_deep = filter.wants_queued() && self.is_deep().await?;
        for source in filter.sources(is_deep) {
            let mut end = None;
            if filter.is_sparse_in(source) {
                let select = filter.select_end(self.sql(""), source, page.after);
                end = self.one::<Id>(select).await?.map(|row| row.id);
            }
            let select = filter.select(self.sql(""), source, (page.after, end), limit);
            rows.extend(self.all::<run::Model>(select).await?);
            all_end = all_end.max(end);
        }
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        // One that has ended between two statements is in both.
        rows.dedup_by_key(|row| row.id);
        rows.retain(|row| all_end.is_none_or(|end| end <= row.id));
        let runs = rows.into_iter().map(Run::try_from).collect::<Result<_>>()?;
        let mut runs = PageOf::cut(runs, page.size, |run: &Run| run.id);
        runs.next = runs.next.or(all_end.map(RunId));
        Ok(runs)
    }

    async fn is_deep(&self) -> Result<bool> {
        let select = self
            .sql("SELECT id FROM runs")
            .sqlite(" INDEXED BY runs_live")
            .push(" WHERE finished_at IS NULL")
            // As that index is ordered: PostgreSQL would read the table from its beginning, and so history.
            .postgres(" ORDER BY task_id, claim_at, due_at, id")
            .push(" LIMIT 1 OFFSET ")
            .bind(DEEP)
            .done();
        Ok(self.one::<Id>(select).await?.is_some())
    }

    /// Deleted tasks of that name that may have left runs, the last to go first; at most 20.
    pub async fn tasks_gone(&self, name: &TaskName) -> Result<Vec<TaskId>> {
        let select = self
            .sql("SELECT id FROM tasks WHERE deleted_at IS NOT NULL AND name = ")
            .bind(name.as_str())
            .push(" ORDER BY deleted_at DESC LIMIT ")
            .bind(GONE)
            .done();
        let rows: Vec<Id> = self.all(select).await?;
        Ok(rows.into_iter().map(|row| TaskId(row.id)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    /// Of every shape that a filter can have.
    fn filters() -> Vec<RunFilter> {
        let now = Timestamp::UNIX_EPOCH;
        let mut filters = Vec::new();
        let task = TaskId(uuid::Uuid::nil());
        let states = [
            vec![],
            vec![RunState::Succeeded],
            vec![RunState::Failed, RunState::Abandoned],
            vec![RunState::Queued, RunState::Running],
            vec![RunState::Failed, RunState::Queued],
        ];
        for tasks in [vec![], vec![task], vec![task; 2]] {
            for states in &states {
                for triggers in [vec![], vec![Trigger::Manual]] {
                    for at in [None, Some(now)] {
                        filters.push(RunFilter {
                            tasks: tasks.clone(),
                            states: states.clone(),
                            triggers: triggers.clone(),
                            queued_since: at,
                            queued_before: at,
                        });
                    }
                }
            }
        }
        filters
    }

    #[tokio::test]
    async fn sqlite_finds_every_page_by_an_index_and_sorts_only_what_is_under_way() {
        let (_dir, store) = empty_store().await;
        for filter in filters() {
            let sources = [false, true].map(|is_deep| filter.sources(is_deep));
            for source in sources.into_iter().flatten() {
                for at in [None, Some(uuid::Uuid::nil())] {
                    let after = at.map(RunId);
                    let selects = [
                        filter.select(store.sql(""), source, (after, at), 51),
                        filter.select_end(store.sql(""), source, after),
                    ];
                    for select in selects {
                        let text = select.sql.clone();
                        for detail in plan(&store, select).await {
                            let of_runs = detail.contains(" runs");
                            let by_index = detail.contains(" USING ");
                            assert!(!of_runs || by_index, "{detail}: {text}");
                            let sorts = detail.contains("TEMP B-TREE");
                            let may_sort = matches!(source, Source::Live(_) | Source::UnderWay(_));
                            assert!(!sorts || may_sort, "{detail}: {text}");
                        }
                    }
                }
            }
        }
    }
}
