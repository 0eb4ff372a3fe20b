//! What there is once in a cluster: its id, its clock, the pause of all, the configuration's hash.

use std::time::Duration;

use sea_orm::{DbBackend, FromQueryResult};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Store, Tx, convert, entity::cluster};
use crate::{
    clock::{self, Between, Stopwatch},
    domain::task::Pause,
    error::{Error, Result},
};

const ID: &str = "id";
const EPOCH: &str = "log_epoch";
/// When a server last opened the database.
const OPENED: &str = "opened_at";
pub(super) const PAUSE: &str = "pause";
/// How long a reading of the clock may take that is good enough, and how many are taken to have such a one.
const READ_WITHIN: Duration = Duration::from_millis(2);
const READINGS: usize = 3;

/// The pause of all, where there is one.
pub type GlobalPause = Option<Pause>;

#[derive(FromQueryResult)]
struct Micros {
    micros: i64,
}

impl Store {
    /// Identifies this database and its data directory; made on first use.
    pub async fn cluster_id(&self) -> Result<String> {
        self.once(ID, &Uuid::now_v7().to_string()).await
    }

    /// Raised when the log is replaced, as by a restore: resume tokens of another epoch are void.
    pub async fn log_epoch(&self) -> Result<String> {
        self.once(EPOCH, &Uuid::now_v7().simple().to_string()).await
    }

    pub async fn global_pause(&self) -> Result<GlobalPause> {
        Ok(self.value::<GlobalPause>(PAUSE).await?.flatten())
    }

    /// A value of the cluster, as JSON.
    pub async fn value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let found = self
            .sql("SELECT key, value FROM cluster WHERE key = ")
            .bind(key)
            .done();
        let found: Option<cluster::Model> = self.one(found).await?;
        found.map(|row| convert::read(&row.value)).transpose()
    }

    /// Writes something: a database that can only be read would serve, and decide nothing.
    pub(super) async fn prove_writable(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.set_value(OPENED, &tx.now()).await?;
        tx.commit().await
    }

    /// The value of `key`, which is `first` where it had none.
    async fn once(&self, key: &str, first: &str) -> Result<String> {
        if let Some(found) = self.value(key).await? {
            return Ok(found);
        }
        let mut tx = self.begin().await?;
        let insert = tx
            .sql("INSERT INTO cluster (key, value) VALUES (")
            .bind(key)
            .push(", ")
            .bind(convert::json(&first)?)
            .push(") ON CONFLICT (key) DO NOTHING")
            .done();
        tx.run(insert).await?;
        tx.commit().await?;
        let found = self.value(key).await?;
        found.ok_or_else(|| Error::internal(format!("the cluster's {key} vanished")))
    }

    /// The database's clock: PostgreSQL's, or on SQLite the host's. Where an answer took long, it is asked again, twice at
    /// the most: the first statement of a connection takes longer than those after it.
    pub async fn clock_reading(&self) -> Result<Between> {
        if self.inner.backend != DbBackend::Postgres {
            return Ok(Between::read(clock::wall_now(), Duration::ZERO));
        }
        let mut best: Option<(Between, Stopwatch)> = None;
        for _ in 0..READINGS {
            let asked = Stopwatch::start();
            let read = self
                .sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros");
            let row: Option<Micros> = self.one(read.done()).await?;
            let row = row.ok_or_else(|| Error::internal("PostgreSQL gave no time"))?;
            let read = Between::read(convert::instant(row.micros)?, asked.elapsed());
            if best.is_none_or(|(best, _)| read.width() < best.width()) {
                best = Some((read, Stopwatch::start()));
            }
            if read.width() <= READ_WITHIN {
                break;
            }
        }
        let (best, since) = best.ok_or_else(|| Error::internal("nobody asked for the time"))?;
        Ok(best.after(since.elapsed()))
    }

    /// Sets the clock by the database's.
    pub async fn anchor_clock(&self) -> Result<()> {
        let read = self.clock_reading().await?;
        self.inner.clock.anchor(read);
        Ok(())
    }
}

/// What the value of [`PAUSE`] says.
pub(super) fn pause_of(value: Option<&str>) -> Result<GlobalPause> {
    Ok(value
        .map(convert::read::<GlobalPause>)
        .transpose()?
        .flatten())
}

impl Tx {
    /// The pause of all, locked until this write is over so that nothing is decided beside it.
    pub async fn global_pause_locked(&mut self) -> Result<GlobalPause> {
        self.pause_locked(" FOR SHARE").await
    }

    /// The same for whoever will set it: to begin with the lesser lock and ask for the greater would
    /// let two of them wait for each other.
    pub async fn global_pause_to_set(&mut self) -> Result<GlobalPause> {
        self.pause_locked(" FOR UPDATE").await
    }

    async fn pause_locked(&mut self, lock: &str) -> Result<GlobalPause> {
        Ok(self.value::<GlobalPause>(PAUSE, lock).await?.flatten())
    }

    /// As [`Store::value`], within this write; `lock` is PostgreSQL's, such as ` FOR UPDATE`, or empty.
    pub(super) async fn value<T: DeserializeOwned>(
        &mut self,
        key: &str,
        lock: &str,
    ) -> Result<Option<T>> {
        let found = self
            .sql("SELECT key, value FROM cluster WHERE key = ")
            .bind(key)
            .postgres(lock)
            .done();
        let found: Option<cluster::Model> = self.one(found).await?;
        found.map(|row| convert::read(&row.value)).transpose()
    }

    pub async fn set_global_pause(&mut self, pause: &GlobalPause) -> Result<()> {
        self.rings.schedule = true;
        self.set_value(PAUSE, pause).await
    }

    /// Notes how far the end of the pause of all has come, for which nobody has to be woken.
    pub async fn note_global_pause(&mut self, pause: &Pause) -> Result<()> {
        self.set_value(PAUSE, &Some(pause)).await
    }

    /// Has schedulers look, once this is committed.
    pub fn ring_schedule(&mut self) {
        self.rings.schedule = true;
    }

    /// Sets a value of the cluster, as JSON.
    pub async fn set_value(&mut self, key: &str, value: &impl Serialize) -> Result<()> {
        let upsert = self
            .sql("INSERT INTO cluster (key, value) VALUES (")
            .bind(key)
            .push(", ")
            .bind(convert::json(value)?)
            .push(") ON CONFLICT (key) DO UPDATE SET value = excluded.value")
            .done();
        self.run(upsert).await?;
        Ok(())
    }
}
