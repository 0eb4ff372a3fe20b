//! Tasks are found by whose they are. Until now no task had an owner.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// `{text}` is the database's. A server of an earlier version, which may still run, writes none.
const STEPS: &[&str] = &[
    "ALTER TABLE task_facets ADD COLUMN owner {text} NOT NULL DEFAULT ''",
    "CREATE INDEX task_facets_owner ON task_facets (owner, name)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = match manager.get_database_backend() {
            DbBackend::Postgres => "TEXT COLLATE \"C\"",
            _ => "TEXT",
        };
        let db = manager.get_connection();
        for step in STEPS {
            db.execute_unprepared(&step.replace("{text}", text)).await?;
        }
        Ok(())
    }
}
