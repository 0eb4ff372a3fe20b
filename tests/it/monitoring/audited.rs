//! What the auditor tells, and goes on to tell.

use crate::support::{Database, Server, Site, TaskExt as _, instant, on_both};

use super::events::Log;

on_both!(an_undecided_slot_stays_a_problem_across_a_start);

/// Takes away what wakes the scheduler for a task: it is dead for that one.
async fn deafen(log: &Log, task: &str) {
    log.run(&format!(
        "UPDATE tasks SET wake_at = NULL WHERE name = '{task}'"
    ))
    .await;
}

async fn hourly(server: &Server, log: &Log, task: &str) {
    server.create(task, instant().cron("0 * * * *")).await;
    deafen(log, task).await;
}

async fn an_undecided_slot_stays_a_problem_across_a_start(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let log = Log::of(&site).await;
    hourly(&server, &log, "first").await;
    server.advance(3600 + 61);
    log.tells("slot.undecided", 1).await;
    server.kill().await;

    let server = site.start().await;
    deafen(&log, "first").await;
    // Another is found after two looks of the new server's auditor: so it has looked at the first as well.
    hourly(&server, &log, "second").await;
    server.advance(3600 + 61);
    let told = log.tells("slot.undecided", 2).await;

    let told: Vec<_> = told
        .iter()
        .map(|told| (told.what.as_str(), told.subject.as_str()))
        .collect();
    assert_eq!(
        told,
        [("raised", "tasks/first"), ("raised", "tasks/second")]
    );
    server.kill().await;
}
