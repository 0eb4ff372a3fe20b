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

/// Which tasks a list holds.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub kind: Option<String>,
    pub category: Option<String>,
    pub owner: Option<String>,
    pub paused: Option<bool>,
    pub failing: Option<bool>,
}

impl Store {
    /// A page of tasks by name. Where no index knows which of them are wanted, it looks at so many only: it may be short, or
    /// empty, though there are more.
    ///
    /// Where it ends is asked first. Asked afterwards, a task that went meanwhile would move that end behind tasks at which
    /// nobody has looked.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks(
        &self,
        filter: &TaskFilter,
        page: &Page<String>,
    ) -> Result<PageOf<Task, String>> {
        let upto = self.page_end(filter, page).await?;
        let found = select(self.sql(""), filter, page, upto.as_deref());
        let tasks = whole(self.all(found).await?)?;
        let mut tasks = PageOf::cut(tasks, page.size, |task: &Task| task.name.to_string());
        tasks.next = tasks.next.or(upto);
        Ok(tasks)
    }

    /// The last task that a page looks at, where there are more behind it.
    async fn page_end(&self, filter: &TaskFilter, page: &Page<String>) -> Result<Option<String>> {
        if !filter.has_facets() && filter.is_indexed() {
            return Ok(None);
        }
        let names: Vec<Name> = self.all(end(self.sql(""), filter, page)).await?;
        // Of the last and the one behind it: alone, it is the last of all.
        Ok(match names.as_slice() {
            [last, _behind] => Some(last.name.clone()),
            _ => None,
        })
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
        self.kind.is_some() || self.category.is_some() || self.owner.is_some()
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
                // It has no figures to tell by which more is settled.
                index: match (&self.kind, &self.category) {
                    // Few tasks are of one owner, whatever else is asked for.
                    _ if self.owner.is_some() => " INDEXED BY task_facets_owner",
                    (Some(_), Some(_)) => " INDEXED BY task_facets_both",
                    (Some(_), None) => " INDEXED BY task_facets_kind",
                    (None, _) => " INDEXED BY task_facets_category",
                },
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
            _ if self.owner.is_some() => {
                flags == 0 && self.kind.is_none() && self.category.is_none()
            }
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
fn select(sql: Sql, filter: &TaskFilter, page: &Page<String>, upto: Option<&str>) -> Statement {
    let sql = sql.push(
        "SELECT t.*, r.spec AS spec, l.layers AS layers FROM (SELECT c.found, c.by_name FROM (",
    );
    let what = "s.id AS found, s.by_name";
    // What came between the two statements takes no place from what was there.
    let most = filter.looked_at(page.size).saturating_mul(2);
    let sql = candidates(sql, filter, page, upto, most, what);
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
    if let Some(owner) = &filter.owner {
        sql = sql.push(" AND f.owner = ").bind(owner.as_str());
    }
    sql.push(" ORDER BY c.by_name")
        .limit(page.size.saturating_add(1))
        .push(
            ") s CROSS JOIN tasks t CROSS JOIN task_revisions r CROSS JOIN task_layers l WHERE t.id = s.found \
             AND r.task_id = t.id AND r.revision = t.revision AND l.task_id = t.id ORDER BY s.by_name",
        )
        .done()
}

/// The last task that a page looks at, and the one behind it, where there are as many.
fn end(sql: Sql, filter: &TaskFilter, page: &Page<String>) -> Statement {
    let looked_at = filter.looked_at(page.size);
    let sql = sql.push("SELECT c.by_name AS name FROM (");
    candidates(
        sql,
        filter,
        page,
        None,
        looked_at.saturating_add(1),
        "s.by_name",
    )
    .push(") c ORDER BY c.by_name LIMIT 2 OFFSET ")
    .push(&looked_at.saturating_sub(1).to_string())
    .done()
}

/// Those that an index knows, in their order: whether they are wanted is seen at each of them.
fn candidates(
    sql: Sql,
    filter: &TaskFilter,
    page: &Page<String>,
    upto: Option<&str>,
    most: u64,
    what: &str,
) -> Sql {
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
    if source.from == FACETS
        && let Some(owner) = &filter.owner
    {
        // Of its index alone: what else is asked for would be looked for without an end.
        sql = sql.push(" AND f.owner = ").bind(owner.as_str());
    } else if source.from == FACETS {
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
    if let Some(upto) = upto {
        sql = sql.push(" AND ").push(source.name).push(" <= ").bind(upto);
    }
    sql.push(" ORDER BY ")
        .push(source.name)
        .limit(most)
        .push(") s")
}

#[cfg(test)]
mod tests;
