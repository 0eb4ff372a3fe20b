//! Fewer indexes: each is written by every change of a run, and most of what a busy server writes was
//! indexes.
//!
//! A run keeps its `claim_at` while it is under way, so that whatever occupies its task has one, and what
//! stands in line has none: one index then answers for both. A run's id begins with when it was queued, and
//! finds it by that. Two decisions of one span are refused by the cursor's compare-and-set and the ledger's key.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

const GONE: &[&str] = &[
    "runs_live",
    "runs_state",
    "runs_ready",
    "runs_line",
    "runs_newest",
    "runs_task",
    "runs_finished",
    "runs_finished_all",
    "slots_after",
    "events_at",
];

const NEW: &[&str] = &[
    "CREATE INDEX runs_live ON runs (task_id, claim_at, due_at, id) WHERE finished_at IS NULL",
    "CREATE INDEX runs_task ON runs (task_id, id)",
    "CREATE INDEX runs_unsuccessful ON runs (state, id) \
     WHERE finished_at IS NOT NULL AND state <> 'succeeded'",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for index in GONE {
            db.execute_unprepared(&format!("DROP INDEX IF EXISTS {index}"))
                .await?;
        }
        let keep = "UPDATE runs SET claim_at = COALESCE(attempt_started_at, queued_at) WHERE state = 'running'";
        db.execute_unprepared(keep).await?;
        for index in NEW {
            db.execute_unprepared(index).await?;
        }
        Ok(())
    }
}
