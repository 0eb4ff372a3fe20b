//! The newest work of each task that has failed, which older successes do not make good, and the newest slot that it
//! owed as its schedule changed.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Of what fails already any success makes good: it is not known what it was for.
const STEPS: &[&str] = &[
    "ALTER TABLE tasks ADD COLUMN failed_for BIGINT",
    "ALTER TABLE tasks ADD COLUMN owed_at BIGINT",
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
