//! How each number of documents is spelt: a number is one whatever its case.
//!
//! The first spelling is the number's, and its `twin` is 0. Others that are there from before, twins, stay numbers of
//! their own, and are counted from 1, so that they can be told. A trigger notes what is new, whoever adds it: servers of
//! an earlier version, which may still run, as well. That of each number one spelling is the first is the key's to see
//! to; of two who bring in a number at once, one waits for the other, and then finds its spelling.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// `{text}` and `{tail}` are the database's. Numbers are ASCII, and compare byte by byte, so that `lower` folds all that
/// they hold and nothing else on both databases.
const TABLE: &[&str] = &[
    "CREATE TABLE document_numbers (folded {text} NOT NULL, spelling {text} NOT NULL, twin BIGINT NOT NULL, \
     PRIMARY KEY (folded, twin)){tail}",
    "CREATE INDEX document_numbers_twins ON document_numbers (folded) WHERE twin > 0",
];

/// Before the numbers that are there are read: so none comes in between.
const TRIGGER_OF_POSTGRES: &[&str] = &[
    "CREATE OR REPLACE FUNCTION documents_note_numbers() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     INSERT INTO document_numbers (folded, spelling, twin) SELECT DISTINCT lower(number), number, 0 FROM added \
     ORDER BY lower(number), number ON CONFLICT DO NOTHING; RETURN NULL; END $$",
    "CREATE OR REPLACE TRIGGER documents_note_numbers AFTER INSERT ON documents REFERENCING NEW TABLE AS added \
     FOR EACH STATEMENT EXECUTE FUNCTION documents_note_numbers()",
];

const TRIGGER_OF_SQLITE: &[&str] = &[
    "CREATE TRIGGER documents_note_numbers AFTER INSERT ON documents BEGIN \
     INSERT INTO document_numbers (folded, spelling, twin) SELECT lower(NEW.number), NEW.number, 0 \
     WHERE NOT EXISTS (SELECT 1 FROM document_numbers WHERE folded = lower(NEW.number)); END",
];

/// The spelling that came first is the number's.
const NUMBERS: &str = "INSERT INTO document_numbers (folded, spelling, twin) SELECT folded, number, place - 1 FROM \
     (SELECT folded, number, row_number() OVER (PARTITION BY folded ORDER BY first_at, number) AS place FROM \
     (SELECT lower(number) AS folded, number, min(created_at) AS first_at FROM documents GROUP BY number) AS numbers) \
     AS spellings";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (text, tail, trigger) = match manager.get_database_backend() {
            DbBackend::Postgres => ("TEXT COLLATE \"C\"", "", TRIGGER_OF_POSTGRES),
            _ => ("TEXT", " WITHOUT ROWID", TRIGGER_OF_SQLITE),
        };
        let db = manager.get_connection();
        for step in TABLE {
            let step = step.replace("{text}", text).replace("{tail}", tail);
            db.execute_unprepared(&step).await?;
        }
        for step in trigger {
            db.execute_unprepared(step).await?;
        }
        db.execute_unprepared(NUMBERS).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use sea_orm_migration::{MigratorTrait as _, sea_orm::ConnectionTrait as _};

    use crate::{
        clock::ManualClock,
        domain::document::Number,
        store::{Location, Store, migration::Migrator},
    };

    const NAME: &str = "m0024_numbers";

    /// Numbers that differ in case alone are told apart from then on, and those that follow are not made.
    #[tokio::test]
    async fn numbers_that_are_there_keep_their_spellings_and_the_first_is_the_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(dir.path().join("watchbell.db"));
        let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let store = Store::connect(&location, clock).await.unwrap();
        let db = &store.inner.write;
        let steps = Migrator::migrations();
        let before = steps.iter().position(|step| step.name() == NAME).unwrap();
        Migrator::up(db, Some(u32::try_from(before).unwrap()))
            .await
            .unwrap();
        for (id, number, version, created_at) in [
            (1, "B-500", 1, 20),
            (2, "B-500", 2, 5),
            (3, "b-500", 1, 10),
            (4, "SOP-1", 1, 1),
        ] {
            let insert = format!(
                "INSERT INTO documents (id, number, major, minor, title, document_type, status, author, reviewer, approver, \
                 depends_on, created_at, updated_at, status_at, revision) VALUES (x'{id:032}', '{number}', {version}, 0, 't', \
                 '', 'draft', 'ann', '', '', '[]', {created_at}, 1, 1, 1)"
            );
            db.execute_unprepared(&insert).await.unwrap();
        }

        store.migrate().await.unwrap();

        let spelling = async |text: &str| {
            let number: Number = text.parse().unwrap();
            let found = store.spelling(&number).await.unwrap();
            found.map(|number| number.to_string())
        };
        // Its oldest version was made before the other spelling's.
        assert_eq!(store.number_twins().await.unwrap(), [["B-500", "b-500"]]);
        assert_eq!(spelling("b-500").await.as_deref(), Some("b-500"));
        assert_eq!(spelling("B-500").await.as_deref(), Some("B-500"));
        assert_eq!(spelling("sop-1").await.as_deref(), Some("SOP-1"));
        assert_eq!(spelling("sop-2").await, None);
    }
}
