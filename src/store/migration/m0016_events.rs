//! Events of runs in few bytes, once every server that reads them can.
//!
//! The table itself stays as it is: a server of before that still runs has statements prepared that read all of its
//! columns, and PostgreSQL refuses those once there is another.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// What a server reads it says with its signs of life: those of before say nothing.
const STEP: &str = "ALTER TABLE replicas ADD COLUMN reads SMALLINT NOT NULL DEFAULT 0";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(STEP).await?;
        Ok(())
    }
}
