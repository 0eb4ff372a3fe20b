//! Pauses that swallow slots, and stops.

use jiff::SignedDuration;
use watchbell_client::pb;

use super::{has, of, over};
use crate::support::{
    Database, Server, Site, TaskExt as _, at, instant, noon, on_both, stamp, until,
};

on_both!(
    everything_paused_without_an_end_is_told,
    a_pause_with_an_end_is_told_from_the_slot_that_it_swallows,
    a_stop_that_was_caught_up_is_no_problem,
);

async fn pause_all(server: &Server, until: Option<SignedDuration>) {
    let request = pb::PauseAllRequest {
        reason: "maintenance".to_owned(),
        until_time: until.map(|length| stamp(server.now() + length)),
        ..Default::default()
    };
    server.client.scheduler().pause_all(request).await.unwrap();
}

async fn everything_paused_without_an_end_is_told(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("0 * * * *")).await;
    pause_all(&server, None).await;
    let problem = of(&server, "paused", "scheduler").await;
    assert_eq!(problem.severity(), pb::Severity::Warning);
    assert_ne!(server.status().await.overall(), pb::Severity::Ok);
    server.advance(86_400);
    until("it to be grave", async || {
        let problem = of(&server, "paused", "scheduler").await;
        (problem.severity() == pb::Severity::Critical).then_some(())
    })
    .await;
    // The pause is told, and not each task of it.
    assert!(!has(&server, "task.stale", "tasks/task").await);
    let problem = of(&server, "paused", "scheduler").await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:00:00Z");

    let request = pb::ResumeAllRequest::default();
    server.client.scheduler().resume_all(request).await.unwrap();
    over(&server, "paused", "scheduler").await;
    // Nothing of a day was done, and that is so until something is.
    of(&server, "task.stale", "tasks/task").await;
    server.advance(3600);
    over(&server, "task.stale", "tasks/task").await;
    server.stop().await;
}

async fn a_pause_with_an_end_is_told_from_the_slot_that_it_swallows(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    // Of the tasks that ship some are due before.
    let task = instant().cron("* * * * *");
    server.create("task", task).await;
    pause_all(&server, Some(SignedDuration::from_hours(2))).await;
    assert!(!has(&server, "paused", "scheduler").await);
    server.advance(60);
    let problem = of(&server, "paused", "scheduler").await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:01:00Z");
    server.advance(2 * 3600);
    over(&server, "paused", "scheduler").await;

    let request = pb::PauseTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    server.client.tasks().pause_task(request).await.unwrap();
    let problem = of(&server, "task.paused", "tasks/task").await;
    assert_eq!(problem.severity(), pb::Severity::Warning);
    let request = pb::ResumeTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    server.client.tasks().resume_task(request).await.unwrap();
    over(&server, "task.paused", "tasks/task").await;
    server.stop().await;
}

async fn a_stop_that_was_caught_up_is_no_problem(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("0 13 * * *")).await;
    server.advance(3590);
    server.kill().await;
    site.clock.advance(SignedDuration::from_secs(100));

    let server = site.start().await;
    server
        .decided("task", noon() + SignedDuration::from_hours(1))
        .await;
    until("the run to succeed", async || {
        let runs = server.runs_of("task").await;
        runs.iter()
            .any(|run| run.state() == pb::RunState::Succeeded)
            .then_some(())
    })
    .await;
    server.advance(31);

    over(&server, "slot.late", "tasks/task").await;
    if !site.database.is_postgresql() {
        // The lock of the data directory proves that the one that was killed is dead, and nobody misses it.
        assert_eq!(
            server
                .status()
                .await
                .problems
                .iter()
                .filter(|problem| problem.r#type == "replica.silent")
                .count(),
            0
        );
    }
    server.stop().await;
}
