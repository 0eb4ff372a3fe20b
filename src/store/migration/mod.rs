//! The schema's history. Never edit a step that has been released: add one.

mod m0001_first;
mod m0002_lean;

use sea_orm_migration::{
    MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait,
    sea_orm::{ConnectionTrait as _, DbBackend, DbErr},
};

#[derive(Debug)]
pub(super) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Patient(m0001_first::Migration)),
            Box::new(Patient(m0002_lean::Migration)),
        ]
    }
}

/// A step that has as long as it takes. What a connection is told of time is for statements of some
/// milliseconds; an index over all runs there ever were takes minutes, and a server that is not yet down may
/// hold a lock.
struct Patient<M>(M);

/// For the step's own transaction.
const PATIENCE: &[&str] = &[
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL lock_timeout = '60s'",
];

impl<M: MigrationName> MigrationName for Patient<M> {
    fn name(&self) -> &str {
        self.0.name()
    }
}

#[async_trait::async_trait]
impl<M: MigrationTrait> MigrationTrait for Patient<M> {
    fn use_transaction(&self) -> Option<bool> {
        self.0.use_transaction()
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            let db = manager.get_connection();
            for setting in PATIENCE {
                db.execute_unprepared(setting).await?;
            }
        }
        self.0.up(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.0.down(manager).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use sea_orm_migration::{
        MigratorTrait as _,
        sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement},
    };

    use super::Migrator;
    use crate::{
        clock::ManualClock,
        store::{Location, Store},
    };

    async fn number(db: &DatabaseConnection, text: &str) -> i64 {
        let select = Statement::from_string(DbBackend::Sqlite, text);
        let row = db.query_one_raw(select).await.unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }

    /// A run that was under way has had no `claim_at`, by which it now occupies its task.
    #[tokio::test]
    async fn a_run_that_was_under_way_still_occupies_its_task() {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(dir.path().join("watchbell.db"));
        let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let store = Store::connect(&location, clock).await.unwrap();
        let db = &store.inner.write;
        Migrator::up(db, Some(1)).await.unwrap();
        for (id, state, started_at) in [(1, "running", "7"), (2, "queued", "NULL")] {
            let insert = format!(
                "INSERT INTO runs (id, task_id, task, kind, trigger_by, state, reason, message, counters, attempt, \
                 attempts_charged, priority, parameters, policy, dry_run, solo, due_at, queued_at, \
                 attempt_started_at, catch_up, principal, request_reason, revision, version) VALUES \
                 (x'0{id}', x'01', 't', 'k', 'schedule', '{state}', '', '', '{{}}', 1, 1, 5, '{{}}', '{{}}', 0, 1, \
                 5, 6, {started_at}, 0, 'schedule', '', 1, 1)"
            );
            db.execute_unprepared(&insert).await.unwrap();
        }

        store.migrate().await.unwrap();

        let of = |id: i64| format!("SELECT COALESCE(claim_at, 0) FROM runs WHERE id = x'0{id}'");
        assert_eq!(number(db, &of(1)).await, 7);
        assert_eq!(number(db, &of(2)).await, 0, "it stands in line");
        let gone = "SELECT count(*) FROM sqlite_master WHERE name = 'runs_newest'";
        assert_eq!(number(db, gone).await, 0);
    }
}
