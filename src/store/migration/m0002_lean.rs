//! What is written all the time gets lean: fewer indexes, and narrow rows.
//!
//! A run keeps its `claim_at` while it is under way, so that whatever occupies its task has one, and what
//! stands in line has none: one index then answers for both. A run's id begins with when it was queued, and
//! finds it by that. Two decisions of one span are refused by the cursor's compare-and-set and the ledger's
//! key.
//!
//! A task's row is written by each decision and by each run that ends. Its specification stands in its
//! revision, and its layers apart.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

const STEPS: &[&str] = &[
    "DROP INDEX runs_live",
    "DROP INDEX runs_state",
    "DROP INDEX runs_ready",
    "DROP INDEX runs_line",
    "DROP INDEX runs_newest",
    "DROP INDEX runs_task",
    "DROP INDEX runs_finished",
    "DROP INDEX runs_finished_all",
    "DROP INDEX slots_after",
    "DROP INDEX events_at",
    "UPDATE runs SET claim_at = COALESCE(attempt_started_at, queued_at) WHERE state = 'running'",
    "CREATE INDEX runs_live ON runs (task_id, claim_at, due_at, id) WHERE finished_at IS NULL",
    "CREATE INDEX runs_task ON runs (task_id, id)",
    "CREATE INDEX runs_unsuccessful ON runs (state, id) \
     WHERE finished_at IS NOT NULL AND state <> 'succeeded'",
    "CREATE INDEX runs_unsuccessful_of ON runs (task_id, state, id) \
     WHERE finished_at IS NOT NULL AND state <> 'succeeded'",
    "INSERT INTO task_layers (task_id, layers) SELECT id, layers FROM tasks",
    "ALTER TABLE tasks DROP COLUMN spec",
    "ALTER TABLE tasks DROP COLUMN layers",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut layers = Table::create()
            .table("task_layers")
            .col(schema::uuid("task_id").primary_key())
            .col(schema::text("layers"))
            .take();
        manager.create_table(layers.take()).await?;
        let db = manager.get_connection();
        for step in STEPS {
            db.execute_unprepared(step).await?;
        }
        Ok(())
    }
}
