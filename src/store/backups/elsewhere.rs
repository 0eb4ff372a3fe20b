//! Databases beside the server's own connections: frozen for a dump, copied, restored into, counted.
//!
//! They are read without the limits of everyday statements: a count of a large table takes as long as it takes.

use std::{path::Path, time::Duration};

use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    FromQueryResult, IsolationLevel, TransactionTrait as _,
    sqlx::{ConnectOptions as _, postgres::PgConnectOptions, sqlite::SqliteConnectOptions},
};

use super::facts::{DumpFacts, Orphans};
use crate::{
    error::{Error, Result, Thing},
    store::sql::Sql,
};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(FromQueryResult)]
struct Text {
    text: String,
}

#[derive(FromQueryResult)]
struct Commented {
    text: String,
    comment: Option<String>,
}

/// A database that is not the server's own connection.
#[derive(Debug)]
pub struct Elsewhere {
    db: DatabaseConnection,
}

/// A PostgreSQL database as of one instant; it stays so for as long as this lives.
#[derive(Debug)]
pub struct Frozen {
    tx: DatabaseTransaction,
    /// For `pg_dump --snapshot`.
    pub snapshot: String,
    db: DatabaseConnection,
}

impl Elsewhere {
    /// # Errors
    /// [`Error::Unavailable`]; the message names no password.
    pub async fn postgres(url: &str) -> Result<Self> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(1)
            .connect_timeout(CONNECT_WITHIN)
            .acquire_timeout(CONNECT_WITHIN)
            .sqlx_logging(false)
            .map_sqlx_postgres_opts(|options: PgConnectOptions| {
                options
                    .application_name("watchbell-backup")
                    .options([
                        ("statement_timeout", "0"),
                        ("lock_timeout", "60s"),
                        ("idle_in_transaction_session_timeout", "0"),
                    ])
                    .disable_statement_logging()
            });
        Self::connect(options).await
    }

    /// Opens a SQLite file that is there; for reading unless `writes`.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub async fn sqlite(file: &Path, writes: bool) -> Result<Self> {
        let file = file.to_owned();
        let mut options = ConnectOptions::new("sqlite://");
        options
            .max_connections(1)
            .connect_timeout(CONNECT_WITHIN)
            .acquire_timeout(CONNECT_WITHIN)
            .sqlx_logging(false)
            .map_sqlx_sqlite_opts(move |_| {
                let options = SqliteConnectOptions::new()
                    .filename(&file)
                    .create_if_missing(false)
                    .busy_timeout(BUSY_TIMEOUT)
                    .disable_statement_logging();
                match writes {
                    true => options,
                    false => options.pragma("query_only", "ON"),
                }
            });
        Self::connect(options).await
    }

    /// Makes a SQLite file by these statements.
    #[cfg(test)]
    pub(crate) async fn made_of(file: &Path, statements: &[&str]) {
        std::fs::File::create_new(file).unwrap();
        let made = Self::sqlite(file, true).await.unwrap();
        for statement in statements {
            made.db.execute_unprepared(statement).await.unwrap();
        }
        made.close().await;
    }

    pub(super) fn connection(&self) -> &DatabaseConnection {
        &self.db
    }

    async fn connect(options: ConnectOptions) -> Result<Self> {
        let connected = tokio::time::timeout(CONNECT_WITHIN, Database::connect(options)).await;
        match connected {
            Ok(Ok(db)) => Ok(Self { db }),
            Ok(Err(error)) => Err(Error::unavailable("the database", error)),
            Err(_) => Err(Error::unavailable("the database", "no answer within 10 s")),
        }
    }

    /// Begins a transaction that sees the database as it is now, for as long as it lives.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn freeze(self) -> Result<Frozen> {
        let begun = self.db.begin_with_config(
            Some(IsolationLevel::RepeatableRead),
            Some(AccessMode::ReadOnly),
        );
        let tx = begun.await?;
        let snapshot = text(&tx, "SELECT pg_export_snapshot() AS text").await?;
        Ok(Frozen {
            tx,
            snapshot,
            db: self.db,
        })
    }

    pub async fn facts(&self) -> Result<DumpFacts> {
        DumpFacts::read(&self.db).await
    }

    /// What refers to something that is not there.
    pub async fn orphans(&self) -> Result<Orphans> {
        Orphans::read(&self.db).await
    }

    /// SQLite: copies it into a new file, as of one instant.
    ///
    /// # Errors
    /// Where it cannot be read, or the file not written.
    pub async fn vacuum_into(&self, file: &Path) -> Result<()> {
        let Some(file) = file.to_str() else {
            return Err(Error::invalid("staging", "expected a path of UTF-8"));
        };
        let vacuum = format!("VACUUM INTO '{}'", file.replace('\'', "''"));
        self.db.execute_unprepared(&vacuum).await?;
        Ok(())
    }

    /// SQLite: whether the whole file is what it should be.
    ///
    /// # Errors
    /// What is damaged.
    pub async fn integrity_check(&self) -> Result<()> {
        let found = text(
            &self.db,
            "SELECT integrity_check AS text FROM pragma_integrity_check LIMIT 1",
        );
        match found.await?.as_str() {
            "ok" => Ok(()),
            damage => Err(Error::internal(format!(
                "the database is damaged: {damage}"
            ))),
        }
    }

    /// PostgreSQL: makes a database.
    ///
    /// # Errors
    /// [`Error::Denied`] without the right to; [`Error::AlreadyExists`].
    pub async fn create_database(&self, name: &str) -> Result<()> {
        let create = format!("CREATE DATABASE {} TEMPLATE template0", quoted(name));
        match self.db.execute_unprepared(&create).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let said = error.to_string();
                if said.contains("permission denied") {
                    return Err(Error::Denied(said));
                }
                if said.contains("already exists") {
                    return Err(Error::AlreadyExists {
                        what: Thing::Database,
                        id: name.to_owned(),
                    });
                }
                Err(error.into())
            }
        }
    }

    /// PostgreSQL: gives a database another name.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where there is one of that name.
    pub async fn rename_database(&self, from: &str, to: &str) -> Result<()> {
        let rename = format!("ALTER DATABASE {} RENAME TO {}", quoted(from), quoted(to));
        match self.db.execute_unprepared(&rename).await {
            Ok(_) => Ok(()),
            Err(error) if error.to_string().contains("already exists") => {
                Err(Error::AlreadyExists {
                    what: Thing::Database,
                    id: to.to_owned(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// PostgreSQL: the major version of the server.
    pub async fn major_version(&self) -> Result<u32> {
        let select = Sql::new(
            self.db.get_database_backend(),
            "SELECT current_setting('server_version_num') AS text",
        )
        .done();
        let row = self.db.query_one_raw(select).await?;
        let text = match &row {
            Some(row) => Text::from_query_result(row, "")?.text,
            None => String::new(),
        };
        let number: u32 = text
            .parse()
            .map_err(|_| Error::internal(format!("the server's version is {text:?}")))?;
        Ok(number / 10_000)
    }

    /// PostgreSQL: drops a database where it is there, whoever is connected to it.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
        self.db.execute_unprepared(&drop).await?;
        Ok(())
    }

    /// PostgreSQL: names of databases that begin so, with their comments; at most 1,000.
    pub async fn databases(&self, beginning: &str) -> Result<Vec<(String, Option<String>)>> {
        let select = Sql::new(
            self.db.get_database_backend(),
            "SELECT datname::text AS text, shobj_description(oid, 'pg_database') AS comment FROM pg_database \
             WHERE starts_with(datname::text, ",
        )
        .bind(beginning)
        .push(") ORDER BY 1 LIMIT 1000")
        .done();
        let rows = self.db.query_all_raw(select).await?;
        let read = rows.iter().map(|row| {
            let row = Commented::from_query_result(row, "")?;
            Ok((row.text, row.comment))
        });
        read.collect()
    }

    /// PostgreSQL: a database's comment; none where it has none, or is not there.
    pub async fn comment(&self, name: &str) -> Result<Option<String>> {
        let found = self.databases(name).await?.into_iter();
        let mut of_name = found.filter(|(found, _)| found == name);
        Ok(of_name.next().and_then(|(_, comment)| comment))
    }

    /// PostgreSQL: gives a database that one owns a comment.
    pub async fn set_comment(&self, name: &str, comment: &str) -> Result<()> {
        let comment = comment.replace('\'', "''");
        let set = format!(
            "SET standard_conforming_strings = on; COMMENT ON DATABASE {} IS '{comment}'",
            quoted(name)
        );
        self.db.execute_unprepared(&set).await?;
        Ok(())
    }

    /// PostgreSQL: what the database is called that this is connected to.
    pub async fn name(&self) -> Result<String> {
        text(&self.db, "SELECT current_database()::text AS text").await
    }

    /// Ends the connection in order.
    pub async fn close(self) {
        if let Err(error) = self.db.close().await {
            tracing::debug!(%error, "could not close a connection in order");
        }
    }
}

impl Frozen {
    pub async fn facts(&self) -> Result<DumpFacts> {
        DumpFacts::read(&self.tx).await
    }

    /// Lets the database go on.
    pub async fn thaw(self) {
        let Self { tx, db, .. } = self;
        if let Err(error) = tx.rollback().await {
            tracing::debug!(%error, "could not end a frozen transaction in order");
        }
        Elsewhere { db }.close().await;
    }
}

async fn text(db: &impl ConnectionTrait, select: &str) -> Result<String> {
    let select = Sql::new(db.get_database_backend(), select).done();
    let row = db.query_one_raw(select).await?;
    let row = row.ok_or_else(|| Error::internal("the database gave no answer"))?;
    Ok(Text::from_query_result(&row, "")?.text)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
