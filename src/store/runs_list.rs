//! Lists of runs: pages whose cost depends neither on how many runs there are, nor on how few of them are
//! wanted.

use jiff::{SignedDuration, Timestamp};
use sea_orm::{FromQueryResult, Statement};

use super::{Page, PageOf, Store, convert::micros, entity::run, rows::Type, runs::LIVE, sql::Sql};
use crate::{
    domain::{Run, RunId, RunState, TaskId, TaskName, Trigger},
    error::Result,
};

/// Rows looked at for a page where no index knows which are wanted.
const WINDOW: i64 = 1000;
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

/// A part of the table that an index finds, in which the page is looked for.
#[derive(Clone, Copy, Debug)]
enum Source {
    All,
    Task(TaskId),
    /// Of that task or of all, ended in this state, which is not success.
    Unsuccessful(Option<TaskId>, RunState),
    /// Of that task or of all, not ended: as many as there are, which is bounded by what is under way.
    Live(Option<TaskId>),
}

#[derive(FromQueryResult)]
struct Id {
    id: uuid::Uuid,
}

impl RunFilter {
    fn sources(&self) -> Vec<Source> {
        let live = |state: &RunState| !state.is_terminal();
        let tasks: Vec<Option<TaskId>> = match self.tasks.as_slice() {
            [] => vec![None],
            tasks => tasks.iter().copied().map(Some).collect(),
        };
        let all_live = !self.states.is_empty() && self.states.iter().all(live);
        let succeeded = self.states.contains(&RunState::Succeeded);
        let known = !self.states.is_empty() && !succeeded && self.triggers.is_empty();
        let mut sources = Vec::new();
        for task in tasks {
            if all_live {
                sources.push(Source::Live(task));
            } else if known {
                let ended = self.states.iter().filter(|state| !live(state));
                sources.extend(ended.map(|state| Source::Unsuccessful(task, *state)));
                if self.states.iter().any(live) {
                    sources.push(Source::Live(task));
                }
            } else {
                sources.push(task.map_or(Source::All, Source::Task));
            }
        }
        sources
    }

    /// Whether the source holds others than what is wanted, and how many of them nobody knows.
    fn is_sparse_in(&self, source: Source) -> bool {
        match source {
            Source::All | Source::Task(_) => !self.states.is_empty() || !self.triggers.is_empty(),
            Source::Unsuccessful(..) | Source::Live(_) => false,
        }
    }

    /// `FROM runs WHERE …`: what of the source lies within the bounds of time and page.
    fn range(&self, sql: Sql, source: Source, after: Option<RunId>) -> Sql {
        let sql = sql.push(" FROM runs");
        // SQLite has no statistics of them, and would rather read the primary key than a partial index.
        let sql = match source {
            Source::All => sql.push(" WHERE true"),
            Source::Task(task) => sql.push(" WHERE task_id = ").bind(task.0),
            Source::Unsuccessful(task, state) => {
                let index = match task {
                    Some(_) => " INDEXED BY runs_unsuccessful_of",
                    None => " INDEXED BY runs_unsuccessful",
                };
                let sql = sql
                    .sqlite(index)
                    .push(" WHERE finished_at IS NOT NULL AND state <> 'succeeded' AND state = ")
                    .bind(state.as_str());
                of(sql, task)
            }
            Source::Live(task) => {
                let sql = sql.sqlite(" INDEXED BY runs_live").push(" WHERE ");
                of(sql.push(LIVE), task)
            }
        };
        // The id's first bits find the place, to the millisecond.
        let sql = match self.queued_since {
            Some(since) => sql
                .push(" AND id >= ")
                .bind(RunId::first_from(since).0)
                .push(" AND queued_at >= ")
                .bind(micros(since)),
            None => sql,
        };
        let sql = match self.queued_before {
            Some(before) => {
                let next = before.saturating_add(MILLISECOND).unwrap_or(Timestamp::MAX);
                sql.push(" AND id < ")
                    .bind(RunId::first_from(next).0)
                    .push(" AND queued_at < ")
                    .bind(micros(before))
            }
            None => sql,
        };
        match after {
            Some(after) => sql.push(" AND id < ").bind(after.0),
            None => sql,
        }
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

    /// Up to `limit` runs that are wanted; of a sparse source, those in the next [`WINDOW`] of it.
    fn select(&self, sql: Sql, source: Source, after: Option<RunId>, limit: i64) -> Statement {
        let sql = if self.is_sparse_in(source) {
            let sql = sql.push("SELECT * FROM (SELECT *");
            let sql = self
                .range(sql, source, after)
                .push(" ORDER BY id DESC LIMIT ")
                .bind(WINDOW)
                .push(") AS near WHERE true");
            self.wanted(sql)
        } else {
            let sql = self.range(sql.push("SELECT *"), source, after);
            match source {
                Source::Live(_) => self.wanted(sql),
                _ => sql,
            }
        };
        sql.push(" ORDER BY id DESC LIMIT ").bind(limit).done()
    }

    /// The last run of a sparse source's window, where it is full.
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
        let mut end: Option<uuid::Uuid> = None;
        for source in filter.sources() {
            let select = filter.select(self.sql(""), source, page.after, limit);
            let found: Vec<run::Model> = self.all(select).await?;
            if filter.is_sparse_in(source) && (found.len() as i64) < limit {
                let select = filter.select_end(self.sql(""), source, page.after);
                let last: Option<Id> = self.one(select).await?;
                end = end.max(last.map(|row| row.id));
            }
            rows.extend(found);
        }
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        rows.retain(|row| end.is_none_or(|end| end <= row.id));
        let runs = rows.into_iter().map(Run::try_from).collect::<Result<_>>()?;
        let mut runs = PageOf::cut(runs, page.size, |run: &Run| run.id);
        runs.next = runs.next.or(end.map(RunId));
        Ok(runs)
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
    use crate::{clock, store::Location};

    #[derive(FromQueryResult)]
    struct Step {
        detail: String,
    }

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
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(dir.path().join("watchbell.db"));
        let store = Store::open(
            &location,
            std::sync::Arc::new(clock::AnchoredClock::at(clock::wall_now())),
        )
        .await
        .unwrap();
        for filter in filters() {
            for source in filter.sources() {
                for after in [None, Some(RunId(uuid::Uuid::nil()))] {
                    let explain = || store.sql("EXPLAIN QUERY PLAN ");
                    let selects = [
                        filter.select(explain(), source, after, 51),
                        filter.select_end(explain(), source, after),
                    ];
                    for select in selects {
                        let text = select.sql.clone();
                        let steps: Vec<Step> = store.all(select).await.unwrap();
                        for Step { detail } in steps {
                            let of_runs = detail.contains(" runs");
                            let by_index = detail.contains(" USING ");
                            assert!(!of_runs || by_index, "{detail}: {text}");
                            let sorts = detail.contains("TEMP B-TREE");
                            let may_sort = matches!(source, Source::Live(_));
                            assert!(!sorts || may_sort, "{detail}: {text}");
                        }
                    }
                }
            }
        }
    }
}
