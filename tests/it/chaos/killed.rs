//! SIGKILL, again and again: a server that is started anew, and replicas of which others go on.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{
    arena::Arena,
    form::{Form, at_length_only},
    workload::Load,
};
use crate::support::{Database, on_both, on_postgresql};

on_both!(a_server_that_is_killed_again_and_again_loses_nothing);
on_postgresql!(
    of_two_replicas_one_is_killed_at_a_time,
    of_three_replicas_one_is_killed_at_a_time,
);

/// Some while from one second to three, another each time.
fn a_while(turn: usize) -> Duration {
    Duration::from_millis(1000 + (turn as u64 * 677) % 2000)
}

async fn a_server_that_is_killed_again_and_again_loses_nothing(database: Database) {
    let form = Form::now();
    let mut arena = Arena::new(
        "killed",
        database.into(),
        form.pick("3s", "15s"),
        Load::storm(form),
    )
    .await;
    arena.start().await;
    arena.begin().await;
    for turn in 0..form.pick(2, 20) {
        arena
            .blow_for(form.pick(a_while(turn) / 2, a_while(turn)))
            .await;
        let mut server = arena.replicas.remove(0);
        server.signal(Signal::SIGKILL);
        server.ended().await;
        arena.figures.blows += 1;
        arena.start().await;
    }
    arena.settle().await;
}

async fn of_two_replicas_one_is_killed_at_a_time(database: Database) {
    one_at_a_time("one of two killed", database, 2).await;
}

async fn of_three_replicas_one_is_killed_at_a_time(database: Database) {
    if at_length_only("three replicas, one killed at a time") {
        return;
    }
    one_at_a_time("one of three killed", database, 3).await;
}

async fn one_at_a_time(story: &'static str, database: Database, replicas: usize) {
    let form = Form::now();
    let mut arena = Arena::new(
        story,
        database.into(),
        form.pick("3s", "15s"),
        Load::storm(form),
    )
    .await;
    arena.start_all(replicas).await;
    arena.begin().await;
    for turn in 0..form.pick(1, 4) {
        arena.blow_for(a_while(turn)).await;
        let mut replica = arena.replicas.remove(0);
        arena.lead_to_all();
        arena.under_way(&replica).await;
        replica.signal(Signal::SIGKILL);
        let killed_at = arena.now();
        replica.ended().await;
        arena.figures.blows += 1;
        let held = arena.tokens.held_by(replica.id());
        arena.others_go_on(&held, killed_at).await;
        arena.start().await;
    }
    arena.settle().await;
}
