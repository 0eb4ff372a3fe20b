//! By which rules of its zone a task was planned, and which rules each server has.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Of what is planned already it is not known: 0, and the next server to start looks at it. What a server that does not
/// tell has is `''`.
const STEPS: &[&str] = &[
    "ALTER TABLE tasks ADD COLUMN rules BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE replicas ADD COLUMN rules TEXT NOT NULL DEFAULT ''",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for step in STEPS {
            db.execute_unprepared(step).await?;
        }
        Ok(())
    }
}
