//! Keeping house: signs of life, and the clock.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    clock::{self, Stopwatch},
    domain::retry::later,
    engine::Engine,
    error::Result,
    monitor::Monitor,
};

const EVERY: Duration = Duration::from_secs(5);
/// Replicas that are silent for longer are forgotten.
const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Gives signs of life and sets the clock until `stop`; `bell` is that of a round.
pub(super) async fn keep_house(
    engine: Engine,
    monitor: Monitor,
    stop: CancellationToken,
    mut bell: watch::Receiver<()>,
) {
    while !stop.is_cancelled() {
        let done = tick(&engine, &monitor).await;
        monitor.tell_written(done.as_ref().err()).await;
        if let Err(error) = done {
            warn!(%error, "could not give a sign of life; trying again");
        }
        let wake_at = later(engine.clock().now(), EVERY);
        tokio::select! {
            () = stop.cancelled() => {}
            () = engine.clock().sleep_until(wake_at) => {}
            _ = bell.changed() => {}
        }
    }
    if let Err(error) = leave(&engine).await {
        warn!(%error, "could not sign off; the other replicas will see it");
    }
}

/// One sign of life, and one look at the clock.
///
/// # Errors
/// Where the database is away.
pub(super) async fn tick(engine: &Engine, monitor: &Monitor) -> Result<()> {
    let store = engine.store();
    let watch = Stopwatch::start();
    let reading = store.clock_reading().await?;
    let half = SignedDuration::try_from(watch.elapsed() / 2).unwrap_or_default();
    let reading = reading.saturating_add(half).unwrap_or(reading);
    engine.clock().anchor(reading);
    monitor.tell_clock_offset(clock::wall_now().duration_since(reading));

    let mut tx = store.begin().await?;
    tx.replica_seen(engine.replica()).await?;
    let before = tx.now().saturating_sub(FORGET_AFTER).unwrap_or(tx.now());
    tx.replicas_prune(before).await?;
    tx.commit().await
}

/// Takes this server from among those that live.
///
/// # Errors
/// Where the database is away.
pub(super) async fn leave(engine: &Engine) -> Result<()> {
    let mut tx = engine.store().begin().await?;
    tx.replica_gone(engine.replica().id).await?;
    tx.commit().await
}
