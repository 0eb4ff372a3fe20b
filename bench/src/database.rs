//! A fresh database for each server that is measured, gone with it.

use std::fmt;

use anyhow::{Context as _, bail};
use sea_orm::{ConnectOptions, ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};

/// Where PostgreSQL is; `scripts/test-postgres` sets it.
const VARIABLE: &str = "WATCHBELL_TEST_DATABASE";

/// What the server keeps its tables in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Sqlite,
    Postgresql,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgresql => "postgresql",
        })
    }
}

impl Kind {
    /// Those that there are here.
    pub(crate) fn available() -> Vec<Self> {
        if std::env::var_os(VARIABLE).is_some() {
            return vec![Self::Sqlite, Self::Postgresql];
        }
        eprintln!("SKIPPED on PostgreSQL: {VARIABLE} is not set; run `make bench`");
        vec![Self::Sqlite]
    }
}

/// PostgreSQL's version; fails where its commits are not durable.
///
/// # Errors
/// Where there is none, or its settings would make the figures mean nothing.
pub(crate) async fn durable_postgresql() -> anyhow::Result<String> {
    let url = std::env::var(VARIABLE).with_context(|| {
        format!("{VARIABLE} is not set: run `make bench` or `make bench-peers`")
    })?;
    let database = connect(&url).await?;
    for setting in ["fsync", "synchronous_commit"] {
        let value = show(&database, setting).await?;
        if value != "on" {
            bail!(
                "PostgreSQL has {setting} = {value}: set it to on, since commits decide most figures"
            );
        }
    }
    let version = show(&database, "server_version").await?;
    database.close().await?;
    // Debian writes its package's version after it.
    Ok(version.split(' ').next().unwrap_or(&version).to_owned())
}

async fn show(database: &DatabaseConnection, setting: &str) -> anyhow::Result<String> {
    let statement = Statement::from_string(DbBackend::Postgres, format!("SHOW {setting}"));
    let row = database.query_one_raw(statement).await?;
    Ok(row.context("no row")?.try_get_by_index(0)?)
}

/// Fills a table by a statement that must add so many rows: one that adds none leaves nothing to measure.
pub(crate) async fn insert(
    database: &DatabaseConnection,
    statement: &str,
    rows: usize,
) -> anyhow::Result<()> {
    let added = database.execute_unprepared(statement).await?;
    let added = added.rows_affected();
    if added != rows as u64 {
        bail!("{added} rows were added, not {rows}");
    }
    Ok(())
}

/// A database that nobody else uses.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) kind: Kind,
    /// PostgreSQL's.
    name: String,
    server: String,
}

impl Database {
    pub(crate) async fn create(kind: Kind) -> anyhow::Result<Self> {
        let mut database = Self {
            kind,
            name: format!("bench_{}", uuid::Uuid::now_v7().simple()),
            server: String::new(),
        };
        if kind == Kind::Postgresql {
            database.server = std::env::var(VARIABLE)
                .with_context(|| format!("{VARIABLE} is not set: run `make bench`"))?;
            let create = format!("CREATE DATABASE {}", database.name);
            connect(&database.server)
                .await?
                .execute_unprepared(&create)
                .await?;
        }
        Ok(database)
    }

    /// As the server's `--database` takes it.
    pub(crate) fn url(&self) -> String {
        if self.kind == Kind::Sqlite {
            return "sqlite".to_owned();
        }
        let (before, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let host = before.rsplit_once('/').map_or(before, |(host, _)| host);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{host}/{}{mark}{query}", self.name)
    }

    /// A connection past the server, to fill tables and to look at them.
    pub(crate) async fn connect(
        &self,
        data: &std::path::Path,
    ) -> anyhow::Result<DatabaseConnection> {
        match self.kind {
            Kind::Sqlite => {
                let file = data.join("watchbell.db");
                connect(&format!("sqlite://{}", file.display())).await
            }
            Kind::Postgresql => connect(&self.url()).await,
        }
    }

    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        if self.kind == Kind::Postgresql {
            let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            connect(&self.server)
                .await?
                .execute_unprepared(&drop)
                .await?;
        }
        Ok(())
    }
}

async fn connect(url: &str) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Ok(sea_orm::Database::connect(options).await?)
}
