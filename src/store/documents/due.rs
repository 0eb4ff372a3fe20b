//! Documents whose day has come, found by the indexes that hold nothing else; and how many there are.

use jiff::{Timestamp, civil::Date};
use sea_orm::FromQueryResult;

use super::{
    super::{Store, convert, sql::Sql},
    rows::{Known, key_of},
};
use crate::{
    domain::{
        DocumentId,
        document::{DocumentStatus, Key},
    },
    error::{Error, Result},
};

/// Which day has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Effective,
    Obsolete,
}

/// A document whose day has come, and the place in their order.
#[derive(Clone, Debug)]
pub struct DueDocument {
    pub known: Known,
    pub day: Date,
}

#[derive(FromQueryResult)]
struct Row {
    id: uuid::Uuid,
    day: String,
    number: String,
    major: i64,
    minor: i64,
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

impl Due {
    fn column(self) -> &'static str {
        match self {
            Self::Effective => "effective_date",
            Self::Obsolete => "obsolescence_date",
        }
    }

    /// The status in which documents wait for the day.
    pub fn status(self) -> DocumentStatus {
        match self {
            Self::Effective => DocumentStatus::ApprovedPendingEffective,
            Self::Obsolete => DocumentStatus::ScheduledForObsolescence,
        }
    }

    /// `FROM documents WHERE …`: those that wait. The status is in the text: a partial index is used only where
    /// the statement says its condition word for word.
    fn waiting(self, sql: Sql) -> Sql {
        let index = match self {
            Self::Effective => " INDEXED BY documents_pending",
            Self::Obsolete => " INDEXED BY documents_scheduled",
        };
        sql.push(" FROM documents")
            .sqlite(index)
            .push(" WHERE status = '")
            .push(self.status().as_str())
            .push("'")
    }

    fn select(self, sql: Sql, upto: Date, after: Option<&DueDocument>, limit: u64) -> Sql {
        let day = self.column();
        let sql = sql
            .push("SELECT id, ")
            .push(day)
            .push(" AS day, number, major, minor");
        let mut sql = self
            .waiting(sql)
            .push(" AND ")
            .push(day)
            .push(" <= ")
            .bind(upto.to_string());
        if let Some(after) = after {
            let Key { number, version } = &after.known.key;
            sql = sql
                .push(" AND (")
                .push(day)
                .push(", number, major, minor) > (")
                .bind(after.day.to_string())
                .push(", ")
                .bind(number.as_str())
                .push(", ")
                .bind(i64::from(version.major))
                .push(", ")
                .bind(i64::from(version.minor))
                .push(")");
        }
        sql.push(" ORDER BY ")
            .push(day)
            .push(", number, major, minor LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    }

    fn select_late(self, sql: Sql, columns: &str, upto: Date, since: Timestamp) -> Sql {
        self.waiting(sql.push("SELECT ").push(columns))
            .push(" AND ")
            .push(self.column())
            .push(" <= ")
            .bind(upto.to_string())
            .push(" AND status_at <= ")
            .bind(convert::micros(since))
    }
}

impl Store {
    /// Documents whose day is `upto` or earlier, after a place; by day, number and version.
    pub async fn documents_due(
        &self,
        due: Due,
        upto: Date,
        after: Option<&DueDocument>,
        limit: u64,
    ) -> Result<Vec<DueDocument>> {
        let select = due.select(self.sql(""), upto, after, limit).done();
        rows(self.all(select).await?)
    }

    /// How many documents wait for their day.
    pub async fn documents_waiting(&self, due: Due) -> Result<i64> {
        let sql = self.sql("SELECT count(*) AS count");
        self.count(due.waiting(sql)).await
    }

    /// Documents whose day is `upto` or earlier, and that have stood so since `since` or before: how many, and the
    /// first `named` of them.
    pub async fn documents_late(
        &self,
        due: Due,
        upto: Date,
        since: Timestamp,
        named: u64,
    ) -> Result<(i64, Vec<DueDocument>)> {
        let count = due.select_late(self.sql(""), "count(*) AS count", upto, since);
        let count = self.count(count).await?;
        if count == 0 {
            return Ok((0, Vec::new()));
        }
        let day = due.column();
        let columns = format!("id, {day} AS day, number, major, minor");
        let select = due
            .select_late(self.sql(""), &columns, upto, since)
            .push(" ORDER BY ")
            .push(day)
            .push(", number, major, minor LIMIT ")
            .bind(i64::try_from(named).unwrap_or(i64::MAX))
            .done();
        Ok((count, rows(self.all(select).await?)?))
    }

    /// How many documents became effective since then.
    pub async fn documents_activated_since(&self, since: Timestamp) -> Result<i64> {
        let select = self
            .sql("SELECT count(*) AS count FROM documents WHERE activated_at IS NOT NULL AND activated_at >= ")
            .bind(convert::micros(since));
        self.count(select).await
    }

    async fn count(&self, select: Sql) -> Result<i64> {
        let row: Option<Count> = self.one(select.done()).await?;
        Ok(row.map_or(0, |row| row.count))
    }
}

fn rows(rows: Vec<Row>) -> Result<Vec<DueDocument>> {
    rows.into_iter()
        .map(|row| {
            let known = Known {
                id: DocumentId(row.id),
                key: key_of(row.number, row.major, row.minor)?,
            };
            let day = row.day.parse().map_err(Error::internal)?;
            Ok(DueDocument { known, day })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::document::Version,
        store::plan::{empty_store, plan},
    };

    #[tokio::test]
    async fn sqlite_finds_what_is_due_by_the_index_that_holds_nothing_else() {
        let (_dir, store) = empty_store().await;
        let day: Date = "2026-03-02".parse().unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let place = DueDocument {
            known: Known {
                id: DocumentId::new(),
                key: Key {
                    number: "SOP-1".parse().unwrap(),
                    version: Version::FIRST,
                },
            },
            day,
        };
        for due in [Due::Effective, Due::Obsolete] {
            let selects = [
                due.select(store.sql(""), day, None, 9),
                due.select(store.sql(""), day, Some(&place), 9),
                due.select_late(store.sql(""), "count(*) AS count", day, now),
                due.waiting(store.sql("SELECT count(*) AS count")),
            ];
            for select in selects {
                for step in plan(&store, select.done()).await {
                    let by_index = step.contains("INDEX documents_pending")
                        || step.contains("INDEX documents_scheduled");
                    assert!(by_index, "{step}");
                    assert!(!step.contains("TEMP B-TREE"), "{step}");
                }
            }
        }
    }
}
