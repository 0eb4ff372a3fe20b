//! SQLite: what the database's files hold that nobody needs, and giving it back.
//!
//! Rows that go leave pages behind, which only stay in the file; and the log beside it begins anew only at a moment at which
//! nobody reads from it, which among many readers may never come by itself.

use std::time::Duration;

use anyhow::{Context as _, bail};
use sea_orm::{
    ConnectionTrait as _, FromQueryResult,
    sqlx::{self, SqliteConnection},
};
use tracing::{info, warn};

use super::{Store, open::BUSY_TIMEOUT};
use crate::{
    clock::Stopwatch,
    error::{Error, Result},
};

/// A file of at most so many bytes is written anew at a start where it cannot give anything back otherwise: within a
/// second, and in a space that is there.
const ANEW_AT_A_START: i64 = 32 << 20;
/// How long writes are held up for readers of the log. Whoever begins to read after it was copied reads the file.
const READERS_END_WITHIN: Duration = Duration::from_millis(25);
/// Of `PRAGMA auto_vacuum`.
const INCREMENTAL: i64 = 2;

/// What SQLite's files hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub page_bytes: i64,
    pub pages: i64,
    /// Pages that hold nothing.
    pub free: i64,
    /// Whether the file can be made shorter in steps: those of before could not.
    pub gives_back: bool,
    /// Of the log beside the file.
    pub log_bytes: u64,
}

impl Room {
    /// The bytes that hold nothing.
    pub fn free_bytes(&self) -> i64 {
        self.free.saturating_mul(self.page_bytes)
    }

    fn bytes(&self) -> i64 {
        self.pages.saturating_mul(self.page_bytes)
    }
}

#[derive(FromQueryResult)]
struct Number {
    number: i64,
}

impl Store {
    /// What the files hold; none on PostgreSQL.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn room(&self) -> Result<Option<Room>> {
        let Some(file) = self.file() else {
            return Ok(None);
        };
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        let log_bytes = tokio::fs::metadata(log).await.map_or(0, |log| log.len());
        Ok(Some(Room {
            page_bytes: self.pragma("page_size").await?,
            pages: self.pragma("page_count").await?,
            free: self.pragma("freelist_count").await?,
            gives_back: self.pragma("auto_vacuum").await? == INCREMENTAL,
            log_bytes,
        }))
    }

    async fn pragma(&self, name: &str) -> Result<i64> {
        let select = self
            .sql("SELECT ")
            .push(name)
            .push(" AS number FROM pragma_")
            .push(name)
            .done();
        let row: Option<Number> = self.one(select).await?;
        row.map(|row| row.number)
            .ok_or_else(|| Error::internal(format!("SQLite gave no {name}")))
    }

    /// Gives up to so many free pages at the end of the file back, as one write.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn give_back(&self, pages: u32) -> Result<()> {
        let mut tx = self.begin().await?;
        let step = tx
            .sql(&format!("PRAGMA incremental_vacuum({pages})"))
            .done();
        tx.run(step).await?;
        tx.commit().await
    }

    /// Lets SQLite's log begin anew, and makes it empty, if who reads from it ends within a moment; says whether it did.
    /// Writes wait for as long. Must not be given up halfway.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn restart_log(&self) -> Result<bool> {
        // What can be copied without holding up writes is, so that little is left to do while they wait.
        let readers = self.inner.read.0.get_sqlite_connection_pool();
        let copied = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(readers);
        copied.await.map_err(failed)?;
        let pool = self.inner.write.get_sqlite_connection_pool();
        let mut connection = pool.acquire().await.map_err(failed)?;
        let waits = |within: Duration| format!("PRAGMA busy_timeout = {}", within.as_millis());
        run(&mut connection, &waits(READERS_END_WITHIN)).await?;
        let done = sqlx::query_as::<_, (i64, i64, i64)>("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut *connection)
            .await;
        run(&mut connection, &waits(BUSY_TIMEOUT)).await?;
        let (is_busy, ..) = done.map_err(failed)?;
        Ok(is_busy == 0)
    }

    /// SQLite: writes the whole file anew, without what holds nothing, and so that it can be made shorter in steps from
    /// then on; says how many bytes it had and has. It takes as long as copying it, and as much room again as is in use,
    /// for a moment twice. Broken off at any point, the file is as it was.
    ///
    /// # Errors
    /// On PostgreSQL; where there is no room, or another program writes to it.
    pub async fn vacuum(&self) -> anyhow::Result<(i64, i64)> {
        let Some(before) = self.room().await? else {
            bail!("PostgreSQL vacuums its tables by itself: see autovacuum in its documentation");
        };
        let write = &self.inner.write;
        // What is made beside the file would be held in memory.
        for step in [
            "PRAGMA auto_vacuum = INCREMENTAL",
            "PRAGMA temp_store = FILE",
            "VACUUM",
            "PRAGMA temp_store = MEMORY",
        ] {
            let done = write.execute_unprepared(step).await;
            done.context(
                "could not write the database anew; it is as it was: see that there is room for it beside the \
                 file and in the directory for temporary files, which SQLITE_TMPDIR names",
            )?;
        }
        let _ = self.restart_log().await?;
        let after = self.room().await?.unwrap_or_default();
        Ok((before.bytes(), after.bytes()))
    }

    /// Writes a small file of before anew, which could not be made shorter otherwise; of a larger one that only says how.
    pub(super) async fn vacuum_if_small(&self) -> anyhow::Result<()> {
        let Some(room) = self.room().await?.filter(|room| !room.gives_back) else {
            return Ok(());
        };
        if ANEW_AT_A_START < room.bytes() {
            info!(
                "the database's file cannot be made shorter while the server runs, whatever history goes: where that \
                 matters, stop the server once and run `watchbell vacuum`"
            );
            return Ok(());
        }
        let watch = Stopwatch::start();
        match self.vacuum().await {
            Ok(_) => info!(
                took_ms = watch.elapsed().as_millis(),
                "wrote the database anew, so that its file can be made shorter where history goes"
            ),
            // It works as ever, and the next start tries again.
            Err(error) => warn!("{error:#}"),
        }
        Ok(())
    }
}

async fn run(connection: &mut SqliteConnection, statement: &str) -> Result<()> {
    let statement = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
    let done = statement.execute(connection).await;
    done.map(drop).map_err(failed)
}

fn failed(error: sqlx::Error) -> Error {
    sea_orm::DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())).into()
}

#[cfg(test)]
mod tests {
    use sea_orm::sqlx::Connection as _;

    use super::*;
    use crate::store::plan::empty_store;

    async fn fill(store: &Store, rows: usize) {
        let fill = format!(
            "INSERT INTO cluster (key, value) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c \
             WHERE n < {rows}) SELECT 'k' || n || '-' || hex(randomblob(8)), hex(randomblob(500)) FROM c"
        );
        store.inner.write.execute_unprepared(&fill).await.unwrap();
    }

    async fn room(store: &Store) -> Room {
        store.room().await.unwrap().unwrap()
    }

    async fn run_on(store: &Store, statement: &str) {
        store
            .inner
            .write
            .execute_unprepared(statement)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_new_file_gives_back_what_holds_nothing_step_by_step() {
        let (_dir, store) = empty_store().await;
        fill(&store, 5000).await;
        let full = room(&store).await;
        assert!(full.gives_back);
        run_on(&store, "DELETE FROM cluster WHERE key LIKE 'k%'").await;
        let emptied = room(&store).await;
        assert_eq!(emptied.pages, full.pages);
        assert!(1000 < emptied.free, "{emptied:?}");

        store.give_back(100).await.unwrap();
        let shorter = room(&store).await;
        assert_eq!(shorter.free, emptied.free - 100);
        assert!(shorter.pages <= emptied.pages - 100, "{shorter:?}");
        store.give_back(1_000_000).await.unwrap();
        assert_eq!(room(&store).await.free, 0);
    }

    #[tokio::test]
    async fn a_file_of_before_is_written_anew_and_gives_back_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("watchbell.db");
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let mut before = SqliteConnection::connect(&url).await.unwrap();
        for statement in ["PRAGMA journal_mode = WAL", "CREATE TABLE t (t TEXT)"] {
            run(&mut before, statement).await.unwrap();
        }
        before.close().await.unwrap();
        let clock = std::sync::Arc::new(crate::clock::ManualClock::at(jiff::Timestamp::UNIX_EPOCH));
        let location = crate::store::Location::Sqlite(file);
        let store = Store::connect(&location, clock).await.unwrap();
        assert!(!room(&store).await.gives_back);
        fill_t(&store).await;

        store.vacuum_if_small().await.unwrap();
        let anew = room(&store).await;
        assert!(anew.gives_back);
        assert_eq!((anew.free, anew.log_bytes), (0, 0));
    }

    async fn fill_t(store: &Store) {
        run_on(store, "INSERT INTO t VALUES (hex(randomblob(100000)))").await;
        run_on(store, "DELETE FROM t").await;
    }

    #[tokio::test]
    async fn the_log_begins_anew_once_those_have_ended_who_read_from_it() {
        let (dir, store) = empty_store().await;
        let file = dir.path().join("watchbell.db");
        let url = format!("sqlite://{}", file.display());
        let mut reader = SqliteConnection::connect(&url).await.unwrap();
        fill(&store, 100).await;
        run(&mut reader, "BEGIN").await.unwrap();
        run(&mut reader, "SELECT count(*) FROM cluster")
            .await
            .unwrap();
        fill(&store, 5000).await;
        assert!(5 << 20 < room(&store).await.log_bytes);

        let watch = Stopwatch::start();
        assert!(!store.restart_log().await.unwrap(), "it is still read from");
        assert!(
            watch.elapsed() < Duration::from_secs(1),
            "nobody waits long"
        );
        // Writes wait for others as long as they did.
        let pool = store.inner.write.get_sqlite_connection_pool();
        let (waits,): (i64,) = sqlx::query_as("PRAGMA busy_timeout")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(u128::try_from(waits).unwrap(), BUSY_TIMEOUT.as_millis());
        fill(&store, 10).await;

        run(&mut reader, "COMMIT").await.unwrap();
        assert!(store.restart_log().await.unwrap());
        assert_eq!(room(&store).await.log_bytes, 0);
    }
    /// Reads without a break, on two connections: each begins before the other has ended.
    async fn read_on(url: String, turns: std::sync::Arc<std::sync::atomic::AtomicUsize>) {
        let mut reads = SqliteConnection::connect(&url).await.unwrap();
        let mut next = SqliteConnection::connect(&url).await.unwrap();
        let begin = ["BEGIN", "SELECT count(*) FROM cluster"];
        for step in begin {
            run(&mut reads, step).await.unwrap();
        }
        loop {
            for step in begin {
                run(&mut next, step).await.unwrap();
            }
            run(&mut reads, "COMMIT").await.unwrap();
            std::mem::swap(&mut reads, &mut next);
            turns.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn the_log_begins_anew_beside_readers_of_whom_one_reads_at_each_moment() {
        let (dir, store) = empty_store().await;
        let url = format!("sqlite://{}", dir.path().join("watchbell.db").display());
        fill(&store, 100).await;
        let turns = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let readers = (0..3).map(|_| tokio::spawn(read_on(url.clone(), turns.clone())));
        let readers: Vec<_> = readers.collect();
        let read = || turns.load(std::sync::atomic::Ordering::SeqCst);
        while read() < 10 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            fill(&store, 5000).await;
            assert!(5 << 20 < room(&store).await.log_bytes);
            // A reader that the machine keeps waiting for long is one to wait for, the next time.
            let mut looks = 0;
            while !store.restart_log().await.unwrap() {
                looks += 1;
                assert!(looks < 50, "it is read from at each moment");
            }
            assert!(room(&store).await.log_bytes < 1 << 20);
        }
        assert!(50 < read(), "they have read all the while");
        for reader in readers {
            assert!(!reader.is_finished());
            reader.abort();
        }
    }
}
