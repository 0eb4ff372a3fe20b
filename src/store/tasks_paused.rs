//! Tasks that are paused by themselves, by name, and no more of each than a look at its pause takes.

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement};

use super::{Store, convert, sql::Sql};
use crate::{
    domain::{TaskName, task::Pause},
    error::Result,
};

/// A task that is paused, and when its next slot is due.
#[derive(Clone, Debug)]
pub struct PausedTask {
    pub name: TaskName,
    pub pause: Pause,
    pub next_due_at: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct Row {
    name: String,
    pause: Option<String>,
    next_due_at: Option<i64>,
}

impl Store {
    /// So many tasks that are paused by themselves, behind one of them.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_paused(
        &self,
        behind: Option<&TaskName>,
        limit: usize,
    ) -> Result<Vec<PausedTask>> {
        let rows: Vec<Row> = self.all(select(self.sql(""), behind, limit)).await?;
        let mut paused = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(pause) = convert::read_of(row.pause.as_deref())? {
                paused.push(PausedTask {
                    name: row.name.parse()?,
                    pause,
                    next_due_at: convert::instant_of(row.next_due_at)?,
                });
            }
        }
        Ok(paused)
    }
}

fn select(sql: Sql, behind: Option<&TaskName>, limit: usize) -> Statement {
    let mut sql = sql.push(
        "SELECT name, pause, next_due_at FROM tasks WHERE pause IS NOT NULL AND deleted_at IS NULL",
    );
    if let Some(behind) = behind {
        sql = sql.push(" AND name > ").bind(behind.as_str());
    }
    sql.push(" ORDER BY name LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_reads_what_is_paused_and_no_other_task() {
        let (_dir, store) = empty_store().await;
        let name: TaskName = "m".parse().unwrap();
        for behind in [None, Some(&name)] {
            let steps = plan(&store, select(store.sql(""), behind, 10)).await;
            assert_eq!(steps.len(), 1, "{steps:?}");
            assert!(steps[0].contains("tasks_paused"), "{steps:?}");
        }
    }
}
