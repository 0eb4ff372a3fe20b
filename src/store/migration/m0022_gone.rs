//! Tasks that are gone are found by when they went; and an index goes that nobody asks any more, since what the API has
//! added is read by name.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Steps in the order in which a server of an earlier version, which may still run, takes both tables when it edits a task:
/// else the two could wait for each other. So nobody waits for the second either while the first is read.
const STEPS: &[&str] = &[
    "CREATE INDEX tasks_gone ON tasks (deleted_at, id) WHERE deleted_at IS NOT NULL",
    "DROP INDEX task_facets_added",
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
