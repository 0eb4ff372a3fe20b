//! How new the work of each task is, when that has to be looked at next, and the run whose attempts fail.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// `{uuid}` is the database's.
const STEPS: &[&str] = &[
    "ALTER TABLE tasks ADD COLUMN retrying {uuid}",
    "ALTER TABLE tasks ADD COLUMN fresh_at BIGINT",
    "ALTER TABLE tasks ADD COLUMN usual_ms BIGINT",
    "ALTER TABLE tasks ADD COLUMN scheduled_from BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE tasks ADD COLUMN owed_slots SMALLINT NOT NULL DEFAULT 0",
    "ALTER TABLE tasks ADD COLUMN stale_check_at BIGINT",
    // When the schedule was last changed is not known: it held at the latest since the newest revision.
    "UPDATE tasks SET fresh_at = last_success_at, scheduled_from = COALESCE((SELECT r.effective_from \
     FROM task_revisions r WHERE r.task_id = tasks.id AND r.revision = tasks.revision), created_at)",
    "UPDATE tasks SET stale_check_at = updated_at WHERE deleted_at IS NULL",
    "CREATE INDEX tasks_stale_check ON tasks (stale_check_at) WHERE stale_check_at IS NOT NULL",
    "CREATE INDEX tasks_failing ON tasks (failing_since) WHERE failing_since IS NOT NULL",
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
