//! Problems with who looks after them and which server has them, and when each probe last looked.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// `{text}` is the database's. A primary key cannot be changed in place on SQLite, so that the few rows there are
/// move to a new table.
const STEPS: &[&str] = &[
    "CREATE TABLE problems_new (kind {text} NOT NULL, subject {text} NOT NULL, replica {text} NOT NULL, \
     probe {text} NOT NULL, severity TEXT NOT NULL, message TEXT NOT NULL, action TEXT NOT NULL, \
     since BIGINT NOT NULL, until BIGINT, PRIMARY KEY (kind, subject, replica))",
    "INSERT INTO problems_new (kind, subject, replica, probe, severity, message, action, since, until) \
     SELECT kind, subject, '', CASE WHEN kind LIKE 'health.%' THEN 'perform-system-health-check' \
     WHEN kind LIKE 'content.%' THEN 'contents' WHEN kind = 'task.override_misfit' THEN 'catalogue' \
     ELSE 'auditor' END, severity, message, action, since, until FROM problems",
    "DROP TABLE problems",
    "ALTER TABLE problems_new RENAME TO problems",
    "CREATE INDEX problems_of ON problems (probe, replica)",
    "CREATE INDEX problems_subject ON problems (subject)",
    "CREATE INDEX problems_until ON problems (until) WHERE until IS NOT NULL",
    "CREATE TABLE probes (name {text} NOT NULL, replica {text} NOT NULL, looks BIGINT NOT NULL, \
     looked_at BIGINT NOT NULL, period BIGINT NOT NULL, PRIMARY KEY (name, replica))",
    // Whoever probes for the cluster locks this row, so it is always there.
    "INSERT INTO cluster (key, value) VALUES ('monitor_lease', 'null')",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = match manager.get_database_backend() {
            DbBackend::Postgres => "TEXT COLLATE \"C\"",
            _ => "TEXT",
        };
        let db = manager.get_connection();
        for step in STEPS {
            db.execute_unprepared(&step.replace("{text}", text)).await?;
        }
        Ok(())
    }
}
