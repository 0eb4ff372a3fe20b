//! The schema's history. Never edit a step that has been released: add one.

mod m0001_first;
mod m0002_lean;
mod m0003_documents;
mod m0004_backups;
mod m0005_monitor;
mod m0006_configurations;
mod m0010_freshness;
mod m0011_failed_for;
mod m0012_log_chunks;
mod m0013_rules;
mod m0015_upkeep;
mod m0016_events;
mod m0017_held_numbers;
mod m0018_facets;
mod m0021_pages;
mod m0022_gone;
mod m0023_owner;
mod m0024_numbers;
mod m0025_documents;

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
            Box::new(Patient(m0003_documents::Migration)),
            Box::new(Patient(m0004_backups::Migration)),
            Box::new(Patient(m0005_monitor::Migration)),
            Box::new(Patient(m0006_configurations::Migration)),
            Box::new(Patient(m0010_freshness::Migration)),
            Box::new(Patient(m0011_failed_for::Migration)),
            Box::new(Patient(m0012_log_chunks::Migration)),
            Box::new(Patient(m0013_rules::Migration)),
            Box::new(Patient(m0015_upkeep::Migration)),
            Box::new(Patient(m0016_events::Migration)),
            Box::new(Patient(m0017_held_numbers::Migration)),
            Box::new(Patient(m0018_facets::Migration)),
            Box::new(Patient(m0021_pages::Migration)),
            Box::new(Patient(m0022_gone::Migration)),
            Box::new(Patient(m0023_owner::Migration)),
            Box::new(Patient(m0024_numbers::Migration)),
            Box::new(Patient(m0025_documents::Migration)),
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
        domain::{TaskSpec, task::Layers},
        store::{Location, Store},
    };

    async fn number(db: &DatabaseConnection, text: &str) -> i64 {
        let select = Statement::from_string(DbBackend::Sqlite, text);
        let row = db.query_one_raw(select).await.unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }

    /// A database of the first schema, and the directory that holds it.
    async fn of_the_first_schema() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(dir.path().join("watchbell.db"));
        let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let store = Store::connect(&location, clock).await.unwrap();
        Migrator::up(&store.inner.write, Some(1)).await.unwrap();
        (dir, store)
    }

    /// A run that was under way has had no `claim_at`, by which it now occupies its task.
    #[tokio::test]
    async fn a_run_that_was_under_way_still_occupies_its_task() {
        let (_dir, store) = of_the_first_schema().await;
        let db = &store.inner.write;
        let runs = [
            (1, "running", "NULL", "7", "NULL"),
            (2, "queued", "NULL", "NULL", "NULL"),
            (3, "queued", "9", "NULL", "NULL"),
            (4, "retry_wait", "11", "7", "NULL"),
            (5, "succeeded", "NULL", "7", "8"),
            (6, "failed", "NULL", "7", "8"),
            (7, "expired", "NULL", "NULL", "8"),
        ];
        for (id, state, claim_at, started_at, finished_at) in runs {
            let insert = format!(
                "INSERT INTO runs (id, task_id, task, kind, trigger_by, state, reason, message, counters, attempt, \
                 attempts_charged, priority, parameters, policy, dry_run, solo, due_at, queued_at, \
                 claim_at, attempt_started_at, finished_at, catch_up, principal, request_reason, revision, version) VALUES \
                 (x'0{id}', x'01', 't', 'k', 'schedule', '{state}', '', '', '{{}}', 1, 1, 5, '{{}}', '{{}}', 0, 1, \
                 5, 6, {claim_at}, {started_at}, {finished_at}, 0, 'schedule', '', 1, 1)"
            );
            db.execute_unprepared(&insert).await.unwrap();
        }

        store.migrate().await.unwrap();

        let of = |id: i64| format!("SELECT COALESCE(claim_at, 0) FROM runs WHERE id = x'0{id}'");
        assert_eq!(number(db, &of(1)).await, 7);
        assert_eq!(number(db, &of(2)).await, 0, "it stands in line");
        assert_eq!(number(db, &of(3)).await, 9);
        assert_eq!(number(db, &of(4)).await, 11);
        for ended in 5..=7 {
            assert_eq!(number(db, &of(ended)).await, 0, "{ended}");
        }
        for index in ["runs_newest", "task_facets_added"] {
            let gone = format!("SELECT count(*) FROM sqlite_master WHERE name = '{index}'");
            assert_eq!(number(db, &gone).await, 0, "{index}");
        }
    }

    /// A task's specification moves to its revision, where it always stood too, and its layers apart.
    #[tokio::test]
    async fn tasks_are_read_with_their_specification_and_layers() {
        let (_dir, store) = of_the_first_schema().await;
        let db = &store.inner.write;
        let of = |what: &str| TaskSpec {
            description: what.to_owned(),
            ..TaskSpec::default()
        };
        let layers = Layers {
            configuration: Some(serde_json::Map::from_iter([("icon".into(), "i".into())]).into()),
            ..Layers::default()
        };
        let layers_text = serde_json::to_string(&layers).unwrap();
        for (id, deleted_at) in [(1, "NULL"), (2, "9")] {
            for revision in 1..=2 {
                let spec = serde_json::to_string(&of(&format!("{id}.{revision}"))).unwrap();
                let insert = format!(
                    "INSERT INTO task_revisions (task_id, revision, effective_from, spec, principal, reason) \
                     VALUES (x'{id:032}', {revision}, {revision}, '{spec}', '', '')"
                );
                db.execute_unprepared(&insert).await.unwrap();
            }
            let spec = serde_json::to_string(&of(&format!("{id}.2"))).unwrap();
            let insert = format!(
                "INSERT INTO tasks (id, name, kind, spec, layers, revision, version, cursor_at, created_at, \
                 updated_at, deleted_at, audited_at, consecutive_failures) VALUES \
                 (x'{id:032}', 't', '', '{spec}', '{layers_text}', 2, 3, 4, 1, 2, {deleted_at}, 1, 0)"
            );
            db.execute_unprepared(&insert).await.unwrap();
        }

        store.migrate().await.unwrap();

        let tasks = store.tasks_all().await.unwrap();
        let deleted = store.tasks_deleted(None, 9).await.unwrap();
        for (id, tasks) in [(1, tasks), (2, deleted)] {
            assert_eq!(tasks.len(), 1);
            assert_eq!(tasks[0].spec.description, format!("{id}.2"));
            assert_eq!(tasks[0].layers, layers);
        }
    }
}
