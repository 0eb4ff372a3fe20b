//! The bells of the other replicas, by NOTIFY of PostgreSQL.
//!
//! A notification says who rings, so that nobody hears themselves, and which bells, with a space between them. One that names
//! none is of an older replica; those know nothing of names, and ring all for ours. What rings while one is under way goes
//! with the next.

use std::time::Duration;

use sea_orm::{
    DbBackend,
    sqlx::{self, PgPool, postgres::PgListener},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{
    Store,
    bell::{Bells, Rings},
    limited::{ANSWER_WITHIN, in_time},
};

const CHANNEL: &str = "watchbell";
/// Who listens looks so often whether it could hear.
const HEARS_WITHIN: Duration = Duration::from_secs(10);
const AFTER_ERROR: Duration = Duration::from_secs(1);

impl Store {
    /// PostgreSQL: rings the other replicas' bells, and ours when they ring. Until `stop`.
    pub async fn run_remote_bells(self, stop: CancellationToken) {
        if self.inner.backend != DbBackend::Postgres {
            return;
        }
        let pool = self.inner.write.get_postgres_connection_pool();
        let bells = &self.inner.bells;
        let own = Uuid::now_v7().to_string();
        // Apart: what is heard must not keep back what is to be told, nor the other way round.
        tokio::join!(
            until_stopped(&stop, "heard", || hear(pool, &self, &own)),
            until_stopped(&stop, "rung", || tell(pool, bells, &own)),
        );
    }
}

/// Does it again each time that it fails, until `stop`.
async fn until_stopped<F: Future<Output = Result<(), sqlx::Error>>>(
    stop: &CancellationToken,
    what: &str,
    again: impl Fn() -> F,
) {
    while let Some(done) = stop.run_until_cancelled(again()).await {
        if let Err(error) = done {
            warn!(%error, "the bells of the other replicas cannot be {what}; trying again");
        }
        stop.run_until_cancelled(tokio::time::sleep(AFTER_ERROR))
            .await;
    }
}

async fn hear(pool: &PgPool, store: &Store, own: &str) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // What others have planned may be due before all that this process knows of.
    let ring = |rings: Rings| {
        if rings.schedule {
            store.look_anew();
        }
        if rings.queue {
            store.look_anew_at_queue();
        }
        store.inner.bells.ring_here(rings);
    };
    // Rings may have been missed while nobody listened.
    ring(Rings::ALL);
    let mut look = tokio::time::interval(HEARS_WITHIN);
    loop {
        tokio::select! {
            rung = listener.try_recv() => {
                let Some(rung) = rung? else {
                    // The connection was lost, and is there again: what rang meanwhile went by unheard.
                    ring(Rings::ALL);
                    continue;
                };
                let mut words = rung.payload().split_ascii_whitespace();
                // Our own come back to us: who waits here has heard them already.
                if words.next() != Some(own) {
                    ring(Rings::named(words));
                }
            }
            // No bell may be that nothing happens, or that nothing comes through any more.
            _ = look.tick() => {
                let heard = sqlx::query("SELECT 1").execute(&mut listener);
                in_time(ANSWER_WITHIN, heard).await?;
            }
        }
    }
}

async fn tell(pool: &PgPool, bells: &Bells, own: &str) -> Result<(), sqlx::Error> {
    loop {
        let rings = bells.due_elsewhere().await;
        let payload = format!("{own} {}", rings.names().join(" "));
        let ring = sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(payload);
        let rung = in_time(ANSWER_WITHIN, ring.execute(pool)).await;
        rung.inspect_err(|_| bells.ring_elsewhere(rings))?;
    }
}
