//! Problems that are open, as the status and their sources read them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, Order, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, SimpleExpr},
};

use super::{
    super::{Store, convert, convert::micros, entity::problem},
    Source, replica_text, says,
};
use crate::{domain::problem::Problem, error::Result};

/// Open problems that are read at the most.
const READ_AT_MOST: u64 = 1000;

impl Store {
    /// Problems that are open at `now`, gravest first, then oldest; at most 1,000.
    pub async fn problems(&self, now: Timestamp) -> Result<Vec<Problem>> {
        let rows = problem::Entity::find()
            .filter(open_at(now))
            .order_by(gravity(), Order::Asc)
            .order_by_asc(problem::Column::Since)
            .limit(READ_AT_MOST)
            .all(&self.inner.read)
            .await?;
        rows.into_iter().map(Problem::try_from).collect()
    }

    /// How many are open beyond those that were read. It counts only where as many were read as can be.
    pub async fn problems_beyond(&self, read: &[Problem], now: Timestamp) -> Result<u64> {
        let read = u64::try_from(read.len()).unwrap_or(u64::MAX);
        if read < READ_AT_MOST {
            return Ok(0);
        }
        let open = problem::Entity::find().filter(open_at(now));
        Ok(open.count(&self.inner.read).await?.saturating_sub(read))
    }

    /// Kinds and subjects of the rows of this source.
    pub async fn problems_of(&self, source: &Source) -> Result<BTreeSet<(String, String)>> {
        let rows: Vec<(String, String)> = problem::Entity::find()
            .select_only()
            .column(problem::Column::Kind)
            .column(problem::Column::Subject)
            .filter(problem::Column::Probe.eq(source.probe))
            .filter(problem::Column::Replica.eq(replica_text(source.replica)))
            .into_tuple()
            .all(&self.inner.read)
            .await?;
        Ok(rows.into_iter().collect())
    }

    /// Whether `found` is all there is of this source, in every word.
    pub async fn problems_are(&self, source: &Source, found: &[Problem]) -> Result<bool> {
        let rows = problem::Entity::find()
            .filter(problem::Column::Probe.eq(source.probe))
            .filter(problem::Column::Replica.eq(replica_text(source.replica)))
            .all(&self.inner.read)
            .await?;
        if rows.len() != found.len() {
            return Ok(false);
        }
        let of = |problem: &Problem| (problem.kind.clone(), problem.subject.clone());
        let found: BTreeMap<_, _> = found.iter().map(|problem| (of(problem), problem)).collect();
        Ok(rows.iter().all(|row| {
            found
                .get(&(row.kind.clone(), row.subject.clone()))
                .is_some_and(|problem| says(row, problem, source.probe, None))
        }))
    }

    /// When the first problem is over that is so by itself.
    pub async fn problems_until(&self) -> Result<Option<Timestamp>> {
        let first: Option<Option<i64>> = problem::Entity::find()
            .select_only()
            .column_as(problem::Column::Until.min(), "until")
            .into_tuple()
            .one(&self.inner.read)
            .await?;
        convert::instant_of(first.flatten())
    }
}

fn open_at(now: Timestamp) -> Condition {
    Condition::any()
        .add(problem::Column::Until.is_null())
        .add(problem::Column::Until.gt(micros(now)))
}

/// Less for what is graver. A severity that this version does not know counts as the gravest, as where it is read.
fn gravity() -> SimpleExpr {
    Expr::cust("CASE severity WHEN 'ok' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END")
}
