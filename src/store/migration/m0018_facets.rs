//! What tasks are found by, beside their rows: these are written by every run, and would carry each index along.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, FromQueryResult, Statement, Value},
};

use crate::domain::task::{Layers, Origin, work};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// `{uuid}`, `{text}` and, below, `{bytewise}` are the database's.
const STEPS: &[&str] = &[
    "CREATE TABLE task_facets (task_id {uuid} NOT NULL PRIMARY KEY, name {text} NOT NULL, kind {text} NOT NULL, \
     category {text} NOT NULL, added BOOLEAN NOT NULL, overridden BOOLEAN NOT NULL, work BIGINT NOT NULL, \
     built_in BIGINT NOT NULL, configured BIGINT NOT NULL, version BIGINT NOT NULL)",
    "CREATE INDEX task_facets_kind ON task_facets (kind, name)",
    "CREATE INDEX task_facets_category ON task_facets (category, name)",
    "CREATE INDEX task_facets_both ON task_facets (kind, category, name)",
    "CREATE INDEX task_facets_overridden ON task_facets (name) WHERE overridden",
    "CREATE INDEX task_facets_work ON task_facets (work, name) WHERE NOT added",
    "CREATE INDEX task_facets_added ON task_facets (work, name) WHERE added",
];

/// Last, since servers of before, which may still be at work, wait for them.
const STEPS_OF_TASKS: &[&str] = &[
    "CREATE INDEX tasks_paused ON tasks (name) WHERE pause IS NOT NULL AND deleted_at IS NULL",
    "CREATE INDEX tasks_paused_due ON tasks (next_due_at, name{bytewise}) WHERE pause IS NOT NULL AND next_due_at IS NOT NULL",
    // At one instant many may be due: an agenda shows them by name.
    "DROP INDEX tasks_wake",
    "CREATE INDEX tasks_wake ON tasks (wake_at, name{bytewise}) WHERE wake_at IS NOT NULL",
    "CREATE INDEX tasks_failing_name ON tasks (name) WHERE failing_since IS NOT NULL AND deleted_at IS NULL",
    "CREATE INDEX tasks_unaudited ON tasks (id) WHERE audited_at < cursor_at AND deleted_at IS NULL",
];

const PAGE: usize = 500;

#[derive(FromQueryResult)]
struct Row {
    id: uuid::Uuid,
    name: String,
    kind: String,
    version: i64,
    spec: String,
    layers: String,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let (uuid, text, bytewise) = match backend {
            DbBackend::Postgres => ("UUID", "TEXT COLLATE \"C\"", " COLLATE \"C\""),
            _ => ("BLOB", "TEXT", ""),
        };
        let db = manager.get_connection();
        for step in STEPS {
            let step = step.replace("{uuid}", uuid).replace("{text}", text);
            db.execute_unprepared(&step).await?;
        }
        let place = |number: usize| match backend {
            DbBackend::Postgres => format!("${number}"),
            _ => "?".to_owned(),
        };
        let mut after: Option<uuid::Uuid> = None;
        loop {
            let behind = after.map_or_else(String::new, |_| format!(" AND t.id > {}", place(1)));
            let select = format!(
                "SELECT t.id, t.name, t.kind, t.version, r.spec, l.layers FROM tasks t \
                 JOIN task_revisions r ON r.task_id = t.id AND r.revision = t.revision \
                 JOIN task_layers l ON l.task_id = t.id WHERE t.deleted_at IS NULL{behind} ORDER BY t.id LIMIT {PAGE}"
            );
            let values: Vec<Value> = after.map(Into::into).into_iter().collect();
            let select = Statement::from_sql_and_values(backend, select, values);
            let rows = db.query_all_raw(select).await?;
            for row in &rows {
                let row = Row::from_query_result(row, "")?;
                after = Some(row.id);
                let places: Vec<String> = (1..=10).map(place).collect();
                let insert = format!(
                    "INSERT INTO task_facets (task_id, name, kind, category, added, overridden, work, built_in, \
                     configured, version) VALUES ({})",
                    places.join(", ")
                );
                let insert = Statement::from_sql_and_values(backend, insert, row.facets());
                db.execute_raw(insert).await?;
            }
            if rows.len() < PAGE {
                break;
            }
        }
        for step in STEPS_OF_TASKS {
            let step = step.replace("{bytewise}", bytewise);
            db.execute_unprepared(&step).await?;
        }
        Ok(())
    }
}

impl Row {
    /// In the order of the columns. What cannot be read is found by its kind alone.
    fn facets(self) -> Vec<Value> {
        let spec: serde_json::Value = serde_json::from_str(&self.spec).unwrap_or_default();
        let category = spec["category"].as_str().unwrap_or_default().to_owned();
        let none = serde_json::Map::new();
        let parameters = spec["parameters"].as_object().unwrap_or(&none);
        let layers: Layers = serde_json::from_str(&self.layers).unwrap_or_default();
        let is_added = layers.origin() == Origin::Api;
        let lower = layers.lower();
        let work = work(&self.kind, parameters);
        vec![
            self.id.into(),
            self.name.into(),
            self.kind.into(),
            category.into(),
            is_added.into(),
            (!is_added && !layers.api.is_empty()).into(),
            work.into(),
            lower.built_in.into(),
            lower.configuration.into(),
            self.version.into(),
        ]
    }
}
