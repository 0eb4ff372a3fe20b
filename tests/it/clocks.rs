//! Clocks that are set while work is under way: spans are those of the time that passes.

use jiff::SignedDuration;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use watchbell_client::pb;

use crate::support::{
    Database, Proxy, Server, Site, Stage, instant, noon, on_both, on_postgresql, scripted, seconds,
    until, within,
};

on_both!(
    a_clock_that_is_set_forward_cuts_no_attempt_short,
    a_clock_that_is_set_forward_makes_nobody_quiet,
);
on_postgresql!(a_clock_that_is_set_forward_takes_no_run_from_who_lives);

/// Something happens from one end to the other, so that what comes of a clock that was set has come.
async fn something_happens(server: &Server) {
    for _ in 0..3 {
        let run = server.trigger("other").await;
        server.ended(&run.name).await;
    }
}

async fn a_clock_that_is_set_forward_cuts_no_attempt_short(database: Database) {
    within_an_hour(database, |task, hour| task.attempt_timeout = Some(hour)).await;
}

async fn a_clock_that_is_set_forward_makes_nobody_quiet(database: Database) {
    within_an_hour(database, |task, hour| task.progress_deadline = Some(hour)).await;
}

async fn within_an_hour(database: Database, limit: fn(&mut pb::Task, prost_types::Duration)) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = scripted(&stage);
    limit(&mut task, seconds(3600));
    server.create("task", task).await;
    server.create("other", instant()).await;
    let run = server.trigger("task").await;
    let entered = stage.enters().await;

    site.clock.set(noon() + SignedDuration::from_hours(2));
    something_happens(&server).await;
    assert!(!entered.context.cancel.is_cancelled(), "no time has passed");

    server.advance(3600);
    within(
        "the attempt to be stopped",
        entered.context.cancel.cancelled(),
    )
    .await;
    entered.fails();
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::TimedOut);
    server.stop().await;
}

/// Waits until the lease of the task's run goes on for two thirds of its length, as that of whoever lives.
async fn is_renewed(fate: &DatabaseConnection, server: &Server) {
    let least = server.now() + SignedDuration::from_secs(10);
    let select = format!(
        "SELECT 1 FROM runs WHERE task = 'task' AND state = 'running' AND {} <= lease_until",
        least.as_microsecond()
    );
    until("the lease to be renewed", async || {
        let select = Statement::from_string(fate.get_database_backend(), &select);
        fate.query_one_raw(select).await.unwrap().map(drop)
    })
    .await;
}

async fn a_clock_that_is_set_forward_takes_no_run_from_who_lives(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let wire = Proxy::to(&site.database.url()).await;
    let far = site.start_on(&wire.url(&site.database.url())).await;
    far.create("task", scripted(&stage)).await;
    far.create("other", instant()).await;
    let run = far.trigger("task").await;
    let entered = stage.enters().await;
    let near = site.start().await;
    let fate = site.database.connect(site.data()).await;

    // The one hears of it a moment later than the other.
    wire.stall();
    site.clock.set(noon() + SignedDuration::from_hours(2));
    something_happens(&near).await;
    wire.mend();
    something_happens(&far).await;
    is_renewed(&fate, &far).await;
    for _ in 0..6 {
        site.clock.advance(SignedDuration::from_secs(5));
        something_happens(&near).await;
        // Who gets no time to renew it does not live.
        is_renewed(&fate, &far).await;
    }

    let run = near.run(&run.name).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::Running, 1));
    entered.succeeds();
    let run = near.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded);
    far.stop().await;
    near.stop().await;
}
