//! Documents, their history, who depends on which number, and the contents that are stored.
//!
//! Days are text, `2026-03-01`, whose order is theirs. On PostgreSQL what lists are ordered by compares byte by
//! byte, as on SQLite, whatever the database's language.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// `{uuid}` and `{text}` are the database's.
const STEPS: &[&str] = &[
    "CREATE TABLE documents (id {uuid} NOT NULL PRIMARY KEY, number {text} NOT NULL, major BIGINT NOT NULL, \
     minor BIGINT NOT NULL, title TEXT NOT NULL, document_type {text} NOT NULL, status TEXT NOT NULL, \
     author TEXT NOT NULL, reviewer TEXT NOT NULL, approver TEXT NOT NULL, effective_date {text}, \
     activated_at BIGINT, obsolescence_date {text}, retired_at BIGINT, supersedes TEXT, depends_on TEXT NOT NULL, \
     content_sha256 {text}, content_size BIGINT, content_name TEXT, import_hash TEXT, created_at BIGINT NOT NULL, \
     updated_at BIGINT NOT NULL, status_at BIGINT NOT NULL, revision BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX documents_key ON documents (number, major, minor)",
    // Never two versions of a number in force, whatever the code does.
    "CREATE UNIQUE INDEX documents_in_force ON documents (number) \
     WHERE status = 'effective' OR status = 'scheduled_for_obsolescence'",
    "CREATE INDEX documents_status ON documents (status, number, major, minor)",
    "CREATE INDEX documents_type ON documents (document_type, number, major, minor)",
    "CREATE INDEX documents_effective ON documents (effective_date, number, major, minor) \
     WHERE effective_date IS NOT NULL",
    "CREATE INDEX documents_obsolescence ON documents (obsolescence_date, number, major, minor) \
     WHERE obsolescence_date IS NOT NULL",
    "CREATE INDEX documents_pending ON documents (effective_date, number, major, minor, status_at) \
     WHERE status = 'approved_pending_effective'",
    "CREATE INDEX documents_scheduled ON documents (obsolescence_date, number, major, minor, status_at) \
     WHERE status = 'scheduled_for_obsolescence'",
    "CREATE INDEX documents_activated ON documents (activated_at) WHERE activated_at IS NOT NULL",
    "CREATE INDEX documents_content ON documents (content_sha256) WHERE content_sha256 IS NOT NULL",
    "CREATE TABLE document_history (document_id {uuid} NOT NULL, revision BIGINT NOT NULL, at BIGINT NOT NULL, \
     verb TEXT NOT NULL, from_status TEXT, to_status TEXT NOT NULL, actor TEXT NOT NULL, principal TEXT NOT NULL, \
     comment TEXT NOT NULL, run TEXT NOT NULL, PRIMARY KEY (document_id, revision))",
    // Of documents that are not final only: so a look for dependants never reads history.
    "CREATE TABLE document_dependants (number {text} NOT NULL, document_id {uuid} NOT NULL, \
     PRIMARY KEY (number, document_id))",
    "CREATE INDEX document_dependants_of ON document_dependants (document_id)",
    "CREATE TABLE contents (sha256 {text} NOT NULL PRIMARY KEY, size BIGINT NOT NULL, touched_at BIGINT NOT NULL)",
    "CREATE INDEX contents_touched ON contents (touched_at, sha256)",
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
