//! On PostgreSQL, whoever writes events holds their numbers until it is over, by a lock that the tail can look for.
//!
//! While the trigger is made nobody writes events, and whoever did is over: so every number that is open from then on
//! is held, those of servers included that know nothing of it.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::store::tail::HOLD_NUMBERS;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite has one writer.
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        let db = manager.get_connection();
        for step in HOLD_NUMBERS {
            db.execute_unprepared(step).await?;
        }
        Ok(())
    }
}
