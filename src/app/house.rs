//! Keeping house: signs of life, and the clock.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    clock,
    domain::{problem::ProblemKind, retry::later},
    engine::{CLOCK, Engine, rules_in_use},
    error::{Error, Result},
    monitor::Monitor,
    store::ReplicaRow,
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
            // A clock that is set back would let it sleep for as long.
            () = engine.clock().sleep_for(EVERY) => {}
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
    let read = store.clock_reading().await?;
    engine.clock().anchor(read);
    monitor.tell_clock_offset(read.off(clock::wall_now()));
    match engine.held_still().await? {
        Some(hold) => monitor.memory().raise(engine.clock_problem(&hold), None),
        None => {
            let (kind, now) = (ProblemKind::ClockHeld, engine.clock().now());
            monitor.memory().clear(kind, CLOCK, now);
        }
    }

    let mut tx = store.begin().await?;
    let seen = ReplicaRow {
        rules: serde_json::to_string(&rules_in_use()).map_err(Error::internal)?,
        ..engine.replica().clone()
    };
    tx.replica_seen(&seen).await?;
    engine.note_clock(&mut tx).await?;
    // By a clock in doubt, all others have been silent for long.
    if engine.held().is_none() {
        tx.replicas_prune(FORGET_AFTER).await?;
    }
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
