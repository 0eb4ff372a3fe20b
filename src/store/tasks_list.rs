//! Lists of tasks, by name: each filter has an index that holds few tasks, or what it leaves out is few.

use sea_orm::{FromQueryResult, Statement};

use super::{Page, PageOf, Store, rows::CHUNK, sql::Sql, tasks::whole};
use crate::{
    domain::{Task, TaskName},
    error::Result,
};

/// Tasks that a page looks at where no index knows which are wanted.
const LOOKED_AT: u64 = 2000;
/// Tasks that have ended, and whose row of facets is still there.
const ENDED: u64 = 50;

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

#[derive(FromQueryResult)]
struct Last {
    name: Option<String>,
    number: i64,
}

/// Which tasks a list holds.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub kind: Option<String>,
    pub category: Option<String>,
    pub paused: Option<bool>,
    pub failing: Option<bool>,
}

impl Store {
    /// A page of tasks by name. Where no index knows which of them are wanted, it looks at so many only: it may be short, or
    /// empty, though there are more.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks(
        &self,
        filter: &TaskFilter,
        page: &Page<String>,
    ) -> Result<PageOf<Task, String>> {
        let found = select(self.sql(""), filter, page);
        let tasks = whole(self.all(found).await?)?;
        let mut tasks = PageOf::cut(tasks, page.size, |task: &Task| task.name.to_string());
        if tasks.next.is_none() && (filter.has_facets() || !filter.is_indexed()) {
            // Perhaps no more were wanted of those that were looked at.
            let looked_at = last_looked_at(self.sql(""), filter, page);
            let last: Option<Last> = self.one(looked_at).await?;
            let last =
                last.filter(|last| filter.looked_at(page.size) <= last.number.unsigned_abs());
            tasks.next = last.and_then(|last| last.name);
        }
        Ok(tasks)
    }

    /// The name of the task that has so many before it.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn task_name_at(&self, offset: i64) -> Result<Option<TaskName>> {
        let select = self
            .sql("SELECT name FROM tasks WHERE deleted_at IS NULL ORDER BY name LIMIT 1 OFFSET ")
            .bind(offset)
            .done();
        let row: Option<Name> = self.one(select).await?;
        row.map(|row| row.name.parse()).transpose()
    }

    /// Every task that is not deleted, by name, in pages of `CHUNK`.
    pub async fn tasks_all(&self) -> Result<Vec<Task>> {
        let mut tasks: Vec<Task> = Vec::new();
        let mut after = None;
        loop {
            let page = Page {
                size: CHUNK as u64,
                after,
            };
            let PageOf { items, next } = self.tasks(&TaskFilter::default(), &page).await?;
            tasks.extend(items);
            after = next;
            if after.is_none() {
                return Ok(tasks);
            }
        }
    }
}

/// Where a page is looked for: a table, its alias, what is wanted of it, and the index that SQLite is told to take.
struct Source {
    from: &'static str,
    id: &'static str,
    name: &'static str,
    which: &'static str,
    index: &'static str,
}

const FACETS: &str = "task_facets f";

impl TaskFilter {
    fn has_facets(&self) -> bool {
        self.kind.is_some() || self.category.is_some()
    }

    /// Few tasks are paused, or fail; and few are of one kind or category, where that is asked for.
    fn source(&self) -> Source {
        let of_tasks = |which, index| Source {
            from: "tasks p",
            id: "p.id",
            name: "p.name",
            which,
            index,
        };
        match (self.paused, self.failing) {
            (Some(true), _) => of_tasks(
                "p.deleted_at IS NULL AND p.pause IS NOT NULL",
                " INDEXED BY tasks_paused",
            ),
            (_, Some(true)) => of_tasks(
                "p.deleted_at IS NULL AND p.failing_since IS NOT NULL",
                " INDEXED BY tasks_failing_name",
            ),
            _ if self.has_facets() => Source {
                from: FACETS,
                id: "f.task_id",
                name: "f.name",
                which: "f.task_id IS NOT NULL",
                index: "",
            },
            _ => of_tasks("p.deleted_at IS NULL", ""),
        }
    }

    /// Whether the index knows all that is asked for.
    fn is_indexed(&self) -> bool {
        let (flags, facets) = (
            [self.paused, self.failing].iter().flatten().count(),
            self.has_facets(),
        );
        match (self.paused, self.failing) {
            (Some(true), _) | (_, Some(true)) => flags == 1 && !facets,
            _ => flags == 0,
        }
    }

    /// Tasks that a page looks at. Where the index knows all, a few more than are wanted: a server of an earlier version
    /// leaves what tasks are found by of one that it ends.
    fn looked_at(&self, size: u64) -> u64 {
        let size = size.saturating_add(1);
        match self.is_indexed() {
            true => size.saturating_add(ENDED),
            false => size.max(LOOKED_AT),
        }
    }
}

/// A page is found first, and then read as a whole. SQLite has no statistics to choose by, and joins in the order that is
/// written where that says CROSS.
fn select(sql: Sql, filter: &TaskFilter, page: &Page<String>) -> Statement {
    let sql = sql.push(
        "SELECT t.*, r.spec AS spec, l.layers AS layers FROM (SELECT c.found, c.by_name FROM (",
    );
    let sql = candidates(sql, filter, page, "s.id AS found, s.by_name");
    let mut sql = sql.push(") c CROSS JOIN tasks p");
    if filter.has_facets() {
        sql = sql.push(" CROSS JOIN task_facets f");
    }
    sql = sql.push(" WHERE p.id = c.found AND p.deleted_at IS NULL");
    if filter.has_facets() {
        sql = sql.push(" AND f.task_id = c.found");
    }
    sql = match filter.paused {
        Some(true) => sql.push(" AND p.pause IS NOT NULL"),
        Some(false) => sql.push(" AND p.pause IS NULL"),
        None => sql,
    };
    sql = match filter.failing {
        Some(true) => sql.push(" AND p.failing_since IS NOT NULL"),
        Some(false) => sql.push(" AND p.failing_since IS NULL"),
        None => sql,
    };
    if let Some(kind) = &filter.kind {
        sql = sql.push(" AND f.kind = ").bind(kind.as_str());
    }
    if let Some(category) = &filter.category {
        sql = sql.push(" AND f.category = ").bind(category.as_str());
    }
    sql.push(" ORDER BY c.by_name")
        .limit(page.size.saturating_add(1))
        .push(
            ") s CROSS JOIN tasks t CROSS JOIN task_revisions r CROSS JOIN task_layers l WHERE t.id = s.found \
             AND r.task_id = t.id AND r.revision = t.revision AND l.task_id = t.id ORDER BY s.by_name",
        )
        .done()
}

/// The last task that a page looks at, where there are as many.
fn last_looked_at(sql: Sql, filter: &TaskFilter, page: &Page<String>) -> Statement {
    let sql = sql.push("SELECT max(c.by_name) AS name, count(*) AS number FROM (");
    candidates(sql, filter, page, "s.by_name")
        .push(") c")
        .done()
}

/// Those that an index knows, in their order: whether they are wanted is seen at each of them.
fn candidates(sql: Sql, filter: &TaskFilter, page: &Page<String>, what: &str) -> Sql {
    let source = filter.source();
    let mut sql = sql
        .push("SELECT ")
        .push(what)
        .push(" FROM (SELECT ")
        .push(source.id)
        .push(" AS id, ")
        .push(source.name)
        .push(" AS by_name FROM ")
        .push(source.from)
        .sqlite(source.index)
        .push(" WHERE ")
        .push(source.which);
    if source.from == FACETS {
        if let Some(kind) = &filter.kind {
            sql = sql.push(" AND f.kind = ").bind(kind.as_str());
        }
        if let Some(category) = &filter.category {
            sql = sql.push(" AND f.category = ").bind(category.as_str());
        }
    }
    if let Some(after) = &page.after {
        sql = sql
            .push(" AND ")
            .push(source.name)
            .push(" > ")
            .bind(after.as_str());
    }
    sql.push(" ORDER BY ")
        .push(source.name)
        .limit(filter.looked_at(page.size))
        .push(") s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_finds_a_page_by_the_index_of_what_is_asked_for() {
        let (_dir, store) = empty_store().await;
        let some = |text: &str| Some(text.to_owned());
        let none = TaskFilter::default();
        let cases = [
            (none.clone(), "tasks_name (name>?)"),
            (
                TaskFilter {
                    kind: some("a"),
                    ..none.clone()
                },
                "task_facets_kind (kind=? AND name>?)",
            ),
            (
                TaskFilter {
                    category: some("a"),
                    paused: Some(false),
                    ..none.clone()
                },
                "task_facets_category (category=? AND name>?)",
            ),
            (
                TaskFilter {
                    kind: some("a"),
                    category: some("b"),
                    failing: Some(false),
                    ..none.clone()
                },
                "task_facets_both (kind=? AND category=? AND name>?)",
            ),
            (
                TaskFilter {
                    kind: some("a"),
                    paused: Some(true),
                    ..none.clone()
                },
                "tasks_paused (name>?)",
            ),
            (
                TaskFilter {
                    category: some("a"),
                    failing: Some(true),
                    ..none
                },
                "tasks_failing_name (name>?)",
            ),
        ];
        for (filter, index) in cases {
            let page = Page {
                size: 10,
                after: some("m"),
            };
            let steps = plan(&store, select(store.sql(""), &filter, &page)).await;
            let first = steps.iter().find(|step| step.contains(" INDEX "));
            assert!(
                first.is_some_and(|step| step.contains(index)),
                "{filter:?}: {steps:?}"
            );
            // The rows of one page may be sorted anew; those that are looked through may not.
            let sorted = steps.iter().filter(|step| step.contains("TEMP B-TREE"));
            assert!(sorted.count() <= 1, "{filter:?}: {steps:?}");
        }
    }

    #[test]
    fn postgresql_is_told_how_many_before_it_plans() {
        let page = Page {
            size: 10,
            after: None,
        };
        let sql = Sql::new(sea_orm::DbBackend::Postgres, "");
        let statement = select(sql, &TaskFilter::default(), &page);
        for limit in [" LIMIT 61) s", " LIMIT 11) s "] {
            assert!(statement.sql.contains(limit), "{}", statement.sql);
        }
    }
}
