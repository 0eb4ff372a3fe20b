//! Commands that write much, all at once, while tasks fire every second.

use std::time::Duration;

use super::{arena::Arena, form::Form, pace::soon, workload::Load};
use crate::{
    process::flood::{RUNS, talkative},
    support::{Database, on_both},
};

on_both!(a_flood_of_logs_holds_nobody_up);

/// How long the flood may take.
const OVER_WITHIN: Duration = Duration::from_secs(120);

async fn a_flood_of_logs_holds_nobody_up(database: Database) {
    let (form, servers) = (Form::now(), if database.is_postgresql() { 2 } else { 1 });
    let load = Load::storm(form);
    let mut arena = Arena::new("flood of logs", database.into(), "15s", load).await;
    let configuration = std::fs::read_to_string(arena.place.path("watchbell.toml")).unwrap();
    let flooded = format!("max_running = 400\n{configuration}{}", talkative());
    arena.place.configure(&flooded);
    arena.start_all(servers).await;
    arena.begin().await;
    for _ in 0..form.pick(1, 5) {
        arena.figures.blows += 1;
        arena.order("talks", form.pick(RUNS / 4, RUNS)).await;
        arena
            .decides("deciding to go on beside a flood of logs")
            .await;
        let look = arena.look().await;
        let talking = "SELECT count(*) FROM runs WHERE finished_at IS NULL AND kind = 'command'";
        let over = soon("the flood to be over", OVER_WITHIN, async || {
            (look.number(talking).await? == 0).then_some(())
        });
        over.await;
    }
    let failed = "SELECT count(*) FROM runs WHERE kind = 'command' AND (state <> 'succeeded' OR attempt > 1)";
    assert_eq!(arena.look().await.number(failed).await, Some(0));
    assert_eq!(arena.leases_lost().await, 0);
    arena.settle().await;
}
