//! Tasks in the order in which their next slots are due, as far as someone reads.

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement};

use super::{Store, convert, convert::micros, sql::Sql};
use crate::{
    domain::{TaskId, TaskName},
    error::Result,
};

/// As an agenda compares names, and not as the language of the database does.
const BYTEWISE: &str = " COLLATE \"C\"";

/// A task with a slot to come.
#[derive(Clone, Debug)]
pub struct Coming {
    pub id: TaskId,
    pub name: TaskName,
    pub revision: i64,
    pub cursor_at: Timestamp,
    /// When its next slot is due: none of its slots that are open is due before.
    pub next_due_at: Timestamp,
}

/// Behind which a page begins: an instant, and at that a name.
pub type ComingPlace = (Timestamp, TaskName);

#[derive(FromQueryResult)]
struct Row {
    id: uuid::Uuid,
    name: String,
    revision: i64,
    cursor_at: i64,
    next_due_at: i64,
}

impl Store {
    /// A page of tasks whose next slot is due before `until`, by that and then by name: of those that are paused, or
    /// of those that are not.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_coming(
        &self,
        paused: bool,
        after: Option<&ComingPlace>,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Coming>> {
        let select = select(self.sql(""), paused, after, until, limit);
        let rows: Vec<Row> = self.all(select).await?;
        let read = |row: Row| {
            Ok(Coming {
                id: TaskId(row.id),
                name: row.name.parse()?,
                revision: row.revision,
                cursor_at: convert::instant(row.cursor_at)?,
                next_due_at: convert::instant(row.next_due_at)?,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

/// Of tasks that are not paused, the scheduler's own index tells.
fn select(
    sql: Sql,
    paused: bool,
    after: Option<&ComingPlace>,
    until: Timestamp,
    limit: usize,
) -> Statement {
    let (at, which) = if paused {
        ("next_due_at", "pause IS NOT NULL")
    } else {
        ("wake_at", "pause IS NULL")
    };
    let mut sql = sql
        .push("SELECT id, name, revision, cursor_at, ")
        .push(at)
        .push(" AS next_due_at FROM tasks WHERE deleted_at IS NULL AND ")
        .push(which)
        .push(" AND ")
        .push(at)
        .push(" IS NOT NULL AND ")
        .push(at)
        .push(" < ")
        .bind(micros(until));
    if let Some((due_at, name)) = after {
        sql = sql
            .push(" AND (")
            .push(at)
            .push(", name")
            .postgres(BYTEWISE)
            .push(") > (")
            .bind(micros(*due_at))
            .push(", ")
            .bind(name.as_str())
            .push(")");
    }
    sql.push(" ORDER BY ")
        .push(at)
        .push(", name")
        .postgres(BYTEWISE)
        .push(" LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_reads_no_further_than_a_page() {
        let (_dir, store) = empty_store().await;
        let now = Timestamp::UNIX_EPOCH;
        let place = (now, "a".parse().unwrap());
        for (paused, index) in [(true, "tasks_paused_due"), (false, "tasks_wake")] {
            for after in [None, Some(&place)] {
                let steps = plan(&store, select(store.sql(""), paused, after, now, 10)).await;
                assert!(steps[0].contains(index), "{steps:?}");
                let sorted = steps.iter().any(|step| step.contains("TEMP B-TREE"));
                assert!(!sorted, "{steps:?}");
            }
        }
    }
}
