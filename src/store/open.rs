//! Opening the database: connect, check whose it is and how old, bring the schema up to date.

use std::{
    collections::BTreeSet,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::{Context as _, bail};
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, DbErr,
    FromQueryResult, RuntimeErr,
    sqlx::{
        self, ConnectOptions as _, Connection as _, postgres::PgConnectOptions,
        sqlite::SqliteConnectOptions,
    },
};
use sea_orm_migration::MigratorTrait as _;
use tracing::info;

use super::{
    Bells, Inner, Store, Tail,
    advice::{postgres_advice, sqlite_advice, sqlite_code},
    floor::Floors,
    limited::{Limited, with_limits},
    log_waits::LogWaits,
    migration::Migrator,
    sql::Sql,
    tasks_count::{Counted, Latest},
};
use crate::{clock::SharedClock, error::Error};

const READERS: u32 = 8;
/// Of one server, for all it reads and writes, beside the one that listens: a start fills the pool, and PostgreSQL has a
/// hundred for everybody unless it is told otherwise.
const POSTGRES_CONNECTIONS: u32 = 8;
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Any number will do, as long as every server takes the same.
const MIGRATION_LOCK: i64 = 0x5761_7463_6862_656c;
/// How long the turn for it is waited for: by who asks for nothing else, and by a server, which says that it waits.
const MIGRATES_WITHIN: Duration = Duration::from_secs(55);
const PREPARES_WITHIN: Duration = Duration::from_secs(3);

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file, made if it is missing.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`.
    Postgres(String),
}

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

impl Store {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// Where the database is away, damaged, read-only, or was written by a newer Watchbell; the
    /// message says which and what to do.
    pub async fn open(location: &Location, clock: SharedClock) -> anyhow::Result<Self> {
        let store = Self::connect(location, clock).await?;
        store.prepare().await?;
        Ok(store)
    }

    /// Brings the schema up to date, writes once, and sets the clock by the database's.
    ///
    /// # Errors
    /// Where the schema is newer than this program, a migration fails, or the database cannot be written. Some of it
    /// comes right by itself: see [`may_come_right`](super::may_come_right).
    pub async fn prepare(&self) -> anyhow::Result<()> {
        self.migrate_within(PREPARES_WITHIN).await?;
        self.prove_writable().await.with_context(|| {
            let file = self.file().map(|file| format!(" {}", file.display()));
            format!(
                "could not write to the database{}: check that no other program holds it locked, that this \
                 user may write to it and to its folder, and that the disk is not full",
                file.unwrap_or_default()
            )
        })?;
        self.vacuum_if_small().await?;
        self.anchor_clock().await?;
        Ok(())
    }

    /// Connects, and touches nothing: for commands beside a running server.
    ///
    /// # Errors
    /// As [`Store::open`]; also where the schema is older than this program.
    pub async fn open_existing(location: &Location, clock: SharedClock) -> anyhow::Result<Self> {
        if let Location::Sqlite(path) = location
            && !path.exists()
        {
            bail!(
                "there is no database at {}: start the server once, or pass --data",
                path.display()
            );
        }
        let store = Self::connect(location, clock).await?;
        if !store.pending().await?.is_empty() {
            bail!("the database has an older schema: run `watchbell migrate`, or start the server");
        }
        store.anchor_clock().await?;
        Ok(store)
    }

    /// Connects, and looks at nothing.
    ///
    /// # Errors
    /// Where the database cannot be reached or opened.
    pub async fn connect(location: &Location, clock: SharedClock) -> anyhow::Result<Self> {
        let (write, read) = match location {
            Location::Sqlite(path) => {
                for_its_owner_only(path).with_context(|| sqlite_advice(path, None))?;
                let write = sqlite(path, 1, false).await;
                let read = sqlite(path, READERS, true);
                let opened = match write {
                    Ok(write) => read.await.map(|read| (write, read)),
                    Err(error) => Err(error),
                };
                opened.map_err(|error| {
                    let advice = sqlite_advice(path, sqlite_code(&error));
                    anyhow::Error::new(error).context(advice)
                })?
            }
            Location::Postgres(url) => {
                let pool = postgres(url).await.with_context(|| postgres_advice(url))?;
                (pool.clone(), pool)
            }
        };
        let inner = Inner {
            backend: write.get_database_backend(),
            write,
            read: Limited(read),
            clock,
            bells: Bells::default(),
            tail: Tail::default(),
            counted: Counted::default(),
            latest: Latest::default(),
            log_waits: LogWaits::default(),
            writer_suspect: AtomicBool::new(false),
            floors: Floors::default(),
            tells_compactly: AtomicBool::new(false),
            file: match location {
                Location::Sqlite(path) => Some(path.clone()),
                Location::Postgres(_) => None,
            },
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Brings the schema up to date, one server at a time; says which steps were taken.
    ///
    /// # Errors
    /// Where the schema is newer than this program, or a step fails: then nothing has changed. Where another server is
    /// at it for longer than a minute.
    pub async fn migrate(&self) -> anyhow::Result<Vec<String>> {
        self.migrate_within(MIGRATES_WITHIN).await
    }

    async fn migrate_within(&self, within: Duration) -> anyhow::Result<Vec<String>> {
        let db = &self.inner.write;
        if self.inner.backend != DbBackend::Postgres {
            let pending = self.pending().await?;
            if !pending.is_empty() {
                self.copy_before_migration().await?;
                Migrator::up(db, None)
                    .await
                    .context("could not bring the schema up to date")?;
            }
            return Ok(pending);
        }
        // Two servers that start on an empty database would collide.
        let Some(turn) = self.turn(MIGRATION_LOCK, within).await? else {
            let why = format!(
                "another server holds the lock of the schema's steps for longer than {within:?}"
            );
            return Err(Error::unavailable("database", why).into());
        };
        let done = self.migrate_locked().await;
        turn.end().await;
        done
    }

    async fn migrate_locked(&self) -> anyhow::Result<Vec<String>> {
        let pending = self.pending().await?;
        if !pending.is_empty() {
            let done = Migrator::up(&self.inner.write, None).await;
            done.context("could not bring the schema up to date")?;
        }
        Ok(pending)
    }

    /// Steps that this program knows and the database has not taken.
    async fn pending(&self) -> anyhow::Result<Vec<String>> {
        let known: Vec<String> = Migrator::migrations()
            .iter()
            .map(|step| step.name().to_owned())
            .collect();
        let tables = match self.inner.backend {
            DbBackend::Postgres => {
                "SELECT tablename::text AS name FROM pg_tables WHERE tablename = 'seaql_migrations' AND schemaname = ANY (current_schemas(false))"
            }
            _ => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'"
            }
        };
        let db = &self.inner.write;
        let advice = "could not read the database: if it is damaged, restore the newest copy";
        let table = db
            .query_one_raw(Sql::new(self.inner.backend, tables).done())
            .await;
        if table.context(advice)?.is_none() {
            return Ok(known);
        }
        let taken = Sql::new(
            self.inner.backend,
            "SELECT version AS name FROM seaql_migrations",
        );
        let rows = db.query_all_raw(taken.done()).await.context(advice)?;
        let mut taken = BTreeSet::new();
        for row in &rows {
            taken.insert(Name::from_query_result(row, "")?.name);
        }
        let unknown: Vec<&String> = taken.iter().filter(|name| !known.contains(name)).collect();
        if let Some(newest) = unknown.last() {
            bail!(
                "the database was written by a newer Watchbell (schema {newest}); this one is {} and \
                 knows up to {}: run the newer version, or restore the copy made before its migration",
                env!("CARGO_PKG_VERSION"),
                known.last().map_or("nothing", String::as_str),
            );
        }
        Ok(known
            .into_iter()
            .filter(|name| !taken.contains(name))
            .collect())
    }

    /// SQLite: a consistent copy beside the file, so that a step that goes wrong can be undone.
    async fn copy_before_migration(&self) -> anyhow::Result<()> {
        let Some(file) = self.file() else {
            return Ok(());
        };
        let any = Sql::new(DbBackend::Sqlite, "SELECT name FROM sqlite_master LIMIT 1").done();
        if self.inner.write.query_one_raw(any).await?.is_none() {
            return Ok(());
        }
        let stamp = self.inner.clock.now().strftime("%Y%m%dT%H%M%SZ");
        let copy = file.with_extension(format!("before-migration-{stamp}.db"));
        let vacuum = format!(
            "VACUUM INTO '{}'",
            copy.to_string_lossy().replace('\'', "''")
        );
        for_its_owner_only(&copy)
            .with_context(|| format!("could not make the copy {}", copy.display()))?;
        let made = self.inner.write.execute_unprepared(&vacuum).await;
        made.with_context(|| format!("could not copy the database to {}", copy.display()))?;
        info!(
            "copied the database to {} before the migration",
            copy.display()
        );
        Ok(())
    }
}

/// Makes an empty file that nobody else reads, where there is none: SQLite fills it, and gives its
/// journals the same mode.
fn for_its_owner_only(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

async fn sqlite(path: &Path, connections: u32, reader: bool) -> Result<DatabaseConnection, DbErr> {
    let file = path.to_owned();
    let is_new = std::fs::metadata(path).is_ok_and(|file| file.len() == 0);
    let mut options = ConnectOptions::new("sqlite://");
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // It is a file that this process has open: to ask whether it is there costs a way to the connection's thread
        // and back before each statement, and says nothing of it.
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_pool_opts(|options| {
            options.after_release(|connection, _| Box::pin(has_left_transaction(connection)))
        })
        .map_sqlx_sqlite_opts(move |_| {
            let options = SqliteConnectOptions::new()
                .filename(&file)
                .create_if_missing(!reader)
                .busy_timeout(BUSY_TIMEOUT)
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                .pragma("temp_store", "MEMORY")
                // Pages that many writes touch are copied into the file once for all of them. The log is
                // then some 16 MiB, and is cut to that where a long read has made it larger.
                .pragma("wal_autocheckpoint", "4000")
                .pragma("journal_size_limit", "33554432")
                .statement_cache_capacity(200)
                .disable_statement_logging();
            if reader {
                options.pragma("query_only", "ON")
            } else {
                // KiB, as the sign says; taken only as it is needed.
                let options = options.pragma("cache_size", "-8192");
                // Of one that is there already this would be a write.
                match is_new {
                    true => options.pragma("auto_vacuum", "INCREMENTAL"),
                    false => options,
                }
            }
        });
    Database::connect(options).await
}

/// Whether a connection may go to the next writer, who may be waiting for it already.
///
/// Where SQLite has rolled back by itself, as it does when the disk is full, there is nothing to roll back
/// any more, and the connection believes for good that it is in a transaction. Writes would be savepoints in
/// it: one that is given up leaves it open, and what the next ones commit goes with the connection.
async fn has_left_transaction(
    connection: &mut sqlx::SqliteConnection,
) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // The roll-back may be on its way.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

async fn postgres(url: &str) -> Result<DatabaseConnection, DbErr> {
    // The pool would try for long, and then say only that it has no connection.
    let failed = |error: sqlx::Error| DbErr::Conn(RuntimeErr::SqlxError(error.into()));
    match tokio::time::timeout(ACQUIRE_TIMEOUT, sqlx::PgConnection::connect(url)).await {
        Ok(first) => first.map_err(failed)?.close().await.map_err(failed)?,
        Err(_) => return Err(failed(sqlx::Error::PoolTimedOut)),
    }
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(POSTGRES_CONNECTIONS)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_timeout(ACQUIRE_TIMEOUT)
        .sqlx_logging(false)
        .map_sqlx_postgres_pool_opts(with_limits)
        .map_sqlx_postgres_opts(|options: PgConnectOptions| {
            options
                .application_name("watchbell")
                .options([
                    ("statement_timeout", "60s"),
                    // A replica that was stopped or cut off in the middle of a transaction holds its
                    // locks, and with them all others. Ours never wait for anything but the database.
                    // What waits behind it must give up before, or it would get the lock of the one that
                    // is ended, fall silent with it in turn, and so on for as many as there are.
                    ("lock_timeout", "4s"),
                    ("idle_in_transaction_session_timeout", "5s"),
                    // Every statement of ours that runs often has an index, in its order. A table that has
                    // just grown from nothing to a hundred thousand rows has no statistics yet: left to
                    // itself, PostgreSQL plans as for an empty one, and reads and sorts it all.
                    ("enable_seqscan", "off"),
                    ("enable_bitmapscan", "off"),
                    ("jit", "off"),
                    // A page by an index is read before another process could be started for it.
                    ("max_parallel_workers_per_gather", "0"),
                    // The same few statements come again and again, with arrays for whatever there is much
                    // of: what is planned once holds.
                    ("plan_cache_mode", "force_generic_plan"),
                ])
                .disable_statement_logging()
        });
    Database::connect(options).await
}
