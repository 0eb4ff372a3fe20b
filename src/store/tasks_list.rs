//! Lists of tasks, by name: each filter has an index that holds few tasks, or what it leaves out is few.

use sea_orm::Statement;

use super::{Page, PageOf, Store, rows::CHUNK, sql::Sql, tasks::whole};
use crate::{domain::Task, error::Result};

/// Which tasks a list holds.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub kind: Option<String>,
    pub category: Option<String>,
    pub paused: Option<bool>,
    pub failing: Option<bool>,
}

impl Store {
    /// A page of tasks by name.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks(
        &self,
        filter: &TaskFilter,
        page: &Page<String>,
    ) -> Result<PageOf<Task, String>> {
        let select = select(self.sql(""), filter, page);
        let tasks = whole(self.all(select).await?)?;
        Ok(PageOf::cut(tasks, page.size, |task: &Task| {
            task.name.to_string()
        }))
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

/// Where a page is looked for: a table, its alias, and the index that SQLite is told to take.
struct Source {
    from: &'static str,
    id: &'static str,
    name: &'static str,
    index: &'static str,
}

impl TaskFilter {
    fn has_facets(&self) -> bool {
        self.kind.is_some() || self.category.is_some()
    }

    /// Few tasks are paused, or fail; and few are of one kind or category, where that is asked for.
    fn source(&self) -> Source {
        let of_tasks = |index| Source {
            from: "tasks p",
            id: "p.id",
            name: "p.name",
            index,
        };
        match (self.paused, self.failing) {
            (Some(true), _) => of_tasks(" INDEXED BY tasks_paused"),
            (_, Some(true)) => of_tasks(" INDEXED BY tasks_failing_name"),
            _ if self.has_facets() => Source {
                from: "task_facets f",
                id: "f.task_id",
                name: "f.name",
                index: "",
            },
            _ => of_tasks(""),
        }
    }
}

/// A page is found first, and then read as a whole. SQLite has no statistics to choose by, and joins in the order that is
/// written where that says CROSS.
fn select(sql: Sql, filter: &TaskFilter, page: &Page<String>) -> Statement {
    let source = filter.source();
    let mut sql = sql
        .push("SELECT t.*, r.spec AS spec, l.layers AS layers FROM (SELECT ")
        .push(source.id)
        .push(" AS found, ")
        .push(source.name)
        .push(" AS by_name FROM ")
        .push(source.from)
        .sqlite(source.index);
    sql = match (source.from, filter.has_facets()) {
        ("tasks p", false) => sql.push(" WHERE "),
        ("tasks p", true) => sql.push(" CROSS JOIN task_facets f WHERE f.task_id = p.id AND "),
        _ => sql.push(" CROSS JOIN tasks p WHERE p.id = f.task_id AND "),
    };
    sql = sql.push("p.deleted_at IS NULL");
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
    if let Some(after) = &page.after {
        sql = sql
            .push(" AND ")
            .push(source.name)
            .push(" > ")
            .bind(after.as_str());
    }
    sql.push(" ORDER BY ")
        .push(source.name)
        .limit(page.size.saturating_add(1))
        .push(
            ") s CROSS JOIN tasks t CROSS JOIN task_revisions r CROSS JOIN task_layers l WHERE t.id = s.found \
             AND r.task_id = t.id AND r.revision = t.revision AND l.task_id = t.id ORDER BY s.by_name",
        )
        .done()
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
            let first = steps.iter().find(|step| step.contains("SEARCH"));
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
        assert!(statement.sql.contains(" LIMIT 11) s "), "{}", statement.sql);
    }
}
