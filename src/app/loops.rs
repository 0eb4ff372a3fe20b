//! The process's loops: started, kept, and told of by health checks.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::house::keep_house;
use crate::{
    api::{Health, HealthHandle},
    domain::{
        ReplicaId,
        problem::{Problem, ProblemKind},
    },
    engine::{Auditor, Engine, Recovery, Rounds, Rules, Scheduler, keep_up},
    monitor::Monitor,
    process,
    store::Store,
};

/// Between two looks for orphans that have ended, real time.
const REAP_EVERY: Duration = Duration::from_secs(2);

/// Starts the loops that each may be started again.
pub(super) fn keep_loops(
    engine: &Engine,
    monitor: &Monitor,
    rounds: &Rounds,
    recovery: &Recovery,
    stop: &CancellationToken,
    background: &CancellationToken,
) {
    let supervisor = monitor.supervisor();
    let (store, until) = (engine.store().clone(), background.clone());
    supervisor.keep("tail", background, move || {
        store.clone().run_tail(until.clone())
    });
    let (store, until) = (engine.store().clone(), background.clone());
    supervisor.keep("log-waits", background, move || {
        store.clone().run_log_waits(until.clone())
    });
    // On SQLite there is no other to hear.
    if engine.store().kind() == "postgresql" {
        let (store, until) = (engine.store().clone(), background.clone());
        supervisor.keep("remote-bells", background, move || {
            store.clone().run_remote_bells(until.clone())
        });
    }
    let (of, by, bells, until) = (
        engine.clone(),
        monitor.clone(),
        rounds.clone(),
        background.clone(),
    );
    supervisor.keep("keep-house", background, move || {
        keep_house(of.clone(), by.clone(), until.clone(), bells.keep_house())
    });
    // PostgreSQL sees to its files by itself.
    if engine.store().kind() == "sqlite" {
        let (store, bells, until) = (engine.store().clone(), rounds.clone(), stop.clone());
        supervisor.keep("upkeep", stop, move || {
            keep_up(store.clone(), until.clone(), bells.upkeep())
        });
    }
    let (recovery, bells, until) = (recovery.clone(), rounds.clone(), stop.clone());
    supervisor.keep("recovery", stop, move || {
        recovery.clone().run(until.clone(), bells.reap())
    });
    let (of, bells, until) = (engine.clone(), rounds.clone(), stop.clone());
    supervisor.keep("auditor", stop, move || {
        Auditor::new(of.clone()).run(until.clone(), bells.audit())
    });
    let (of, bells, until) = (engine.clone(), rounds.clone(), background.clone());
    supervisor.keep("rounds", background, move || {
        bells.clone().ring_beside(of.clone(), until.clone())
    });
    let (of, until) = (engine.clone(), stop.clone());
    supervisor.keep("rules", stop, move || {
        Rules::new(of.clone()).run(until.clone())
    });
    let (of, until) = (engine.clone(), stop.clone());
    supervisor.keep("scheduler", stop, move || {
        Scheduler::new(of.clone()).run(until.clone())
    });
    if process::adopts() {
        let until = background.clone();
        supervisor.keep("reaper", background, move || reap(until.clone()));
    }
    let (store, bells, until) = (engine.store().clone(), rounds.clone(), stop.clone());
    supervisor.keep("refill", stop, move || {
        refill(store.clone(), until.clone(), bells.refill())
    });
}

/// Takes the ends of processes that were left to this one, until `stop`: as the first of a container, or where it adopts
/// orphans otherwise, it is the parent of all that have none, and nobody else would.
async fn reap(stop: CancellationToken) {
    loop {
        match tokio::task::spawn_blocking(process::reap_strangers).await {
            Ok(0) => {}
            Ok(count) => debug!(count, "took the ends of processes that others had started"),
            Err(error) => warn!(%error, "could not look for processes that have ended"),
        }
        let next = stop.run_until_cancelled(tokio::time::sleep(REAP_EVERY));
        if next.await.is_none() {
            return;
        }
    }
}

/// Rings the loops that read the tables, on a round: a bell of another replica can be lost.
async fn refill(store: Store, stop: CancellationToken, mut bell: tokio::sync::watch::Receiver<()>) {
    while stop
        .run_until_cancelled(bell.changed())
        .await
        .is_some_and(|rung| rung.is_ok())
    {
        store.look_anew();
        store.look_anew_at_queue();
        store.bells().ring_schedule();
        store.bells().ring_queue();
    }
}

/// How old a status may be that health checks tell by, where nothing has happened.
const READ_EVERY: Duration = Duration::from_secs(5);

/// Tells by health checks what is well, until `stop`: then that nothing is served any more.
pub(super) async fn tell_health(
    monitor: Monitor,
    own: ReplicaId,
    health: HealthHandle,
    stop: CancellationToken,
) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut tell = async || {
        every.tick().await;
        let status = monitor.status_or_last(READ_EVERY).await;
        // What another server has keeps nobody from asking this one.
        let open = |kind: ProblemKind| {
            let of_us = |problem: &&Problem| problem.replica.is_none_or(|replica| replica == own);
            let mut open = status.problems.iter().filter(of_us);
            open.any(|problem| problem.is(kind))
        };
        let writable = !open(ProblemKind::DatabaseUnwritable);
        let told = Health {
            ready: status.reachable && !open(ProblemKind::ClockOffset) && writable,
            scheduler: status.reachable
                && !open(ProblemKind::SlotUndecided)
                && !open(ProblemKind::ClockHeld),
            storage: status.reachable && writable,
        };
        health.set(told).await;
    };
    while stop.run_until_cancelled(tell()).await.is_some() {}
    health.stop().await;
}
