//! What differs from a configuration is found by pages, by name.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

const STEP: &str = "CREATE INDEX task_facets_added_name ON task_facets (name) WHERE added";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(STEP).await.map(drop)
    }
}
