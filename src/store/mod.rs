//! The database: all SQL is here, and nothing else names `sea_orm`.
//!
//! Reads hang on [`Store`]; writes hang on [`Tx`]. So every write is part of a transaction, and the
//! events it tells of are committed with it. The bells ring after a commit; what they rang for is
//! in the tables, never in the bell.
//!
//! On SQLite there is one writer connection (`BEGIN IMMEDIATE`) and a pool of readers; on PostgreSQL
//! one pool. What must be quick is set-based: many rows in one statement and one transaction.
//! Locks are taken in one order: tasks (by id), then runs.

mod advice;
mod audits;
mod away;
mod backups;
mod bell;
mod cluster;
mod coming;
mod configurations;
mod contents;
mod convert;
mod cursors;
mod decided;
mod documents;
mod entity;
mod events;
mod facets;
mod fence;
mod floor;
mod health;
mod ledger;
mod ledger_list;
mod limited;
mod lines;
mod log;
mod log_waits;
mod migration;
mod near;
mod open;
mod ordered;
mod overdue;
mod page;
#[cfg(test)]
pub(crate) mod plan;
mod probes;
mod problems;
mod pruning;
mod queue;
mod remote;
mod replicas;
mod requests;
mod revisions;
mod rows;
mod runs;
mod runs_claim;
mod runs_finish;
mod runs_follow;
mod runs_history;
mod runs_list;
mod specs;
mod sql;
mod staleness;
mod tail;
mod tasks;
mod tasks_beside;
mod tasks_count;
mod tasks_ended;
mod tasks_list;
mod tasks_paused;
mod turn;
mod upkeep;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    FromQueryResult, SqliteTransactionMode, Statement, TransactionOptions, Value,
};

pub use self::{
    audits::{Audited, Mark, Marked, SlotPlace},
    away::may_come_right,
    backups::{DumpFacts, Elsewhere, Frozen, LeaseMode, Leased, Orphans, PointFilter, PointPlace},
    bell::{Bells, TakesQueued},
    cluster::GlobalPause,
    coming::{Coming, ComingPlace},
    contents::StoredContent,
    cursors::{CourseRow, Planned},
    decided::{Decided, ReadyWrite},
    documents::{
        CHANGED, Change, Days, DocumentFilter, Due, DueDocument, Imported, Known, ListPlace,
        Numbers, People, Spelling, Spellings, Stranded, VersionOf, changed,
    },
    facets::{Adrift, Double, LowerOf},
    log_waits::LogWait,
    open::Location,
    ordered::ToOrder,
    overdue::Waiting,
    page::{Page, PageOf},
    probes::{Mark as ProbeMark, ProbeLease},
    problems::Source,
    pruning::{LogBite, OldLogs},
    queue::{QueueCounts, QueueOutlook},
    replicas::ReplicaRow,
    requests::{Remember, StoredReply},
    revisions::SpecOf,
    runs::LiveRun,
    runs_finish::{AttemptEnd, Ended},
    runs_history::Figures,
    runs_list::RunFilter,
    staleness::{FreshnessCheck, FreshnessRow},
    tail::{Complete, Hindrance, Tail},
    tasks_count::TaskCounts,
    tasks_list::TaskFilter,
    tasks_paused::PausedTask,
    turn::Turn,
    upkeep::Room,
};
use self::{limited::Limited, rows::Column};
use crate::{
    clock::SharedClock,
    domain::{NewEvent, RunId, TaskId},
    error::{Error, Result},
};

/// A handle on the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

/// A row of which only the id is read.
#[derive(FromQueryResult)]
struct Id {
    id: uuid::Uuid,
}

#[derive(Debug)]
struct Inner {
    write: DatabaseConnection,
    read: Limited<DatabaseConnection>,
    backend: DbBackend,
    clock: SharedClock,
    bells: Bells,
    tail: Tail,
    counted: tasks_count::Counted,
    latest: tasks_count::Latest,
    log_waits: log_waits::LogWaits,
    /// SQLite: the writer connection saw an error after which its state is not known.
    writer_suspect: AtomicBool,
    /// SQLite: the database file.
    file: Option<PathBuf>,
    floors: floor::Floors,
    /// Every server that lives reads events of runs in few bytes.
    tells_compactly: AtomicBool,
}

/// A write in progress. Dropped without [`Tx::commit`], it never happened.
#[derive(Debug)]
pub struct Tx {
    tx: Option<Limited<DatabaseTransaction>>,
    store: Store,
    now: Timestamp,
    told: Vec<NewEvent>,
    rings: bell::Rings,
    fence: Option<(RunId, i64)>,
    /// Tasks of which a run has ended in this write, and who stands first in the lines behind such.
    freed: BTreeSet<TaskId>,
    heads: BTreeMap<TaskId, RunId>,
    /// PostgreSQL: what is written in the same statement as the events.
    with_events: Option<sql::Sql>,
    /// Runs that may be claimed by this write, and are not claimed in it.
    ready: BTreeSet<RunId>,
    /// When the first was due of those that this write has put into the queue.
    queued_from: Option<i64>,
    failed: bool,
}

impl Store {
    /// Begins a write.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the database is away.
    pub async fn begin(&self) -> Result<Tx> {
        if self.inner.writer_suspect.swap(false, Ordering::SeqCst) {
            self.close_writer().await;
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let begun = limited::begin(&self.inner.write, options).await;
        let tx = begun.inspect_err(|_| self.suspect_writer())?;
        let now = self.inner.clock.now();
        self.inner.latest.note(now);
        Ok(Tx {
            tx: Some(Limited(tx)),
            store: self.clone(),
            now,
            told: Vec::new(),
            rings: bell::Rings::default(),
            fence: None,
            freed: BTreeSet::new(),
            heads: BTreeMap::new(),
            with_events: None,
            ready: BTreeSet::new(),
            queued_from: None,
            failed: false,
        })
    }

    pub fn bells(&self) -> &Bells {
        &self.inner.bells
    }

    /// The process's window on the newest events.
    pub fn tail(&self) -> &Tail {
        &self.inner.tail
    }

    /// `sqlite` or `postgresql`.
    pub fn kind(&self) -> &'static str {
        match self.inner.backend {
            DbBackend::Postgres => "postgresql",
            _ => "sqlite",
        }
    }

    /// SQLite's file; none on PostgreSQL.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.inner.file.as_deref()
    }

    /// A small read, to see whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        let ping = sql::Sql::new(self.inner.backend, "SELECT 1 AS one").done();
        self.inner.read.query_one_raw(ping).await?;
        Ok(())
    }

    /// Ends the connections in order. On SQLite the last one takes what was written into the file,
    /// which then is whole without the log beside it.
    pub async fn close(&self) {
        // The writer last: a reader may not write that.
        for pool in [&self.inner.read.0, &self.inner.write] {
            if let Err(error) = pool.close_by_ref().await {
                tracing::warn!(%error, "could not close the database in order");
            }
        }
    }

    fn sql(&self, text: &str) -> sql::Sql {
        sql::Sql::new(self.inner.backend, text)
    }

    async fn all<M: FromQueryResult>(&self, statement: Statement) -> Result<Vec<M>> {
        let rows = self.inner.read.query_all_raw(statement).await?;
        Ok(rows
            .iter()
            .map(|row| M::from_query_result(row, ""))
            .collect::<Result<_, _>>()?)
    }

    async fn one<M: FromQueryResult>(&self, statement: Statement) -> Result<Option<M>> {
        let row = self.inner.read.query_one_raw(statement).await?;
        Ok(row.map(|row| M::from_query_result(&row, "")).transpose()?)
    }

    fn suspect_writer(&self) {
        if self.inner.backend == DbBackend::Sqlite {
            self.inner.writer_suspect.store(true, Ordering::SeqCst);
        }
    }

    /// After an error that is not a constraint's nobody knows what the connection still holds to be true of
    /// the file. A fresh one reads it again.
    async fn close_writer(&self) {
        let pool = self.inner.write.get_sqlite_connection_pool();
        match pool.acquire().await {
            Ok(connection) => {
                if let Err(error) = connection.close().await {
                    tracing::warn!(%error, "could not close the writer connection in order");
                }
            }
            Err(error) => tracing::warn!(%error, "could not get at the writer connection"),
        }
    }
}

impl Tx {
    /// The instant at which this write happens; every statement of it uses this one.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Adds to the log what this write will have done.
    pub fn tell(&mut self, event: NewEvent) {
        self.told.push(event);
    }

    /// Makes it true, tells of it, and rings.
    ///
    /// # Errors
    /// [`Error::Aborted`] where a handler's right to write has ended meanwhile; nothing is written.
    pub async fn commit(mut self) -> Result<()> {
        self.check_fence().await?;
        self.move_lines().await?;
        let told = std::mem::take(&mut self.told);
        self.rings.log = !told.is_empty();
        self.rings.queue |= !self.ready.is_empty();
        self.append(told).await?;
        let Some(tx) = self.tx.take() else {
            return Err(Error::internal("a transaction that is over was committed"));
        };
        let _rings = bell::Rung(&self.store, self.rings, self.queued_from);
        let committed = limited::within(self.store.inner.backend, tx.0.commit()).await;
        committed.inspect_err(|_| self.store.suspect_writer())?;
        Ok(())
    }

    fn sql(&self, text: &str) -> sql::Sql {
        self.store.sql(text)
    }

    fn backend(&self) -> DbBackend {
        self.store.inner.backend
    }

    fn is_postgres(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }

    /// Inserts rows; `constants` are further columns, and what stands in all of them.
    async fn insert(
        &mut self,
        table: &str,
        columns: &[Column],
        constants: &[(&str, &str)],
        rows: Vec<Vec<Value>>,
        tail: &str,
    ) -> Result<()> {
        for insert in rows::inserts(self.backend(), table, columns, constants, rows, tail) {
            self.run(insert).await?;
        }
        Ok(())
    }

    /// Runs a statement; says how many rows it touched.
    async fn run(&mut self, statement: Statement) -> Result<u64> {
        let done = self.open()?.execute_raw(statement).await;
        Ok(self.check(done)?.rows_affected())
    }

    async fn all<M: FromQueryResult>(&mut self, statement: Statement) -> Result<Vec<M>> {
        let rows = self.open()?.query_all_raw(statement).await;
        Ok(self
            .check(rows)?
            .iter()
            .map(|row| M::from_query_result(row, ""))
            .collect::<Result<_, _>>()?)
    }

    async fn one<M: FromQueryResult>(&mut self, statement: Statement) -> Result<Option<M>> {
        let row = self.open()?.query_one_raw(statement).await;
        let row = self.check(row)?;
        Ok(row.map(|row| M::from_query_result(&row, "")).transpose()?)
    }

    /// The transaction, unless a statement of it has failed: what follows would not be part of it.
    fn open(&self) -> Result<&Limited<DatabaseTransaction>> {
        match &self.tx {
            Some(tx) if !self.failed => Ok(tx),
            _ => Err(Error::internal(
                "a statement in a transaction that has failed",
            )),
        }
    }

    fn check<T>(&mut self, done: Result<T, DbErr>) -> Result<T> {
        if let Err(error) = &done {
            self.failed = true;
            if error.sql_err().is_none() {
                self.store.suspect_writer();
            }
        }
        Ok(done?)
    }
}
