//! What is in a database: rows of each table, its schema, and what documents refer to.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult};
use serde::{Deserialize, Serialize};

use crate::{error::Result, store::sql::Sql};

/// What a dump must bring back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpFacts {
    pub server_version: String,
    /// Rows by table.
    pub tables: BTreeMap<String, i64>,
    /// Tables that extensions have brought, which are not counted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub of_extensions: BTreeSet<String>,
    /// The newest migration, where it is a database of this server.
    pub schema: String,
    /// What documents refer to, and its size.
    pub references: Vec<(String, u64)>,
}

/// Rows that refer to something that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphans {
    pub contents: i64,
    pub history: i64,
    pub dependants: i64,
}

#[derive(FromQueryResult)]
struct Table {
    label: String,
    quoted: String,
    of_extension: i64,
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

#[derive(FromQueryResult)]
struct Text {
    text: String,
}

#[derive(FromQueryResult)]
struct Reference {
    sha256: String,
    size: Option<i64>,
}

/// Tables of people, by what they are called, how statements name them, and whether an extension has brought them.
const SQLITE_TABLES: &str = "SELECT name AS label, '\"' || replace(name, '\"', '\"\"') || '\"' AS quoted, 0 AS of_extension \
                             FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1";
const POSTGRES_TABLES: &str = "SELECT CASE n.nspname WHEN 'public' THEN c.relname::text \
                               ELSE n.nspname || '.' || c.relname END AS label, \
                               quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS quoted, \
                               (SELECT count(*) FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
                               AND d.objid = c.oid AND d.deptype = 'e') AS of_extension \
                               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                               WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' \
                               AND NOT starts_with(n.nspname::text, 'pg_') ORDER BY 1";

impl DumpFacts {
    pub(super) async fn read(db: &impl ConnectionTrait) -> Result<Self> {
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        let version = match postgres {
            true => "SELECT current_setting('server_version') AS text",
            false => "SELECT sqlite_version() AS text",
        };
        let mut facts = Self {
            server_version: one::<Text>(db, version)
                .await?
                .map_or_else(String::new, |row| row.text),
            ..Self::default()
        };
        let tables = if postgres {
            POSTGRES_TABLES
        } else {
            SQLITE_TABLES
        };
        for table in all::<Table>(db, tables).await? {
            if 0 < table.of_extension {
                facts.of_extensions.insert(table.label);
                continue;
            }
            let count = format!("SELECT count(*) AS count FROM {}", table.quoted);
            let count: Option<Count> = one(db, &count).await?;
            facts
                .tables
                .insert(table.label, count.map_or(0, |row| row.count));
        }
        if !facts.is_ours() {
            return Ok(facts);
        }
        let schema = "SELECT version AS text FROM seaql_migrations ORDER BY version DESC LIMIT 1";
        let schema: Option<Text> = one(db, schema).await?;
        facts.schema = schema.map_or_else(String::new, |row| row.text);
        let references = "SELECT DISTINCT content_sha256 AS sha256, content_size AS size FROM documents \
                          WHERE content_sha256 IS NOT NULL ORDER BY 1";
        let references: Vec<Reference> = all(db, references).await?;
        facts.references = references
            .into_iter()
            .map(|row| (row.sha256, row.size.unwrap_or(0).max(0).unsigned_abs()))
            .collect();
        Ok(facts)
    }

    /// Whether it is a database of this server.
    pub fn is_ours(&self) -> bool {
        ["seaql_migrations", "documents", "contents", "cluster"]
            .iter()
            .all(|table| self.tables.contains_key(*table))
    }
}

impl Orphans {
    pub fn count(&self) -> i64 {
        self.contents + self.history + self.dependants
    }

    pub(super) async fn read(db: &impl ConnectionTrait) -> Result<Self> {
        let contents = "SELECT count(*) AS count FROM documents WHERE content_sha256 IS NOT NULL \
                        AND NOT EXISTS (SELECT 1 FROM contents WHERE contents.sha256 = documents.content_sha256)";
        let history = "SELECT count(*) AS count FROM document_history WHERE NOT EXISTS \
                       (SELECT 1 FROM documents WHERE documents.id = document_history.document_id)";
        let dependants = "SELECT count(*) AS count FROM document_dependants WHERE NOT EXISTS \
                          (SELECT 1 FROM documents WHERE documents.id = document_dependants.document_id)";
        let mut counts = [0; 3];
        for (count, select) in counts.iter_mut().zip([contents, history, dependants]) {
            *count = one::<Count>(db, select).await?.map_or(0, |row| row.count);
        }
        let [contents, history, dependants] = counts;
        Ok(Self {
            contents,
            history,
            dependants,
        })
    }
}

async fn all<M: FromQueryResult>(db: &impl ConnectionTrait, select: &str) -> Result<Vec<M>> {
    let select = Sql::new(db.get_database_backend(), select).done();
    let rows = db.query_all_raw(select).await?;
    Ok(rows
        .iter()
        .map(|row| M::from_query_result(row, ""))
        .collect::<std::result::Result<_, _>>()?)
}

async fn one<M: FromQueryResult>(db: &impl ConnectionTrait, select: &str) -> Result<Option<M>> {
    Ok(all(db, select).await?.into_iter().next())
}
