//! The configurations that were in force.

use sea_orm::FromQueryResult;
use uuid::Uuid;

use super::{
    Store, Tx, convert,
    convert::{micros, word},
};
use crate::{
    domain::{
        ReplicaId,
        configuration::{Applied, AppliedConfiguration},
    },
    error::{Error, Result},
};

/// Configurations remembered. What was in force before counts as new.
const KEPT: i64 = 500;

#[derive(FromQueryResult)]
struct Row {
    applied_at: i64,
    hash: String,
    version: String,
    file: Option<String>,
    tasks: i64,
    how: String,
    host: String,
    replica: Uuid,
}

impl Store {
    /// What was in force, the newest first; at most 500.
    pub async fn configurations(&self) -> Result<Vec<AppliedConfiguration>> {
        let select = self
            .sql("SELECT applied_at, hash, version, file, tasks, how, host, replica FROM configurations ORDER BY applied_at DESC, id DESC LIMIT ")
            .bind(KEPT)
            .done();
        let rows: Vec<Row> = self.all(select).await?;
        rows.into_iter()
            .map(AppliedConfiguration::try_from)
            .collect()
    }
}

impl Tx {
    /// Notes what is in force from now on, and forgets the oldest beyond 500.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn configuration_applied(&mut self, applied: &AppliedConfiguration) -> Result<()> {
        // What a clock that was ahead has stamped would stay the newest until then.
        let at = micros(applied.applied_at);
        let believe = self
            .sql("UPDATE configurations SET applied_at = ")
            .bind(at - 1)
            .push(" WHERE applied_at >= ")
            .bind(at)
            .done();
        self.run(believe).await?;
        let insert = self
            .sql("INSERT INTO configurations (id, applied_at, hash, version, file, tasks, how, host, replica) VALUES (")
            .bind(Uuid::now_v7())
            .push(", ")
            .bind(micros(applied.applied_at))
            .push(", ")
            .bind(applied.hash.clone())
            .push(", ")
            .bind(applied.version.clone())
            .push(", ")
            .bind(applied.file.clone())
            .postgres("::text")
            .push(", ")
            .bind(applied.tasks)
            .push(", ")
            .bind(applied.how.as_str())
            .push(", ")
            .bind(applied.host.clone())
            .push(", ")
            .bind(applied.replica.0)
            .push(")")
            .done();
        self.run(insert).await?;
        let forget = self
            .sql("DELETE FROM configurations WHERE id NOT IN (SELECT id FROM configurations ORDER BY applied_at DESC, id DESC LIMIT ")
            .bind(KEPT)
            .push(")")
            .done();
        self.run(forget).await?;
        Ok(())
    }
}

impl TryFrom<Row> for AppliedConfiguration {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            applied_at: convert::instant(row.applied_at)?,
            how: word("way of applying", &row.how, Applied::parse(&row.how))?,
            hash: row.hash,
            version: row.version,
            file: row.file,
            tasks: row.tasks,
            host: row.host,
            replica: ReplicaId(row.replica),
        })
    }
}
