//! A loop that panics is told at once, and started again; or the process ends.

use std::sync::Arc;

use watchbell_client::pb;

use super::events::Log;
use crate::support::{
    Database, FaultyClock, Server, Site, TaskExt as _, Watchman, instant, on_both, until,
};

on_both!(
    a_loop_that_panics_is_told_and_goes_on,
    a_loop_that_cannot_be_started_again_ends_the_process,
    a_probe_that_panics_is_told_and_looks_again,
);

async fn started(database: Database) -> (Site, FaultyClock, Server) {
    let mut site = Site::new(database);
    let clock = FaultyClock::on(&site.clock);
    site.port = Some(Arc::new(clock.clone()));
    let server = site.start().await;
    (site, clock, server)
}

async fn a_loop_that_panics_is_told_and_goes_on(database: Database) {
    let (site, clock, server) = started(database).await;
    let log = Log::of(&site).await;
    server.create("task", instant().cron("* * * * *")).await;

    clock.panics_once_in("engine::scheduler");
    server.advance(60);

    let problem = server.problem("loop.panicked").await;
    assert_eq!(problem.subject, "loops/scheduler");
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert!(
        problem.message.contains("the clock is broken"),
        "{}",
        problem.message
    );
    // It does what it was about to do.
    server.decided("task", server.now()).await;
    log.tells("loop.panicked", 1).await;
    server.advance(3600);
    until("it to be over", async || {
        let problems = server.status().await.problems;
        let mut open = problems.iter();
        (!open.any(|problem| problem.r#type == "loop.panicked")).then_some(())
    })
    .await;
    assert_eq!(log.tells("loop.panicked", 2).await[1].what, "cleared");
    server.stop().await;
}

async fn a_loop_that_cannot_be_started_again_ends_the_process(database: Database) {
    let (_site, clock, server) = started(database).await;
    clock.panics_once_in("engine::runner");
    server.create("task", instant().cron("* * * * *")).await;
    server.advance(60);
    let why = server.fails().await;
    assert!(why.contains("the loop runner panicked"), "{why}");
    assert!(why.contains("the process ends"), "{why}");
}

async fn a_probe_that_panics_is_told_and_looks_again(database: Database) {
    let watchman = Watchman::new();
    let mut site = Site::new(database);
    site.probes = vec![Arc::new(watchman.clone())];
    watchman.panics("it fell asleep");
    let server = site.start().await;
    let problem = server.problem("loop.panicked").await;
    assert_eq!(problem.subject, "loops/probe-watchman");
    watchman.finds(&[crate::support::trouble("a", "it burns")]);
    server.problem("health.load_per_core").await;
    server.stop().await;
}
