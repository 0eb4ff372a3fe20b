//! Which contents are stored, and when each was last asked for or let go. What is in them is on the disk.

use jiff::Timestamp;
use sea_orm::FromQueryResult;

use super::{
    Store, Tx, convert,
    rows::{CHUNK, Column, Type, column},
    sql::Sql,
};
use crate::error::Result;

/// That a document holds it.
const HELD: &str = "EXISTS (SELECT 1 FROM documents WHERE documents.content_sha256 = c.sha256)";

/// Instant of the last touch of a content that leaves: its file is taken away, and nobody may hold it until its row is
/// gone.
const LEAVING: Timestamp = Timestamp::MIN;

/// A content that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredContent {
    pub sha256: String,
    pub size: i64,
    /// When it was last uploaded, given to a document, or taken from one.
    pub touched_at: Timestamp,
}

impl StoredContent {
    /// An instant before all touches there ever were. Only what leaves is older; what stayed when it was about to leave is
    /// as old.
    pub const LONG_AGO: Timestamp = Timestamp::UNIX_EPOCH;
}

#[derive(FromQueryResult)]
struct Row {
    sha256: String,
    size: i64,
    touched_at: i64,
}

#[derive(FromQueryResult)]
struct Looked {
    sha256: String,
    size: i64,
    touched_at: i64,
    held: bool,
}

#[derive(FromQueryResult)]
struct Hash {
    sha256: String,
}

impl Store {
    pub async fn content(&self, sha256: &str) -> Result<Option<StoredContent>> {
        let select = self
            .sql("SELECT * FROM contents WHERE sha256 = ")
            .bind(sha256)
            .done();
        let row: Option<Row> = self.one(select).await?;
        row.map(StoredContent::try_from).transpose()
    }

    /// Which of these are known to be stored.
    pub async fn contents_known(&self, sha256s: &[String]) -> Result<Vec<String>> {
        self.hashes("SELECT sha256 FROM contents WHERE sha256", sha256s)
            .await
    }

    /// Which of these a document holds.
    pub async fn contents_held(&self, sha256s: &[String]) -> Result<Vec<String>> {
        let select = "SELECT DISTINCT content_sha256 AS sha256 FROM documents WHERE content_sha256";
        self.hashes(select, sha256s).await
    }

    /// Contents that were last touched before that, after a place, oldest first, and whether a document holds
    /// them. Looks at `limit` at most.
    pub async fn contents_older(
        &self,
        before: Timestamp,
        after: Option<&StoredContent>,
        limit: u64,
    ) -> Result<Vec<(StoredContent, bool)>> {
        let select = older(self.sql(""), before, after, limit).done();
        let rows: Vec<Looked> = self.all(select).await?;
        let content = |row: Looked| {
            let content = StoredContent {
                sha256: row.sha256,
                size: row.size,
                touched_at: convert::instant(row.touched_at)?,
            };
            Ok((content, row.held))
        };
        rows.into_iter().map(content).collect()
    }

    async fn hashes(&self, select: &str, sha256s: &[String]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for chunk in sha256s.chunks(CHUNK) {
            let select = self
                .sql(select)
                .one_of(Type::Text, chunk.iter().map(String::as_str))
                .done();
            let rows: Vec<Hash> = self.all(select).await?;
            found.extend(rows.into_iter().map(|row| row.sha256));
        }
        Ok(found)
    }
}

impl Tx {
    /// Notes that these contents are stored, with their sizes, and asked for now. Until this write is over no
    /// sweep takes them: what is on the disk after it, stays. But not of those that leave already, which it returns.
    pub async fn contents_touch(&mut self, contents: &[(String, i64)]) -> Result<Vec<String>> {
        let now = self.now;
        let sha256s: Vec<String> = contents.iter().map(|(sha256, _)| sha256.clone()).collect();
        let contents = contents.iter().map(|(sha256, size)| StoredContent {
            sha256: sha256.clone(),
            size: *size,
            touched_at: now,
        });
        let leaving = convert::micros(LEAVING);
        let tail = format!(
            " ON CONFLICT (sha256) DO UPDATE SET size = excluded.size, touched_at = excluded.touched_at \
             WHERE contents.touched_at <> {leaving}"
        );
        self.contents_insert(contents.collect(), &tail).await?;
        let select = "SELECT sha256 FROM contents WHERE sha256";
        self.of_leaving(select, &sha256s, "").await
    }

    /// Notes contents that were found on the disk. What is known of them already stays.
    pub async fn contents_adopt(&mut self, contents: Vec<StoredContent>) -> Result<()> {
        self.contents_insert(contents, " ON CONFLICT DO NOTHING")
            .await
    }

    /// A document no longer holds this one: its grace begins now.
    pub async fn content_let_go(&mut self, sha256: &str) -> Result<()> {
        let update = self
            .sql("UPDATE contents SET touched_at = ")
            .bind(convert::micros(self.now))
            .push(" WHERE sha256 = ")
            .bind(sha256)
            .done();
        self.run(update).await?;
        Ok(())
    }

    /// Has those of these contents leave that were last touched before that and that no document holds; says which. Once
    /// this write is committed nobody may hold them any more, and their files may be taken away.
    pub async fn contents_leave(
        &mut self,
        sha256s: &[String],
        before: Timestamp,
    ) -> Result<Vec<StoredContent>> {
        let mut leaving = Vec::new();
        for chunk in sha256s.chunks(CHUNK) {
            let update = self
                .sql("UPDATE contents AS c SET touched_at = ")
                .bind(convert::micros(LEAVING))
                .push(" WHERE sha256")
                .one_of(Type::Text, chunk.iter().map(String::as_str))
                .push(" AND touched_at < ")
                .bind(convert::micros(before))
                .push(" AND NOT ")
                .push(HELD)
                .push(" RETURNING sha256, size, touched_at")
                .done();
            for row in self.all::<Row>(update).await? {
                leaving.push(row.try_into()?);
            }
        }
        Ok(leaving)
    }

    /// Forgets those of these contents that leave; says which. What is not among them was taken by a server of an earlier
    /// version, which does not know that a content may leave.
    pub async fn contents_forget(&mut self, sha256s: &[String]) -> Result<Vec<String>> {
        let tail = format!(" AND NOT {HELD} RETURNING sha256");
        self.of_leaving("DELETE FROM contents AS c WHERE sha256", sha256s, &tail)
            .await
    }

    /// Runs a statement over those of these contents that leave; says which it has found.
    async fn of_leaving(
        &mut self,
        statement: &str,
        sha256s: &[String],
        tail: &str,
    ) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for chunk in sha256s.chunks(CHUNK) {
            let statement = self
                .sql(statement)
                .one_of(Type::Text, chunk.iter().map(String::as_str))
                .push(" AND touched_at = ")
                .bind(convert::micros(LEAVING))
                .push(tail)
                .done();
            let rows: Vec<Hash> = self.all(statement).await?;
            found.extend(rows.into_iter().map(|row| row.sha256));
        }
        Ok(found)
    }

    /// Has those of these contents stay after all that leave, since something came between. Of what is not touched until
    /// then, the next sweep looks at them first.
    pub async fn contents_stay(&mut self, sha256s: &[String]) -> Result<()> {
        for chunk in sha256s.chunks(CHUNK) {
            let update = self
                .sql("UPDATE contents SET touched_at = ")
                .bind(convert::micros(StoredContent::LONG_AGO))
                .push(" WHERE sha256")
                .one_of(Type::Text, chunk.iter().map(String::as_str))
                .push(" AND touched_at = ")
                .bind(convert::micros(LEAVING))
                .done();
            self.run(update).await?;
        }
        Ok(())
    }

    /// Forgets contents whose files were taken away by a sweep that broke off, whether or not it had come to forget them;
    /// says which nobody holds. Those stay of which anything tells, and whoever is about to hold one is waited for.
    pub async fn contents_forget_taken(
        &mut self,
        taken: Vec<StoredContent>,
    ) -> Result<Vec<String>> {
        let sha256s: Vec<String> = taken.iter().map(|content| content.sha256.clone()).collect();
        let leaving = taken.into_iter().map(|content| StoredContent {
            touched_at: LEAVING,
            ..content
        });
        self.contents_adopt(leaving.collect()).await?;
        let gone = self.contents_forget(&sha256s).await?;
        self.contents_stay(&sha256s).await?;
        Ok(gone)
    }

    /// In the order of the hashes, so that two writes never wait for each other.
    async fn contents_insert(
        &mut self,
        mut contents: Vec<StoredContent>,
        tail: &str,
    ) -> Result<()> {
        const COLUMNS: &[Column] = &[
            column("sha256", Type::Text),
            column("size", Type::Big),
            column("touched_at", Type::Big),
        ];
        contents.sort_by(|one, other| one.sha256.cmp(&other.sha256));
        contents.dedup_by(|one, other| one.sha256 == other.sha256);
        let rows = contents.into_iter().map(|content| {
            vec![
                content.sha256.into(),
                content.size.into(),
                convert::micros(content.touched_at).into(),
            ]
        });
        self.insert("contents", COLUMNS, &[], rows.collect(), tail)
            .await
    }
}

/// Pages over all that are old enough, held or not: what is held is many, and would be passed over in one go.
fn older(sql: Sql, before: Timestamp, after: Option<&StoredContent>, limit: u64) -> Sql {
    let mut sql = sql
        .push("SELECT sha256, size, touched_at, ")
        .push(HELD)
        .push(" AS held FROM contents AS c WHERE touched_at < ")
        .bind(convert::micros(before));
    if let Some(after) = after {
        sql = sql
            .push(" AND (touched_at, sha256) > (")
            .bind(convert::micros(after.touched_at))
            .push(", ")
            .bind(after.sha256.as_str())
            .push(")");
    }
    sql.push(" ORDER BY touched_at, sha256 LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
}

impl TryFrom<Row> for StoredContent {
    type Error = crate::error::Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            sha256: row.sha256,
            size: row.size,
            touched_at: convert::instant(row.touched_at)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_pages_over_old_contents_by_indexes_alone() {
        let (_dir, store) = empty_store().await;
        let place = StoredContent {
            sha256: "ab".to_owned(),
            size: 1,
            touched_at: Timestamp::UNIX_EPOCH,
        };
        for after in [None, Some(&place)] {
            let select = older(store.sql(""), Timestamp::UNIX_EPOCH, after, 9);
            let steps = plan(&store, select.done()).await.join("\n");
            assert!(steps.contains("contents_touched"), "{steps}");
            assert!(steps.contains("documents_content"), "{steps}");
            assert!(!steps.contains("SCAN documents"), "{steps}");
            assert!(!steps.contains("TEMP B-TREE"), "{steps}");
        }
    }

    #[tokio::test]
    async fn what_is_touched_or_young_does_not_leave_and_what_leaves_is_not_touched() {
        let (_dir, store) = empty_store().await;
        let mut tx = store.begin().await.unwrap();
        let now = tx.now();
        let later = now + jiff::SignedDuration::from_secs(1);
        let (one, two) = ("aa".to_owned(), "bb".to_owned());
        tx.contents_touch(&[(two.clone(), 2), (one.clone(), 1), (one.clone(), 1)])
            .await
            .unwrap();
        let both = [one.clone(), two.clone()];
        assert_eq!(tx.contents_leave(&both, now).await.unwrap(), []);
        let leaving = tx.contents_leave(&both[..1], later).await.unwrap();
        assert_eq!(leaving.len(), 1);
        assert_eq!(leaving[0].sha256, one);
        tx.commit().await.unwrap();

        let mut tx = store.begin().await.unwrap();
        let touched = [(one.clone(), 1), (two.clone(), 2)];
        let leave = tx.contents_touch(&touched).await.unwrap();
        assert_eq!(leave, std::slice::from_ref(&one), "its file may be gone");
        // Where a sweep broke off, the next finds it first.
        let again = tx.contents_leave(&both, now).await.unwrap();
        assert_eq!(again, leaving);
        let gone = tx.contents_forget(&both).await.unwrap();
        assert_eq!(gone, std::slice::from_ref(&one));
        assert_eq!(
            tx.contents_touch(&touched[..1]).await.unwrap(),
            Vec::<String>::new(),
            "it has come anew"
        );
        tx.contents_leave(&both[..1], later).await.unwrap();
        tx.contents_forget(&both[..1]).await.unwrap();
        tx.commit().await.unwrap();

        let older = store.contents_older(later, None, 9).await.unwrap();
        assert_eq!(older.len(), 1);
        assert_eq!((older[0].0.sha256.as_str(), older[0].1), ("bb", false));
        assert_eq!(store.contents_known(&both).await.unwrap(), [two]);
        assert_eq!(store.content(&one).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_was_taken_away_is_only_forgotten_where_nothing_tells_of_it() {
        let (_dir, store) = empty_store().await;
        let [leaves, stays, unknown] = ["aa", "bb", "cc"].map(str::to_owned);
        let mut tx = store.begin().await.unwrap();
        let later = tx.now() + jiff::SignedDuration::from_secs(1);
        let both = [(leaves.clone(), 1), (stays.clone(), 2)];
        tx.contents_touch(&both).await.unwrap();
        let leaving = std::slice::from_ref(&leaves);
        tx.contents_leave(leaving, later).await.unwrap();
        tx.contents_stay(leaving).await.unwrap();
        let untouched = tx.contents_leave(leaving, StoredContent::LONG_AGO).await;
        assert_eq!(untouched.unwrap(), [], "it stays");
        tx.contents_leave(leaving, later).await.unwrap();
        tx.commit().await.unwrap();
        // A sweep finds first what leaves.
        let first = store.contents_older(StoredContent::LONG_AGO, None, 9).await;
        assert_eq!(first.unwrap().len(), 1);

        let mut tx = store.begin().await.unwrap();
        let taken = [&leaves, &stays, &unknown].map(|sha256| StoredContent {
            sha256: sha256.clone(),
            size: 1,
            touched_at: StoredContent::LONG_AGO,
        });
        let mut gone = tx.contents_forget_taken(taken.to_vec()).await.unwrap();
        tx.commit().await.unwrap();

        gone.sort();
        assert_eq!(gone, [leaves.clone(), unknown.clone()]);
        let all = [leaves, stays.clone(), unknown];
        assert_eq!(store.contents_known(&all).await.unwrap(), [stays]);
    }
}
