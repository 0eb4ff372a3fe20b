//! SIGSTOP for longer than the lease, then SIGCONT: a process that wakes and does not know that it slept.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{arena::Arena, form::Form, workload::Load};
use crate::support::{Database, on_both};

on_both!(a_server_that_stands_still_beyond_its_lease_loses_nothing);

/// The least that may be configured.
const LEASE: &str = "3s";
const BEYOND: Duration = Duration::from_secs(5);

async fn a_server_that_stands_still_beyond_its_lease_loses_nothing(database: Database) {
    let form = Form::now();
    let with_another = database.is_postgresql();
    let mut arena = Arena::new("stopped", database.into(), LEASE, Load::storm(form)).await;
    arena.start_all(1 + usize::from(with_another)).await;
    arena.begin().await;
    for _ in 0..form.pick(1, 6) {
        arena
            .blow_for(form.pick(Duration::from_secs(1), Duration::from_secs(4)))
            .await;
        let replica = arena.replicas.remove(0);
        arena.under_way(&replica).await;
        replica.signal(Signal::SIGSTOP);
        let stopped_at = arena.now();
        arena.figures.blows += 1;
        if with_another {
            arena.lead_past(replica.address);
            let held = arena.tokens.held_by(replica.id());
            arena.others_go_on(&held, stopped_at).await;
        }
        let still_for = arena.now().saturating_sub(stopped_at);
        arena.blow_for(BEYOND.saturating_sub(still_for)).await;
        replica.signal(Signal::SIGCONT);
        arena.replicas.push(replica);
        arena.lead_to_all();
        arena.decides("deciding to go on").await;
    }
    arena.settle().await;
}
