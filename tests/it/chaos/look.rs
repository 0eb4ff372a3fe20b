//! Looks into the database, past the product.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, QueryResult, Statement, TryGetable};
use serde::Deserialize;
use uuid::Uuid;
use watchbell::domain::{Event, TaskId};

/// A connection that is made again when it is lost.
#[derive(Debug)]
pub(super) struct Look {
    database: DatabaseConnection,
}

#[derive(Clone, Debug)]
pub(super) struct TaskRow {
    pub(super) name: String,
    pub(super) created_at: i64,
    pub(super) cursor_at: i64,
}

#[derive(Clone, Debug)]
pub(super) struct SlotRow {
    pub(super) task: Uuid,
    pub(super) after_at: i64,
    pub(super) upto_at: i64,
    pub(super) outcome: String,
    pub(super) reason: String,
    pub(super) count: i64,
    pub(super) last_at: Option<i64>,
    pub(super) run: Option<Uuid>,
}

#[derive(Clone, Debug)]
pub(super) struct RunRow {
    pub(super) id: Uuid,
    pub(super) task: Uuid,
    pub(super) kind: String,
    pub(super) trigger: String,
    pub(super) state: String,
    pub(super) slot_at: Option<i64>,
    pub(super) attempt: i64,
    pub(super) charged: i64,
    pub(super) finished_at: Option<i64>,
    pub(super) leased: bool,
    pub(super) version: i64,
}

/// An event about a run.
#[derive(Clone, Debug)]
pub(super) struct RunEvent {
    pub(super) sequence: i64,
    pub(super) kind: String,
    pub(super) run: Told,
}

/// A run, as an event tells it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Told {
    pub(super) id: Uuid,
    pub(super) task: String,
    pub(super) state: String,
    /// The task's runs must not overlap.
    pub(super) solo: bool,
    pub(super) version: i64,
}

impl Look {
    pub(super) async fn into(url: &str) -> Self {
        let mut options = sea_orm::ConnectOptions::new(url);
        options
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(30))
            .sqlx_logging(false);
        Self {
            database: sea_orm::Database::connect(options).await.unwrap(),
        }
    }

    /// Whether the database answers a connection that is made now.
    pub(super) async fn answers(url: &str) -> bool {
        let mut options = sea_orm::ConnectOptions::new(url);
        options
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(2))
            .sqlx_logging(false);
        let Ok(database) = sea_orm::Database::connect(options).await else {
            return false;
        };
        let answers = database.execute_unprepared("SELECT 1").await.is_ok();
        // It has answered, or not; how it ends is nobody's concern.
        let _ = database.close().await;
        answers
    }

    /// None while the database is away.
    pub(super) async fn rows(&self, query: &str) -> Option<Vec<QueryResult>> {
        let backend = self.database.get_database_backend();
        let statement = Statement::from_string(backend, query);
        self.database.query_all_raw(statement).await.ok()
    }

    /// The first column of the first row.
    pub(super) async fn number(&self, query: &str) -> Option<i64> {
        let rows = self.rows(query).await?;
        get::<Option<i64>>(rows.first()?, 0)
    }

    async fn all(&self, query: &str) -> Vec<QueryResult> {
        let rows = self.rows(query).await;
        rows.unwrap_or_else(|| panic!("the database is away: {query}"))
    }

    pub(super) async fn tasks(&self) -> BTreeMap<Uuid, TaskRow> {
        let rows = self
            .all("SELECT id, name, created_at, cursor_at FROM tasks")
            .await;
        let task = |row: &QueryResult| {
            let task = TaskRow {
                name: get(row, 1),
                created_at: get(row, 2),
                cursor_at: get(row, 3),
            };
            (get(row, 0), task)
        };
        rows.iter().map(task).collect()
    }

    /// The ledger, task by task, oldest first.
    pub(super) async fn slots(&self) -> Vec<SlotRow> {
        let query = "SELECT task_id, after_at, upto_at, outcome, reason, count, last_at, run_id \
                     FROM slots ORDER BY task_id, after_at";
        let rows = self.all(query).await;
        let slot = |row: &QueryResult| SlotRow {
            task: get(row, 0),
            after_at: get(row, 1),
            upto_at: get(row, 2),
            outcome: get(row, 3),
            reason: get(row, 4),
            count: get(row, 5),
            last_at: get(row, 6),
            run: get(row, 7),
        };
        rows.iter().map(slot).collect()
    }

    pub(super) async fn runs(&self) -> BTreeMap<Uuid, RunRow> {
        let query = "SELECT id, task_id, kind, trigger_by, state, slot_at, attempt, attempts_charged, \
                     finished_at, lease_owner, version FROM runs";
        let rows = self.all(query).await;
        let run = |row: &QueryResult| {
            let run = RunRow {
                id: get(row, 0),
                task: get(row, 1),
                kind: get(row, 2),
                trigger: get(row, 3),
                state: get(row, 4),
                slot_at: get(row, 5),
                attempt: get(row, 6),
                charged: get(row, 7),
                finished_at: get(row, 8),
                leased: get::<Option<Uuid>>(row, 9).is_some(),
                version: get(row, 10),
            };
            (run.id, run)
        };
        rows.iter().map(run).collect()
    }

    /// Attempts that were not the last of their run, by run, in order.
    pub(super) async fn attempts(&self) -> BTreeMap<Uuid, Vec<i64>> {
        let query = "SELECT run_id, attempt FROM run_attempts ORDER BY run_id, attempt";
        let mut attempts: BTreeMap<Uuid, Vec<i64>> = BTreeMap::new();
        for row in &self.all(query).await {
            attempts.entry(get(row, 0)).or_default().push(get(row, 1));
        }
        attempts
    }

    /// What the log tells of runs, in order.
    pub(super) async fn events(&self) -> Vec<RunEvent> {
        let query = "SELECT sequence, kind, payload, task_id, subject FROM events WHERE kind LIKE 'run.%' \
                     ORDER BY sequence";
        let rows = self.all(query).await;
        let event = |row: &QueryResult| {
            let of = get::<Option<Uuid>>(row, 3).map(TaskId);
            let kind: String = get(row, 1);
            let event = Event::new(
                get(row, 0),
                Timestamp::MIN,
                kind.clone(),
                of,
                get(row, 4),
                get(row, 2),
            );
            let run = serde_json::to_value(&*event.run().unwrap()).unwrap();
            RunEvent {
                sequence: event.sequence,
                kind,
                run: serde_json::from_value(run).unwrap(),
            }
        };
        rows.iter().map(event).collect()
    }
}

fn get<T: TryGetable>(row: &QueryResult, column: usize) -> T {
    row.try_get_by_index(column).unwrap()
}
