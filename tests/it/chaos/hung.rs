//! A part of the host hangs, such as a mount whose server is gone: it costs the runs that need it, and nothing else.

use std::time::Duration;

use super::{arena::Arena, form::Form, workload::Load};
use crate::{
    process::hanging::Hung,
    support::{Database, on_both},
};

on_both!(a_mount_that_hangs_costs_its_own_runs_alone);

/// Runs that hang at each thing that does.
const RUNS: usize = 6;

async fn a_mount_that_hangs_costs_its_own_runs_alone(database: Database) {
    let (form, servers) = (Form::now(), if database.is_postgresql() { 2 } else { 1 });
    let load = Load::storm(form);
    let mut arena = Arena::new("hung mount", database.into(), "15s", load).await;
    let configuration = std::fs::read_to_string(arena.place.path("watchbell.toml")).unwrap();
    let Some(host) = Hung::new(&arena.place, &configuration) else {
        return;
    };
    arena.environment = host.environment();
    host.release();
    arena.start_all(servers).await;
    arena.begin().await;
    let alone = arena.longest_call().await;
    for _ in 0..form.pick(1, 5) {
        host.hang();
        arena.figures.blows += 1;
        for task in ["mount", "directory", "user", "start"] {
            arena.order(task, RUNS).await;
        }
        arena.nobody_waits(alone).await;
        arena
            .decides("deciding to go on beside a mount that hangs")
            .await;
        arena
            .blow_for(form.pick(Duration::from_secs(1), Duration::from_secs(12)))
            .await;
        arena.nobody_waits(alone).await;
        host.release();
    }
    assert_eq!(arena.leases_lost().await, 0);
    arena.settle().await;
}
