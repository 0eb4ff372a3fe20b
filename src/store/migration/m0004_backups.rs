//! Policies, restore points, what verifications have found, who uses the repository, and plans of restores.
//!
//! `body` is the whole thing as JSON; the columns beside it are what it is found by.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// `{uuid}` and `{text}` are the database's.
const STEPS: &[&str] = &[
    "CREATE TABLE backup_policies (id {text} NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE restore_points (id {uuid} NOT NULL PRIMARY KEY, policy {text} NOT NULL, kind TEXT NOT NULL, \
     state TEXT NOT NULL, frozen_at BIGINT NOT NULL, verified_at BIGINT, drilled_at BIGINT, damaged_at BIGINT, \
     removed_at BIGINT, own_database BIGINT NOT NULL, source_bytes BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX restore_points_newest ON restore_points (frozen_at, id)",
    "CREATE INDEX restore_points_there ON restore_points (frozen_at, id) WHERE removed_at IS NULL",
    "CREATE INDEX restore_points_of ON restore_points (policy, frozen_at, id)",
    "CREATE INDEX restore_points_of_there ON restore_points (policy, frozen_at, id) WHERE removed_at IS NULL",
    "CREATE INDEX restore_points_good ON restore_points (kind, own_database, frozen_at) \
     WHERE removed_at IS NULL AND verified_at IS NOT NULL AND state = 'complete'",
    "CREATE INDEX restore_points_drilled ON restore_points (own_database, frozen_at) \
     WHERE removed_at IS NULL AND drilled_at IS NOT NULL",
    "CREATE INDEX restore_points_damaged ON restore_points (frozen_at) \
     WHERE removed_at IS NULL AND damaged_at IS NOT NULL",
    "CREATE TABLE backup_evidence (id {uuid} NOT NULL PRIMARY KEY, at BIGINT NOT NULL, level TEXT NOT NULL, \
     point {uuid}, body TEXT NOT NULL)",
    "CREATE INDEX backup_evidence_newest ON backup_evidence (at, id)",
    "CREATE INDEX backup_evidence_of ON backup_evidence (point, at, id) WHERE point IS NOT NULL",
    "CREATE INDEX backup_evidence_level ON backup_evidence (level, at, id)",
    "CREATE TABLE backup_reads (repository {text} NOT NULL, part BIGINT NOT NULL, parts BIGINT NOT NULL, \
     read_at BIGINT NOT NULL, PRIMARY KEY (repository, part))",
    "CREATE TABLE repository_leases (repository {text} NOT NULL, run_id {uuid} NOT NULL, attempt BIGINT NOT NULL, \
     mode TEXT NOT NULL, PRIMARY KEY (repository, run_id))",
    "CREATE TABLE restore_plans (token_hash {text} NOT NULL PRIMARY KEY, expires_at BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX restore_plans_expire ON restore_plans (expires_at)",
    // Whoever takes or looks for a lease locks this row, so it is always there.
    "INSERT INTO cluster (key, value) VALUES ('repository_leases', 'null')",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, text) = match manager.get_database_backend() {
            DbBackend::Postgres => ("UUID", "TEXT COLLATE \"C\""),
            _ => ("BLOB", "TEXT"),
        };
        let db = manager.get_connection();
        for step in STEPS {
            let step = step.replace("{uuid}", uuid).replace("{text}", text);
            db.execute_unprepared(&step).await?;
        }
        Ok(())
    }
}
