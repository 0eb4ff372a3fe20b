//! What grows is found without reading all of it, and what is written all the time leaves room to be written again.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Rows that led to a run, which are most, are not in it: none of them is written twice. It is made while writes to the
/// ledger wait, as one that waits for nobody would wait itself, for whoever holds a snapshot of that database open.
const STEPS: &[&str] = &[
    "CREATE INDEX slots_undispatched ON slots (task_id, outcome, upto_at) \
     WHERE outcome <> 'dispatched'",
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
