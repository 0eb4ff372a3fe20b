//! What verifications have found, and which parts of a repository were read when.

use jiff::Timestamp;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::Body;
use crate::{
    domain::backup::{
        Finding, Level, PolicyKind,
        point::{Evidence, RestorePoint},
    },
    error::Result,
    store::{Page, PageOf, Store, Tx, convert},
};

/// Readings of parts among which the newest of one repository is looked for.
const PARTS_LOOKED_AT: i64 = 100;
/// Evidence that is read at once, where one that says something is looked for.
const READ_AT_ONCE: i64 = 50;

#[derive(FromQueryResult)]
struct ReadRow {
    part: i64,
    parts: i64,
    read_at: i64,
}

impl Store {
    /// Evidence, newest first; of one point, where one is named.
    pub async fn evidence(
        &self,
        point: Option<Uuid>,
        page: Page<(Timestamp, Uuid)>,
    ) -> Result<PageOf<Evidence, (Timestamp, Uuid)>> {
        let mut select = self.sql("SELECT body FROM backup_evidence WHERE 1 = 1");
        if let Some(point) = point {
            select = select.push(" AND point = ").bind(point);
        }
        if let Some((at, id)) = page.after {
            select = select
                .push(" AND (at, id) < (")
                .bind(convert::micros(at))
                .push(", ")
                .bind(id)
                .push(")");
        }
        let select = select
            .push(" ORDER BY at DESC, id DESC LIMIT ")
            .bind(i64::try_from(page.size + 1).unwrap_or(i64::MAX))
            .done();
        let rows: Vec<Body> = self.all(select).await?;
        let evidence = rows.iter().map(|row| convert::read(&row.body));
        let evidence: Vec<Evidence> = evidence.collect::<Result<_>>()?;
        Ok(PageOf::cut(evidence, page.size, |one| (one.at, one.id)))
    }

    /// The newest evidence of a level; of points of one policy, where one is named.
    pub async fn evidence_newest(
        &self,
        level: Level,
        policy: Option<&str>,
    ) -> Result<Option<Evidence>> {
        let newest = self.evidence_from(level, policy, (0, 1)).await?;
        Ok(newest.into_iter().next())
    }

    /// The newest evidence of a level, of points of one policy, that has passed or failed: what could not be tried has
    /// found nothing, and takes nothing back.
    pub async fn evidence_judged(&self, level: Level, policy: &str) -> Result<Option<Evidence>> {
        let mut from = 0;
        loop {
            let some = self
                .evidence_from(level, Some(policy), (from, READ_AT_ONCE))
                .await?;
            let was_last = some.len() < usize::try_from(READ_AT_ONCE).unwrap_or(usize::MAX);
            let judged = some
                .into_iter()
                .find(|one| one.finding != Finding::NotPossible);
            if judged.is_some() || was_last {
                return Ok(judged);
            }
            from += READ_AT_ONCE;
        }
    }

    /// Evidence of a level, newest first: so many, after so many.
    async fn evidence_from(
        &self,
        level: Level,
        policy: Option<&str>,
        (after, limit): (i64, i64),
    ) -> Result<Vec<Evidence>> {
        let mut select = self
            .sql("SELECT body FROM backup_evidence AS found WHERE level = ")
            .bind(level.as_str());
        if let Some(policy) = policy {
            select = select
                .push(
                    " AND EXISTS (SELECT 1 FROM restore_points WHERE restore_points.id = found.point AND policy = ",
                )
                .bind(policy)
                .push(")");
        }
        let select = self.believed_first(select.push(" ORDER BY "), "at");
        let select = select
            .push(", at DESC, id DESC LIMIT ")
            .bind(limit)
            .push(" OFFSET ")
            .bind(after)
            .done();
        let rows: Vec<Body> = self.all(select).await?;
        rows.iter().map(|row| convert::read(&row.body)).collect()
    }

    /// The newest evidence of the reading of a part of a repository, which is of no single point.
    pub async fn evidence_newest_part(&self, repository: &str) -> Result<Option<Evidence>> {
        let select = self
            .sql("SELECT body FROM backup_evidence WHERE point IS NULL AND level = ")
            .bind(Level::Read.as_str())
            .push(" ORDER BY ");
        let select = self
            .believed_first(select, "at")
            .push(", at DESC, id DESC LIMIT ")
            .bind(PARTS_LOOKED_AT)
            .done();
        let rows: Vec<Body> = self.all(select).await?;
        let mut read = rows.iter().map(|row| convert::read::<Evidence>(&row.body));
        read.find(|evidence| {
            evidence
                .as_ref()
                .map_or(true, |evidence| evidence.repository() == repository)
        })
        .transpose()
    }

    /// The newest points of a kind that are there and were found to be damaged, however many of others there are; at most so
    /// many.
    pub async fn points_damaged_of(
        &self,
        kind: PolicyKind,
        limit: i64,
    ) -> Result<Vec<RestorePoint>> {
        let select = self
            .sql(
                "SELECT body FROM restore_points WHERE removed_at IS NULL AND damaged_at IS NOT NULL AND kind = ",
            )
            .bind(kind.as_str())
            .push(" ORDER BY frozen_at DESC LIMIT ")
            .bind(limit)
            .done();
        let rows: Vec<Body> = self.all(select).await?;
        rows.iter().map(|row| convert::read(&row.body)).collect()
    }

    /// When each of `parts` parts of a repository was last read, by its number from 1. What a clock has stamped that was
    /// ahead says nothing of when that was: such a part comes next.
    pub async fn reads(&self, repository: &str, parts: u32) -> Result<Vec<(u32, Timestamp)>> {
        let select = self
            .sql("SELECT part, parts, read_at FROM backup_reads WHERE repository = ")
            .bind(repository)
            .push(" ORDER BY read_at")
            .done();
        let rows: Vec<ReadRow> = self.all(select).await?;
        let latest = self.latest_believed();
        let of = rows
            .into_iter()
            .filter(|row| row.parts == i64::from(parts) && row.read_at <= latest);
        of.map(|row| {
            let part = u32::try_from(row.part).unwrap_or(0);
            Ok((part, convert::instant(row.read_at)?))
        })
        .collect()
    }
}

impl Tx {
    pub async fn evidence_insert(&mut self, evidence: &Evidence) -> Result<()> {
        let insert = self
            .sql("INSERT INTO backup_evidence (id, at, level, point, body) VALUES (")
            .bind(evidence.id)
            .push(", ")
            .bind(convert::micros(evidence.at))
            .push(", ")
            .bind(evidence.level.as_str())
            .push(", ")
            .bind(evidence.point)
            .postgres("::uuid")
            .push(", ")
            .bind(convert::json(evidence)?)
            .push(")")
            .done();
        self.run(insert).await?;
        Ok(())
    }

    /// Forgets evidence from before that.
    pub async fn evidence_prune(&mut self, before: Timestamp) -> Result<u64> {
        let delete = self
            .sql("DELETE FROM backup_evidence WHERE at < ")
            .bind(convert::micros(before))
            .done();
        self.run(delete).await
    }

    /// Takes back that a part of a repository was ever read: some of it cannot be now.
    pub async fn read_forget(&mut self, repository: &str, part: u32) -> Result<()> {
        let delete = self
            .sql("DELETE FROM backup_reads WHERE repository = ")
            .bind(repository)
            .push(" AND part = ")
            .bind(i64::from(part))
            .done();
        self.run(delete).await?;
        Ok(())
    }

    /// Notes that a part of a repository was read now, and found whole.
    pub async fn read_note(&mut self, repository: &str, part: u32, parts: u32) -> Result<()> {
        let upsert = self
            .sql("INSERT INTO backup_reads (repository, part, parts, read_at) VALUES (")
            .bind(repository)
            .push(", ")
            .bind(i64::from(part))
            .push(", ")
            .bind(i64::from(parts))
            .push(", ")
            .bind(convert::micros(self.now()))
            .push(
                ") ON CONFLICT (repository, part) DO UPDATE SET parts = excluded.parts, read_at = excluded.read_at",
            )
            .done();
        self.run(upsert).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{domain::backup::PointState, store::plan::empty_store};

    #[tokio::test]
    async fn what_is_damaged_of_one_kind_is_not_hidden_by_newer_ones_of_another() {
        let (_dir, store) = empty_store().await;
        let mut tx = store.begin().await.unwrap();
        let kinds = [PolicyKind::Full, PolicyKind::Archive, PolicyKind::Archive];
        for (day, kind) in (1_u128..).zip(kinds) {
            let at = format!("2026-03-0{day}T00:00:00Z");
            let point = serde_json::json!({
                "id": Uuid::from_u128(day), "policy": "daily", "kind": kind, "state": PointState::Complete,
                "frozen_at": at, "created_at": at, "damage": { "at": at, "what": "gone" },
                "files": 0, "source_bytes": 0, "added_bytes": 0, "dump_bytes": 0,
            });
            let point: RestorePoint = serde_json::from_value(point).unwrap();
            tx.point_put(&point).await.unwrap();
        }
        tx.commit().await.unwrap();

        let damaged = async |kind| {
            let points = store.points_damaged_of(kind, 2).await.unwrap();
            let ids = points.iter().map(|point| point.id.as_u128());
            ids.collect::<Vec<_>>()
        };
        assert_eq!(damaged(PolicyKind::Full).await, [1]);
        assert_eq!(damaged(PolicyKind::Archive).await, [3, 2]);
        assert!(damaged(PolicyKind::Export).await.is_empty());
    }

    #[tokio::test]
    async fn what_could_not_be_tried_takes_no_finding_back() {
        let (_dir, store) = empty_store().await;
        let mut tx = store.begin().await.unwrap();
        let at = "2001-03-01T00:00:00Z";
        let point = serde_json::json!({
            "id": Uuid::from_u128(1), "policy": "crm", "kind": PolicyKind::Full, "state": PointState::Complete,
            "frozen_at": at, "created_at": at, "files": 0, "source_bytes": 0, "added_bytes": 0, "dump_bytes": 0,
        });
        tx.point_put(&serde_json::from_value(point).unwrap())
            .await
            .unwrap();
        let first: Timestamp = at.parse().unwrap();
        // More of them than are read at once.
        let nights = READ_AT_ONCE + 5;
        for night in 0..=nights {
            let finding = match night {
                0 => Finding::Failed,
                _ => Finding::NotPossible,
            };
            let evidence = Evidence {
                id: Uuid::now_v7(),
                level: Level::Database,
                finding,
                point: Some(Uuid::from_u128(1)),
                place: None,
                run: String::new(),
                at: first + SignedDuration::from_hours(24 * night),
                took_ms: 0,
                files: 0,
                bytes: 0,
                message: format!("night {night}"),
            };
            tx.evidence_insert(&evidence).await.unwrap();
        }
        tx.commit().await.unwrap();

        let newest = store.evidence_newest(Level::Database, Some("crm")).await;
        let said = format!("night {nights}");
        assert_eq!(newest.unwrap().unwrap().message, said);
        let judged = store.evidence_judged(Level::Database, "crm").await.unwrap();
        assert_eq!(judged.unwrap().message, "night 0");
        for (level, policy) in [(Level::Database, "other"), (Level::Drill, "crm")] {
            let judged = store.evidence_judged(level, policy).await.unwrap();
            assert_eq!(judged, None);
        }
    }

    #[tokio::test]
    async fn a_part_that_was_read_at_an_instant_to_come_was_not_read() {
        let (_dir, store) = empty_store().await;
        let mut tx = store.begin().await.unwrap();
        for part in 1..=2 {
            tx.read_note("repository", part, 28).await.unwrap();
        }
        let ahead = tx.now() + SignedDuration::from_hours(1);
        let update = tx
            .sql("UPDATE backup_reads SET read_at = ")
            .bind(convert::micros(ahead))
            .push(" WHERE part = 2")
            .done();
        tx.run(update).await.unwrap();
        tx.commit().await.unwrap();

        let reads = store.reads("repository", 28).await.unwrap();
        let parts: Vec<u32> = reads.iter().map(|(part, _)| *part).collect();
        assert_eq!(parts, [1]);
    }
}
