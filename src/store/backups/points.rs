//! Restore points, newest first.

use jiff::{SignedDuration, Timestamp};
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::Body;
use crate::{
    domain::backup::{PolicyKind, point::RestorePoint},
    error::{Error, Result, Thing},
    store::{Page, PageOf, Store, Tx, convert, sql::Sql},
};

/// Points of a policy that retention looks at.
pub(super) const LOOKED_AT: i64 = 10_000;

/// What was stamped is later than now by so much at the most, where the clock is right.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// Which points are wanted.
#[derive(Clone, Debug, Default)]
pub struct PointFilter {
    pub policy: Option<String>,
    pub removed: bool,
}

/// Where a page of points begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointPlace {
    pub frozen_at: Timestamp,
    pub id: Uuid,
}

#[derive(FromQueryResult)]
struct Counted {
    policy: String,
    count: i64,
}

#[derive(FromQueryResult)]
struct Summed {
    count: i64,
}

impl Store {
    pub async fn points(
        &self,
        filter: &PointFilter,
        page: Page<PointPlace>,
    ) -> Result<PageOf<RestorePoint, PointPlace>> {
        let rows: Vec<Body> = self.all(list(self.sql(""), filter, &page).done()).await?;
        Ok(PageOf::cut(read(rows)?, page.size, |point| PointPlace {
            frozen_at: point.frozen_at,
            id: point.id,
        }))
    }

    /// # Errors
    /// [`Error::NotFound`]
    pub async fn point(&self, id: Uuid) -> Result<RestorePoint> {
        let select = self
            .sql("SELECT body FROM restore_points WHERE id = ")
            .bind(id)
            .done();
        let row: Option<Body> = self.one(select).await?;
        let row = row.ok_or_else(|| Error::not_found(Thing::RestorePoint, id))?;
        convert::read(&row.body)
    }

    /// The newest point of a kind that is complete and was read back; of one policy, where one is named. Of all, where
    /// there is one that holds the server's own database: what holds some other files does not stand for the server.
    pub async fn point_newest_good(
        &self,
        kind: PolicyKind,
        policy: Option<&str>,
    ) -> Result<Option<RestorePoint>> {
        let mut select = self
            .sql("SELECT body FROM restore_points WHERE kind = ")
            .bind(kind.as_str())
            .push(
                " AND removed_at IS NULL AND verified_at IS NOT NULL AND damaged_at IS NULL AND state = 'complete'",
            );
        select = match policy {
            Some(policy) => select
                .push(" AND policy = ")
                .bind(policy)
                .push(" ORDER BY "),
            None => select.push(" ORDER BY own_database DESC, "),
        };
        let select = self.believed_first(select, "frozen_at");
        self.first(select.push(", frozen_at DESC LIMIT 1").done())
            .await
    }

    /// The newest full backup that is good and that a drill restored, files and database; where there is one, of those
    /// that hold the server's own database. One in which something is missing is none: what is missing is not restorable.
    pub async fn point_newest_drilled(&self) -> Result<Option<RestorePoint>> {
        let select = "SELECT body FROM restore_points WHERE removed_at IS NULL AND drilled_at IS NOT NULL \
                      AND verified_at IS NOT NULL AND damaged_at IS NULL AND state = 'complete' \
                      AND kind = 'full' ORDER BY own_database DESC, ";
        let select = self.believed_first(self.sql(select), "frozen_at");
        self.first(select.push(", frozen_at DESC LIMIT 1").done())
            .await
    }

    /// What a clock that was ahead has stamped is not the newest, where there is another.
    pub(super) fn believed_first(&self, select: Sql, stamp: &str) -> Sql {
        select
            .push(&format!("CASE WHEN {stamp} <= "))
            .bind(self.latest_believed())
            .push(" THEN 0 ELSE 1 END")
    }

    /// The latest instant that a clock which is right has stamped by now, in microseconds.
    pub(super) fn latest_believed(&self) -> i64 {
        let now = self.inner.clock.now();
        convert::micros(now.checked_add(AHEAD).unwrap_or(now))
    }

    /// The newest points that are there and were found to be damaged, newest first; at most so many.
    pub async fn points_damaged(&self, limit: i64) -> Result<Vec<RestorePoint>> {
        let select = self
            .sql(
                "SELECT body FROM restore_points WHERE removed_at IS NULL AND damaged_at IS NOT NULL \
                 ORDER BY frozen_at DESC LIMIT ",
            )
            .bind(limit)
            .done();
        read(self.all(select).await?)
    }

    /// All points that were removed, the newest first.
    pub async fn points_removed(&self) -> Result<Vec<RestorePoint>> {
        let mut points = self.points_all("removed_at IS NOT NULL").await?;
        points.sort_by_key(|point| std::cmp::Reverse(point.removed_at));
        Ok(points)
    }

    /// All points of which that holds, by pages: whoever takes what is not among them for nobody's removes it.
    async fn points_all(&self, which: &str) -> Result<Vec<RestorePoint>> {
        let mut points: Vec<RestorePoint> = Vec::new();
        loop {
            let mut select = self
                .sql("SELECT body FROM restore_points WHERE ")
                .push(which);
            if let Some(last) = points.last() {
                select = select.push(" AND id > ").bind(last.id);
            }
            let select = select.push(" ORDER BY id LIMIT ").bind(LOOKED_AT).done();
            let page = read(self.all(select).await?)?;
            let is_last = (page.len() as i64) < LOOKED_AT;
            points.extend(page);
            if is_last {
                return Ok(points);
            }
        }
    }

    /// The newest points that are there, of a policy, newest first; at most 10,000.
    pub async fn points_of(&self, policy: &str) -> Result<Vec<RestorePoint>> {
        self.points_newest_of(policy, LOOKED_AT).await
    }

    /// The newest points of a policy that are there, newest first; at most so many.
    pub async fn points_newest_of(&self, policy: &str, limit: i64) -> Result<Vec<RestorePoint>> {
        let select = self
            .sql("SELECT body FROM restore_points WHERE policy = ")
            .bind(policy)
            .push(" AND removed_at IS NULL ORDER BY ");
        let select = self
            .believed_first(select, "frozen_at")
            .push(", frozen_at DESC, id DESC LIMIT ")
            .bind(limit)
            .done();
        read(self.all(select).await?)
    }

    /// The oldest point of a kind that is there.
    pub async fn points_oldest_of(&self, kind: PolicyKind) -> Result<Option<RestorePoint>> {
        let select = self
            .sql("SELECT body FROM restore_points WHERE kind = ")
            .bind(kind.as_str())
            .push(" AND removed_at IS NULL ORDER BY frozen_at, id LIMIT 1")
            .done();
        self.first(select).await
    }

    /// When the oldest point that is there was frozen.
    pub async fn points_oldest_at(&self) -> Result<Option<Timestamp>> {
        let select = "SELECT body FROM restore_points WHERE removed_at IS NULL ORDER BY frozen_at, id LIMIT 1";
        let first = self.first(self.sql(select).done()).await?;
        Ok(first.map(|point| point.frozen_at))
    }

    /// Bytes of all points of a kind that are there.
    pub async fn points_bytes(&self, kind: PolicyKind) -> Result<i64> {
        let select = self
            .sql("SELECT CAST(COALESCE(SUM(source_bytes), 0) AS BIGINT) AS count FROM restore_points WHERE kind = ")
            .bind(kind.as_str())
            .push(" AND removed_at IS NULL")
            .done();
        let row: Option<Summed> = self.one(select).await?;
        Ok(row.map_or(0, |row| row.count))
    }

    /// How many points are there, by policy.
    pub async fn points_count(&self) -> Result<Vec<(String, i64)>> {
        let select = "SELECT policy, count(*) AS count FROM restore_points WHERE removed_at IS NULL GROUP BY policy";
        let rows: Vec<Counted> = self.all(self.sql(select).done()).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.policy, row.count))
            .collect())
    }

    /// All points that are there, newest first.
    pub async fn points_there(&self) -> Result<Vec<RestorePoint>> {
        let mut points = self.points_all("removed_at IS NULL").await?;
        points.sort_by_key(|point| std::cmp::Reverse((point.frozen_at, point.id)));
        Ok(points)
    }

    /// How many points of a policy are there.
    pub async fn points_of_count(&self, policy: &str) -> Result<i64> {
        let select = self
            .sql("SELECT count(*) AS count FROM restore_points WHERE removed_at IS NULL AND policy = ")
            .bind(policy)
            .done();
        let row: Option<Summed> = self.one(select).await?;
        Ok(row.map_or(0, |row| row.count))
    }

    /// How many points of a kind are there.
    pub async fn points_of_kind_count(&self, kind: PolicyKind) -> Result<i64> {
        let select = self
            .sql(
                "SELECT count(*) AS count FROM restore_points WHERE removed_at IS NULL AND kind = ",
            )
            .bind(kind.as_str())
            .done();
        let row: Option<Summed> = self.one(select).await?;
        Ok(row.map_or(0, |row| row.count))
    }

    async fn first(&self, select: sea_orm::Statement) -> Result<Option<RestorePoint>> {
        let row: Option<Body> = self.one(select).await?;
        row.map(|row| convert::read(&row.body)).transpose()
    }
}

impl Tx {
    /// A point, locked.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn point_locked(&mut self, id: Uuid) -> Result<RestorePoint> {
        let select = self
            .sql("SELECT body FROM restore_points WHERE id = ")
            .bind(id)
            .postgres(" FOR UPDATE")
            .done();
        let row: Option<Body> = self.one(select).await?;
        let row = row.ok_or_else(|| Error::not_found(Thing::RestorePoint, id))?;
        convert::read(&row.body)
    }

    /// Writes a point, whether it was there or not.
    pub async fn point_put(&mut self, point: &RestorePoint) -> Result<()> {
        let upsert = self
            .sql(
                "INSERT INTO restore_points (id, policy, kind, state, frozen_at, verified_at, drilled_at, damaged_at, \
                 removed_at, own_database, source_bytes, body) VALUES (",
            )
            .bind(point.id)
            .push(", ")
            .bind(point.policy.as_str())
            .push(", ")
            .bind(point.kind.as_str())
            .push(", ")
            .bind(point.state.as_str())
            .push(", ")
            .bind(convert::micros(point.frozen_at))
            .push(", ")
            .bind(convert::micros_of(point.verified_at))
            .postgres("::bigint")
            .push(", ")
            .bind(convert::micros_of(point.drilled_at))
            .postgres("::bigint")
            .push(", ")
            .bind(convert::micros_of(point.damaged_at()))
            .postgres("::bigint")
            .push(", ")
            .bind(convert::micros_of(point.removed_at))
            .postgres("::bigint")
            .push(", ")
            .bind(i64::from(point.own_database))
            .push(", ")
            .bind(point.source_bytes)
            .push(", ")
            .bind(convert::json(point)?)
            .push(
                ") ON CONFLICT (id) DO UPDATE SET state = excluded.state, verified_at = excluded.verified_at, \
                 drilled_at = excluded.drilled_at, damaged_at = excluded.damaged_at, \
                 removed_at = excluded.removed_at, body = excluded.body",
            )
            .done();
        self.run(upsert).await?;
        Ok(())
    }

    /// Forgets points that were removed before that.
    pub async fn points_prune(&mut self, before: Timestamp) -> Result<u64> {
        let delete = self
            .sql("DELETE FROM restore_points WHERE removed_at < ")
            .bind(convert::micros(before))
            .done();
        self.run(delete).await
    }
}

fn read(rows: Vec<Body>) -> Result<Vec<RestorePoint>> {
    rows.iter().map(|row| convert::read(&row.body)).collect()
}

fn list(sql: Sql, filter: &PointFilter, page: &Page<PointPlace>) -> Sql {
    let mut sql = sql.push("SELECT body FROM restore_points WHERE 1 = 1");
    if let Some(policy) = &filter.policy {
        sql = sql.push(" AND policy = ").bind(policy.as_str());
    }
    if !filter.removed {
        sql = sql.push(" AND removed_at IS NULL");
    }
    if let Some(after) = page.after {
        sql = sql
            .push(" AND (frozen_at, id) < (")
            .bind(convert::micros(after.frozen_at))
            .push(", ")
            .bind(after.id)
            .push(")");
    }
    sql.push(" ORDER BY frozen_at DESC, id DESC LIMIT ")
        .bind(i64::try_from(page.size + 1).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_lists_points_by_an_index_alone() {
        let (_dir, store) = empty_store().await;
        let place = PointPlace {
            frozen_at: Timestamp::UNIX_EPOCH,
            id: Uuid::nil(),
        };
        for policy in [None, Some("daily-full".to_owned())] {
            for removed in [false, true] {
                for after in [None, Some(place)] {
                    let filter = PointFilter {
                        policy: policy.clone(),
                        removed,
                    };
                    let page = Page { size: 9, after };
                    let select = list(store.sql(""), &filter, &page).done();
                    let steps = plan(&store, select).await.join("\n");
                    assert!(steps.contains("USING INDEX restore_points_"), "{steps}");
                    assert!(!steps.contains("TEMP B-TREE"), "{steps}");
                }
            }
        }
    }
}
