//! What there is once in a cluster: its id, its clock, the pause of all, the configuration's hash.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{DbBackend, FromQueryResult, sqlx::postgres::PgListener};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{
    Store, Tx, convert,
    entity::cluster,
    limited::{ANSWER_WITHIN, in_time},
};
use crate::{
    clock,
    domain::task::Pause,
    error::{Error, Result},
};

const ID: &str = "id";
const EPOCH: &str = "log_epoch";
/// When a server last opened the database.
const OPENED: &str = "opened_at";
const PAUSE: &str = "pause";
const CHANNEL: &str = "watchbell";
/// Who listens looks so often whether it could hear.
const HEARS_WITHIN: Duration = Duration::from_secs(10);

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

    /// The database's clock: PostgreSQL's, or on SQLite the host's.
    pub async fn clock_reading(&self) -> Result<Timestamp> {
        if self.inner.backend != DbBackend::Postgres {
            return Ok(clock::wall_now());
        }
        let read =
            self.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros");
        let row: Option<Micros> = self.one(read.done()).await?;
        let row = row.ok_or_else(|| Error::internal("PostgreSQL gave no time"))?;
        convert::instant(row.micros)
    }

    /// Sets the clock by the database's. Half the way there and back is taken off.
    pub async fn anchor_clock(&self) -> Result<()> {
        let watch = clock::Stopwatch::start();
        let reading = self.clock_reading().await?;
        let half = jiff::SignedDuration::try_from(watch.elapsed() / 2).unwrap_or_default();
        self.inner.clock.anchor(reading + half);
        Ok(())
    }

    /// PostgreSQL: rings the other replicas' bells, and ours when they ring. Until `stop`.
    pub async fn run_remote_bells(self, stop: CancellationToken) {
        if self.inner.backend != DbBackend::Postgres {
            return;
        }
        let mut remote = self.inner.bells.remote();
        let own = Uuid::now_v7().to_string();
        while !stop.is_cancelled() {
            let pool = self.inner.write.get_postgres_connection_pool();
            let heard = async {
                let mut listener = PgListener::connect_with(pool).await?;
                listener.listen(CHANNEL).await?;
                // Rings may have been missed while nobody listened.
                self.inner.bells.ring_all();
                let mut look = tokio::time::interval(HEARS_WITHIN);
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        rung = listener.recv() => {
                            // Our own come back to us: who waits here has heard them already.
                            if rung?.payload() != own {
                                self.inner.bells.ring_all();
                            }
                        }
                        _ = remote.changed() => {
                            // What rings meanwhile is told by the next one: a bell carries no data.
                            let ring = sea_orm::sqlx::query("SELECT pg_notify($1, $2)");
                            let rung = ring.bind(CHANNEL).bind(&own).execute(pool);
                            in_time(ANSWER_WITHIN, rung).await?;
                        }
                        // No bell may be that nothing happens, or that nothing comes through any more.
                        _ = look.tick() => {
                            let heard = sea_orm::sqlx::query("SELECT 1").execute(&mut listener);
                            in_time(ANSWER_WITHIN, heard).await?;
                        }
                    }
                }
            };
            let heard: Result<(), sea_orm::sqlx::Error> = heard.await;
            if let Err(error) = heard {
                warn!(%error, "the bells of the other replicas cannot be heard; trying again");
                stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1)))
                    .await;
            }
        }
    }
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
        let found = self
            .sql("SELECT key, value FROM cluster WHERE key = ")
            .bind(PAUSE)
            .postgres(lock)
            .done();
        let found: Option<cluster::Model> = self.one(found).await?;
        Ok(found
            .map(|row| convert::read::<GlobalPause>(&row.value))
            .transpose()?
            .flatten())
    }

    pub async fn set_global_pause(&mut self, pause: &GlobalPause) -> Result<()> {
        self.rings.schedule = true;
        self.set_value(PAUSE, pause).await
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
