//! Documents that are found by their people; why a day was past when it was approved, and what was to be superseded and is
//! not; who depends on a number that is dead; and which are in force without content.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// `{bytewise}` is the database's: so `lower` folds the letters a to z, and nothing else, on both.
const STEPS: &[&str] = &[
    "ALTER TABLE documents ADD COLUMN backdated_reason TEXT",
    "ALTER TABLE documents ADD COLUMN supersedes_nothing TEXT",
    "CREATE INDEX documents_author ON documents (lower(author{bytewise}), number, major, minor)",
    "CREATE INDEX documents_reviewer ON documents (lower(reviewer{bytewise}), number, major, minor) WHERE reviewer <> ''",
    "CREATE INDEX documents_approver ON documents (lower(approver{bytewise}), number, major, minor) WHERE approver <> ''",
    // With what its condition names, so that it is enough to count by.
    "CREATE INDEX documents_bare ON documents (document_type, status, content_sha256) \
     WHERE content_sha256 IS NULL AND (status = 'effective' OR status = 'scheduled_for_obsolescence')",
    "ALTER TABLE document_dependants ADD COLUMN dead BOOLEAN NOT NULL DEFAULT false",
    "UPDATE document_dependants SET dead = true WHERE NOT EXISTS (SELECT 1 FROM documents d \
     WHERE d.number = document_dependants.number AND d.status <> 'superseded' AND d.status <> 'obsolete' \
     AND d.status <> 'terminated')",
    "CREATE INDEX document_dependants_dead ON document_dependants (number, document_id) WHERE dead",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let bytewise = match manager.get_database_backend() {
            DbBackend::Postgres => " COLLATE \"C\"",
            _ => "",
        };
        let db = manager.get_connection();
        for step in STEPS {
            db.execute_unprepared(&step.replace("{bytewise}", bytewise))
                .await?;
        }
        Ok(())
    }
}
