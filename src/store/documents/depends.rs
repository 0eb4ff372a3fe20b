//! On which numbers documents depend, and which of those are dead: no version of them is left that is not final.
//!
//! A row of `document_dependants` is marked once the number that it names is dead, by the write in which its last version
//! ends. A mark may be one too many, where a version comes in at that moment; whoever reads them looks again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::{
    super::{
        Id, Store, Tx,
        convert::instant,
        rows::{CHUNK, Type},
        sql::Sql,
    },
    rows::key_of,
    write::Change,
};
use crate::{
    domain::{
        Document, DocumentId,
        document::{Key, Number},
    },
    error::Result,
};

/// Any number will do, as long as every server takes the same.
const TURN: i64 = 0x5761_7463_6864_6570;
/// Where the cluster keeps what the last change of dependences has left.
const CHANGED: &str = "dependences";
/// Dependants of dead numbers that are counted.
const COUNTED: u64 = 10_000;
/// What is not final.
pub(super) const NOT_FINAL: &str =
    "status <> 'superseded' AND status <> 'obsolete' AND status <> 'terminated'";

/// A document that depends on a number of which no version is left.
#[derive(Clone, Debug)]
pub struct Stranded {
    pub key: Key,
    pub on: Number,
    /// When that began.
    pub since: Timestamp,
}

#[derive(FromQueryResult)]
struct Edge {
    number: String,
    on_number: String,
}

#[derive(FromQueryResult)]
struct Living {
    id: Uuid,
    number: String,
}

#[derive(FromQueryResult)]
struct Row {
    on_number: String,
    number: String,
    major: i64,
    minor: i64,
    created_at: i64,
    died_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

impl Store {
    /// On which numbers the documents of these numbers depend, those that are not final: (number, depends on).
    pub async fn dependences_of(&self, numbers: &[Number]) -> Result<Vec<(Number, Number)>> {
        let mut found = Vec::new();
        for chunk in numbers.chunks(CHUNK) {
            found.extend(edges(
                self.all(select_edges(self.sql(""), chunk).done()).await?,
            )?);
        }
        Ok(found)
    }

    /// What the last change of what depends on what has left: another than before where there was one since.
    pub async fn dependences_mark(&self) -> Result<Option<String>> {
        self.value(CHANGED).await
    }

    /// Documents that depend on dead numbers: how many, up to ten thousand, and the first `limit` of them.
    pub async fn documents_stranded(&self, limit: u64) -> Result<(i64, Vec<Stranded>)> {
        let rows: Vec<Row> = self.all(stranded(self.sql(""), limit).done()).await?;
        let found = rows
            .into_iter()
            .map(Stranded::try_from)
            .collect::<Result<Vec<_>>>()?;
        let few = i64::try_from(found.len()).unwrap_or(i64::MAX);
        if (found.len() as u64) < limit {
            return Ok((few, found));
        }
        let count: Option<Count> = self.one(count_stranded(self.sql("")).done()).await?;
        Ok((count.map_or(few, |row| row.count.max(few)), found))
    }
}

impl Tx {
    /// Waits until nobody else changes what depends on what, so that of two who do one sees what the other has done.
    /// Who holds this waits for no document any more: those are locked before it.
    pub async fn turn_to_depend(&mut self) -> Result<()> {
        // SQLite has one writer.
        if self.is_postgres() {
            let turn = self
                .sql("SELECT pg_advisory_xact_lock(")
                .bind(TURN)
                .push(")")
                .done();
            self.run(turn).await?;
        }
        Ok(())
    }

    /// As [`Store::dependences_mark`], within this write. Whoever has the turn knows that it stays.
    pub async fn dependences_mark(&mut self) -> Result<Option<String>> {
        self.value(CHANGED, "").await
    }

    /// Says that what depends on what changes with this write, which has the turn. Returns the mark that it leaves.
    pub async fn mark_dependences(&mut self) -> Result<String> {
        let mark = Uuid::now_v7().simple().to_string();
        self.set_value(CHANGED, &mark).await?;
        Ok(mark)
    }

    /// Versions of these numbers that are not final, and their numbers.
    pub async fn documents_living(
        &mut self,
        numbers: &[Number],
    ) -> Result<Vec<(DocumentId, Number)>> {
        let mut living = Vec::new();
        for chunk in numbers.chunks(CHUNK) {
            let select = self
                .sql("SELECT id, number FROM documents WHERE number")
                .one_of(Type::Text, chunk.iter().map(Number::as_str))
                .push(" AND ")
                .push(NOT_FINAL)
                .done();
            for row in self.all::<Living>(select).await? {
                living.push((DocumentId(row.id), row.number.parse()?));
            }
        }
        Ok(living)
    }

    /// As [`Store::dependences_of`], within this write.
    pub async fn dependences_of(&mut self, numbers: &[Number]) -> Result<Vec<(Number, Number)>> {
        let mut found = Vec::new();
        for chunk in numbers.chunks(CHUNK) {
            let select = select_edges(self.sql(""), chunk).done();
            found.extend(edges(self.all(select).await?)?);
        }
        Ok(found)
    }

    /// Marks those who depend on numbers of which the last version has ended, of documents that were moved.
    pub(super) async fn mark_dead(
        &mut self,
        moved: &[&Document],
        in_force: &[&Document],
    ) -> Result<()> {
        let all = || moved.iter().chain(in_force);
        let alive: BTreeSet<&Number> = all()
            .filter(|document| !document.status.is_final())
            .map(|document| &document.key.number)
            .collect();
        // Mostly a newer version is what has ended the one before.
        let ended: BTreeSet<&Number> = all()
            .filter(|document| document.status.is_final())
            .map(|document| &document.key.number)
            .filter(|number| !alive.contains(number))
            .collect();
        let ended: Vec<&Number> = ended.into_iter().collect();
        for chunk in ended.chunks(CHUNK) {
            let mark = self
                .sql("UPDATE document_dependants SET dead = true WHERE number")
                .one_of(Type::Text, chunk.iter().map(|number| number.as_str()));
            let mark = nothing_left(mark).done();
            self.run(mark).await?;
        }
        Ok(())
    }

    /// Marks those of these documents that depend on dead numbers, and takes the marks of whoever depends on theirs.
    pub(super) async fn mark_added(&mut self, added: &[Change]) -> Result<()> {
        let active = added
            .iter()
            .map(|change| &change.document)
            .filter(|document| !document.status.is_final());
        let depending: Vec<DocumentId> = active
            .clone()
            .filter(|document| !document.depends_on.is_empty())
            .map(|document| document.id)
            .collect();
        for chunk in depending.chunks(CHUNK) {
            let mark = self
                .sql("UPDATE document_dependants SET dead = true WHERE document_id")
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0));
            let mark = nothing_left(mark).done();
            self.run(mark).await?;
        }
        let any = self.sql("SELECT document_id AS id FROM document_dependants WHERE dead LIMIT 1");
        if self.one::<Id>(any.done()).await?.is_none() {
            return Ok(());
        }
        let alive: BTreeSet<&str> = active
            .map(|document| document.key.number.as_str())
            .collect();
        let alive: Vec<&str> = alive.into_iter().collect();
        for chunk in alive.chunks(CHUNK) {
            let clear = self
                .sql("UPDATE document_dependants SET dead = false WHERE dead AND number")
                .one_of(Type::Text, chunk.iter().copied())
                .done();
            self.run(clear).await?;
        }
        Ok(())
    }
}

impl TryFrom<Row> for Stranded {
    type Error = crate::error::Error;

    fn try_from(row: Row) -> Result<Self> {
        let since = row.died_at.unwrap_or(row.created_at).max(row.created_at);
        Ok(Self {
            key: key_of(row.number, row.major, row.minor)?,
            on: row.on_number.parse()?,
            since: instant(since)?,
        })
    }
}

fn edges(rows: Vec<Edge>) -> Result<Vec<(Number, Number)>> {
    let read = |edge: Edge| Ok((edge.number.parse()?, edge.on_number.parse()?));
    rows.into_iter().map(read).collect()
}

fn select_edges(sql: Sql, numbers: &[Number]) -> Sql {
    sql.push(
        "SELECT d.number AS number, n.number AS on_number FROM documents d \
         JOIN document_dependants n ON n.document_id = d.id WHERE d.number",
    )
    .one_of(Type::Text, numbers.iter().map(Number::as_str))
}

/// ` AND …`: that no version is left that is not final.
fn nothing_left(sql: Sql) -> Sql {
    sql.push(
        " AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.number = document_dependants.number AND d.",
    )
    .push(&NOT_FINAL.replace(" AND ", " AND d."))
    .push(")")
}

fn stranded(sql: Sql, limit: u64) -> Sql {
    let sql = sql.push(
        "SELECT document_dependants.number AS on_number, o.number AS number, o.major AS major, o.minor AS minor, \
         o.created_at AS created_at, (SELECT max(x.status_at) FROM documents x \
         WHERE x.number = document_dependants.number) AS died_at FROM document_dependants",
    );
    let sql = sql
        .sqlite(" INDEXED BY document_dependants_dead")
        .push(" JOIN documents o ON o.id = document_dependants.document_id WHERE dead");
    nothing_left(sql)
        .push(" ORDER BY document_dependants.number, document_dependants.document_id")
        .limit(limit)
}

fn count_stranded(sql: Sql) -> Sql {
    let sql = sql
        .push("SELECT count(*) AS count FROM (SELECT document_id FROM document_dependants")
        .sqlite(" INDEXED BY document_dependants_dead")
        .push(" WHERE dead");
    nothing_left(sql).limit(COUNTED).push(") AS few")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_finds_who_is_stranded_by_the_marks_alone() {
        let (_dir, store) = empty_store().await;
        for select in [stranded(store.sql(""), 9), count_stranded(store.sql(""))] {
            for step in plan(&store, select.done()).await {
                let walks = step.starts_with("SCAN");
                assert!(
                    !walks || step.contains("document_dependants_dead") || step.contains("few"),
                    "{step}"
                );
                assert!(!step.contains("TEMP B-TREE"), "{step}");
            }
        }
    }
}
