//! The servers that share this database.

use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use sea_orm::{EntityTrait as _, QueryOrder as _, QuerySelect as _};

use super::{Id, Store, Tx, convert, convert::micros, entity::replica};
use crate::{domain::ReplicaId, error::Result};

/// What a server of this version reads: 1 is runs of the log in few bytes; 2 is tokens, too, that name the thing they are
/// of. Those of before say nothing, which is 0.
const READS: i16 = 2;
/// A server of which nothing was heard for longer does not live: it gives a sign every five seconds.
const LIVES: SignedDuration = SignedDuration::from_secs(60);

/// A server, by its last sign of life.
#[derive(Clone, Debug)]
pub struct ReplicaRow {
    pub id: ReplicaId,
    pub host: String,
    pub process_id: i64,
    pub version: String,
    pub configuration_hash: String,
    /// Which rules of time zones it has, as JSON; empty where it does not tell.
    pub rules: String,
    pub started_at: Timestamp,
    pub seen_at: Timestamp,
}

/// A replica without a sign of life for longer than this is taken for dead.
const ALIVE_FOR: SignedDuration = SignedDuration::from_secs(30);

impl ReplicaRow {
    /// Whether its sign of life is recent. One that a clock which was ahead has stamped says nothing: who lives gives
    /// another.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen_at).abs() <= ALIVE_FOR
    }
}

impl Store {
    /// Servers, the newest start first: the 1,000 whose signs of life are the newest, so that none which lives is beyond
    /// others that died.
    pub async fn replicas(&self) -> Result<Vec<ReplicaRow>> {
        let rows = replica::Entity::find()
            .order_by_desc(replica::Column::SeenAt)
            .limit(1000)
            .all(&self.inner.read)
            .await?;
        let read = |row: replica::Model| {
            Ok(ReplicaRow {
                id: ReplicaId(row.id),
                host: row.host,
                process_id: row.process_id,
                version: row.version,
                configuration_hash: row.configuration_hash,
                rules: row.rules,
                started_at: convert::instant(row.started_at)?,
                seen_at: convert::instant(row.seen_at)?,
            })
        };
        let replicas: Result<Vec<ReplicaRow>> = rows.into_iter().map(read).collect();
        let mut replicas = replicas?;
        replicas.sort_by_key(|row| std::cmp::Reverse((row.started_at, row.id)));
        Ok(replicas)
    }
}

impl Store {
    /// Whether events of runs are told in few bytes: once every server that gave a sign of life of late reads them.
    pub(super) fn tells_compactly(&self) -> bool {
        self.inner.tells_compactly.load(Ordering::Relaxed)
    }

    /// Whether tokens that are handed out may name the thing they are of: once every such server reads those. Before, a
    /// follower whom the next server refuses would end.
    pub fn binds_tokens(&self) -> bool {
        self.tells_compactly()
    }
}

impl Tx {
    /// Notes a sign of life, and what all that live can read.
    pub async fn replica_seen(&mut self, row: &ReplicaRow) -> Result<()> {
        let upsert = self
            .sql("INSERT INTO replicas (id, host, process_id, version, configuration_hash, rules, started_at, seen_at, reads) VALUES (")
            .bind(row.id.0)
            .push(", ")
            .bind(row.host.clone())
            .push(", ")
            .bind(row.process_id)
            .push(", ")
            .bind(row.version.clone())
            .push(", ")
            .bind(row.configuration_hash.clone())
            .push(", ")
            .bind(row.rules.clone())
            .push(", ")
            .bind(micros(row.started_at))
            .push(", ")
            .bind(micros(self.now))
            .push(", ")
            .bind(READS)
            .push(") ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, rules = excluded.rules")
            .done();
        self.run(upsert).await?;
        if self.store.tells_compactly() {
            return Ok(());
        }
        // A server of before does not start any more on this schema: where none lives, none will.
        let since = self.now.saturating_sub(LIVES).unwrap_or(Timestamp::MIN);
        let of_before = self
            .sql("SELECT id FROM replicas WHERE reads < ")
            .bind(READS)
            .push(" AND seen_at > ")
            .bind(micros(since))
            .push(" LIMIT 1")
            .done();
        if self.one::<Id>(of_before).await?.is_none() {
            let compactly = &self.store.inner.tells_compactly;
            compactly.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Forgets a server that has stopped in order.
    pub async fn replica_gone(&mut self, id: ReplicaId) -> Result<()> {
        let delete = self
            .sql("DELETE FROM replicas WHERE id = ")
            .bind(id.0)
            .done();
        self.run(delete).await?;
        Ok(())
    }

    /// Forgets servers without a sign of life for so long; and those whose sign is so far ahead of now.
    pub async fn replicas_prune(&mut self, silent_for: SignedDuration) -> Result<u64> {
        let (now, far) = (self.now, silent_for);
        let delete = self
            .sql("DELETE FROM replicas WHERE seen_at < ")
            .bind(micros(now.saturating_sub(far).unwrap_or(now)))
            .push(" OR seen_at > ")
            .bind(micros(now.saturating_add(far).unwrap_or(now)))
            .done();
        self.run(delete).await
    }
}
