//! The database is restarted, crashes, or is away for a while; and then everything goes on by itself.

use std::time::Duration;

use watchbell_client::call::request_id;

use super::{
    arena::{Arena, Ground},
    form::Form,
    pace::pass,
    postgres::{Postgres, Shutdown},
    workload::Load,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_restarts_or_crashes_loses_nothing() {
    let both = [Shutdown::Fast, Shutdown::Immediate];
    let form = Form::now();
    let turns = form.pick(vec![Shutdown::Immediate], both.repeat(3));
    story("database restarted", &turns, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_for_a_while_loses_nothing() {
    let form = Form::now();
    let away_for = form.pick(Duration::from_secs(2), Duration::from_secs(30));
    let turns = form.pick(
        vec![Shutdown::Fast],
        vec![Shutdown::Fast, Shutdown::Immediate],
    );
    story("database away", &turns, away_for).await;
}

async fn story(name: &'static str, turns: &[Shutdown], away_for: Duration) {
    let form = Form::now();
    let Some(postgres) = Postgres::start(Vec::new()).await else {
        return;
    };
    let ground = Ground::Own(Box::new(postgres));
    let mut arena = Arena::new(name, ground, form.pick("3s", "15s"), Load::storm(form)).await;
    arena.start_all(2).await;
    arena.begin().await;
    for how in turns {
        arena
            .blow_for(form.pick(Duration::from_secs(1), Duration::from_secs(4)))
            .await;
        let Ground::Own(postgres) = &mut arena.ground else {
            return;
        };
        postgres.stop(*how).await;
        pass(away_for).await;
        postgres.run().await;
        arena.figures.blows += 1;
        arena.serves_again(&request_id()).await;
    }
    arena.settle().await;
}
