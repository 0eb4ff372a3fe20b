//! Logs in chunks of lines, and when the log of a run was dropped.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Lines that are there stay where they are, and are read from there: to move a large log would take minutes. `{uuid}` and
/// `{bytes}` are the database's.
const STEPS: &[&str] = &[
    "CREATE TABLE run_log_chunks (run_id {uuid} NOT NULL, attempt BIGINT NOT NULL, line BIGINT NOT NULL, \
     lines BIGINT NOT NULL, body {bytes} NOT NULL, PRIMARY KEY (run_id, attempt, line))",
    "ALTER TABLE runs ADD COLUMN log_dropped_at BIGINT",
];
/// Bodies are compressed already.
const POSTGRES: &[&str] = &["ALTER TABLE run_log_chunks ALTER COLUMN body SET STORAGE EXTERNAL"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, bytes, own) = match manager.get_database_backend() {
            DbBackend::Postgres => ("UUID", "BYTEA", POSTGRES),
            _ => ("BLOB", "BLOB", &[][..]),
        };
        let db = manager.get_connection();
        for step in STEPS.iter().chain(own) {
            let step = step.replace("{uuid}", uuid).replace("{bytes}", bytes);
            db.execute_unprepared(&step).await?;
        }
        Ok(())
    }
}
