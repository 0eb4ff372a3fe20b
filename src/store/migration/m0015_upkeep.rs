//! What grows is found without reading all of it, and what is written all the time leaves room to be written again.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Rows that led to a run, which are most, are not in it: none of them is written twice. It is made while writes to the
/// ledger wait, as one that waits for nobody would wait itself, for whoever holds a snapshot of that database open.
const STEPS: &[&str] = &[
    "CREATE INDEX slots_undispatched ON slots (task_id, outcome, upto_at) \
     WHERE outcome <> 'dispatched'",
];

/// PostgreSQL only. A task's row is written by each run that ends: where its page has room, no index is. And what many
/// writes leave behind is cleared away before it is much: a fifth of a large table is hours of it.
const POSTGRES: &[&str] = &[
    "ALTER TABLE tasks SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, \
     autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE runs SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000, \
     autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE events SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000, \
     autovacuum_vacuum_insert_scale_factor = 0.1)",
    "ALTER TABLE run_log SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000)",
    "ALTER TABLE replicas SET (fillfactor = 50)",
    "ALTER TABLE cluster SET (fillfactor = 50)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        let postgres = POSTGRES.iter().filter(|_| is_postgres);
        for step in STEPS.iter().chain(postgres) {
            db.execute_unprepared(step).await?;
        }
        Ok(())
    }
}
