//! Which configurations were in force, since when, and who brought them.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// `{uuid}` is the database's.
const STEPS: &[&str] = &[
    "CREATE TABLE configurations (id {uuid} NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL, hash TEXT NOT NULL, \
     version TEXT NOT NULL, file TEXT, tasks BIGINT NOT NULL, how TEXT NOT NULL, host TEXT NOT NULL, \
     replica {uuid} NOT NULL)",
    "CREATE INDEX configurations_newest ON configurations (applied_at, id)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let uuid = match manager.get_database_backend() {
            DbBackend::Postgres => "UUID",
            _ => "BLOB",
        };
        let db = manager.get_connection();
        for step in STEPS {
            db.execute_unprepared(&step.replace("{uuid}", uuid)).await?;
        }
        Ok(())
    }
}
