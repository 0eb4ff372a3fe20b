//! Pages of a task's ledger, whose cost depends neither on how long it is, nor on how few of its rows are wanted.

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement};

use super::{
    Page, PageOf, Store,
    convert::{instant, micros},
    entity::slot,
    rows::Type,
    sql::Sql,
};
use crate::{
    domain::{
        TaskId,
        ledger::{SlotOutcome, SlotRow},
    },
    error::Result,
};

/// Rows looked at for a page where no index knows which are wanted.
const WINDOW: i64 = 5000;

#[derive(FromQueryResult)]
struct Upto {
    upto_at: i64,
}

/// Which rows of a ledger a page holds: those that end before `before`.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    task: TaskId,
    outcomes: &'a [SlotOutcome],
    before: Option<Timestamp>,
}

impl Wanted<'_> {
    /// Whether no index knows which they are: most rows are of that outcome, and each would be written once more.
    fn is_sparse(&self) -> bool {
        self.outcomes.contains(&SlotOutcome::Dispatched)
    }

    fn range(&self, sql: Sql) -> Sql {
        let sql = sql.push("task_id = ").bind(self.task.0);
        match self.before {
            Some(before) => sql.push(" AND upto_at < ").bind(micros(before)),
            None => sql,
        }
    }

    /// Up to `limit` rows; none that ends before `end`.
    fn select(&self, sql: Sql, end: Option<i64>, limit: i64) -> Statement {
        let sql = if self.outcomes.is_empty() || self.is_sparse() {
            let mut sql = self.range(sql.push("SELECT * FROM slots WHERE "));
            if !self.outcomes.is_empty() {
                let outcomes = self.outcomes.iter().map(|outcome| outcome.as_str());
                sql = sql.push(" AND outcome").one_of(Type::Text, outcomes);
            }
            match end {
                Some(end) => sql.push(" AND upto_at >= ").bind(end),
                None => sql,
            }
        } else {
            self.of_each(sql, limit)
        };
        sql.push(" ORDER BY upto_at DESC LIMIT ").bind(limit).done()
    }

    /// The rows of each outcome as the index has them, which both databases merge as far as the page goes.
    fn of_each(&self, sql: Sql, limit: i64) -> Sql {
        let mut sql = sql.push("SELECT * FROM (");
        for (number, outcome) in self.outcomes.iter().enumerate() {
            if 0 < number {
                sql = sql.push(" UNION ALL ");
            }
            sql = sql
                .postgres("(")
                .push("SELECT * FROM slots")
                // SQLite has no statistics of it, and would rather read the ledger.
                .sqlite(" INDEXED BY slots_undispatched")
                .push(" WHERE outcome <> 'dispatched' AND outcome = ")
                .bind(outcome.as_str())
                .push(" AND ");
            sql = self.range(sql);
            // PostgreSQL would sort the whole where it takes that for little.
            if sql.is_postgres() {
                sql = sql
                    .push(" ORDER BY upto_at DESC LIMIT ")
                    .bind(limit)
                    .push(")");
            }
        }
        sql.push(") AS of_each")
    }

    /// The last row that is looked at for the page, where there are more.
    fn select_end(&self, sql: Sql) -> Statement {
        self.range(sql.push("SELECT upto_at FROM slots WHERE "))
            .push(" ORDER BY upto_at DESC LIMIT 1 OFFSET ")
            .bind(WINDOW - 1)
            .done()
    }
}

impl Store {
    /// A page of a task's ledger, newest first. Where rows are wanted that led to a run, it may hold fewer than were
    /// wanted, or none, though there are more: each page looks at so many only.
    pub async fn slots(
        &self,
        task: TaskId,
        outcomes: &[SlotOutcome],
        page: &Page<Timestamp>,
    ) -> Result<PageOf<SlotRow, Timestamp>> {
        // Each once: each is read for itself.
        let mut outcomes = outcomes.to_vec();
        outcomes.sort_unstable_by_key(|outcome| outcome.as_str());
        outcomes.dedup();
        if outcomes.len() == SlotOutcome::ALL.len() {
            outcomes.clear();
        }
        let wanted = Wanted {
            task,
            outcomes: &outcomes,
            before: page.after,
        };
        let mut end = None;
        if wanted.is_sparse() {
            let last: Option<Upto> = self.one(wanted.select_end(self.sql(""))).await?;
            end = last.map(|row| row.upto_at);
        }
        let limit = i64::try_from(page.size.saturating_add(1)).unwrap_or(i64::MAX);
        let rows: Vec<slot::Model> = self.all(wanted.select(self.sql(""), end, limit)).await?;
        let rows = rows
            .into_iter()
            .map(SlotRow::try_from)
            .collect::<Result<_>>()?;
        let mut slots = PageOf::cut(rows, page.size, |row: &SlotRow| row.upto_at);
        if slots.next.is_none() {
            slots.next = end.map(instant).transpose()?;
        }
        Ok(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_finds_every_page_of_the_ledger_by_an_index_and_sorts_nothing() {
        let (_dir, store) = empty_store().await;
        let others: Vec<SlotOutcome> = SlotOutcome::ALL
            .iter()
            .copied()
            .filter(|outcome| *outcome != SlotOutcome::Dispatched)
            .collect();
        let filters: [&[SlotOutcome]; 6] = [
            &[],
            &[SlotOutcome::Dispatched],
            &[SlotOutcome::Dispatched, SlotOutcome::SkippedPaused],
            &[SlotOutcome::SkippedOverlap],
            &[SlotOutcome::SkippedOverlap, SlotOutcome::SkippedPaused],
            &others,
        ];
        for outcomes in filters {
            for before in [None, Some(Timestamp::UNIX_EPOCH)] {
                let wanted = Wanted {
                    task: TaskId(uuid::Uuid::nil()),
                    outcomes,
                    before,
                };
                let end = wanted.is_sparse().then_some(0);
                let mut selects = vec![wanted.select(store.sql(""), end, 51)];
                if wanted.is_sparse() {
                    selects.push(wanted.select_end(store.sql("")));
                }
                for select in selects {
                    let text = select.sql.clone();
                    let steps = plan(&store, select).await;
                    assert!(!steps.is_empty());
                    for step in steps {
                        let reads = step.starts_with("SCAN") || step.starts_with("SEARCH");
                        let by_index = step.contains("(task_id=?");
                        assert!(
                            !reads || by_index || step.contains("of_each"),
                            "{step}: {text}"
                        );
                        assert!(!step.contains("TEMP B-TREE"), "{step}: {text}");
                    }
                }
            }
        }
    }
}
