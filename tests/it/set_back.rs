//! Clocks that were ahead and are set back: what was noted by them rules nothing, and nobody waits until they are caught up.

use std::time::Duration;

use jiff::SignedDuration;
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, Stage, TaskExt as _, at, noon, on_both, scripted, until, within,
};

on_both!(
    a_drain_lasts_as_long_as_was_asked_for,
    a_run_that_was_queued_by_a_clock_which_was_ahead_is_overdue,
    a_run_in_line_since_an_instant_to_come_is_overdue,
    rounds_that_the_wall_clock_does_not_ring_are_rung_by_the_time_that_passes,
);

const HOUR: Duration = Duration::from_secs(3600);

/// Two hours ahead, as where the machine has slept: nothing is held back for it.
fn ahead(site: &Site) {
    site.clock.set(noon() + SignedDuration::from_hours(2));
}

async fn drained(server: &Server) -> Option<String> {
    let request = pb::GetDrainRequest {};
    let answer = server.client.scheduler().get_drain(request).await.unwrap();
    let drain = answer.into_inner().drain.unwrap();
    drain.drain_time.map(|_| at(&drain.until_time))
}

async fn a_drain_lasts_as_long_as_was_asked_for(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    ahead(&site);
    let request = pb::DrainRequest {
        lasts_for: Some(HOUR.try_into().unwrap()),
        reason: String::new(),
    };
    server.client.scheduler().drain(request).await.unwrap();
    let until_time = drained(&server).await.unwrap();
    assert_eq!(until_time, "2026-03-02T15:00:00Z");
    server.trigger("task").await;

    site.clock.set(noon());
    let until_time = drained(&server).await.unwrap();
    assert_eq!(until_time, "2026-03-02T13:00:00Z");
    // A status that was being read as the clock was set is shown to who asks right after.
    until("the end of the drain by this clock", async || {
        let problem = server.problem("replica.draining").await;
        problem.message.contains("13:00:00").then_some(())
    })
    .await;
    server.advance(3599);
    assert!(drained(&server).await.is_some());
    server.advance(1);
    assert_eq!(drained(&server).await, None);
    stage.enters().await.succeeds();
    server.stop().await;
}

/// Waits for a run of the task to be told as overdue, for two minutes by the clock, and for longer where a machine that is
/// busy takes so long to look.
async fn is_overdue(server: &Server) -> pb::Problem {
    let mut passed = 0;
    until("a run of the task to be told as overdue", async || {
        let step = if passed < 120 {
            10
        } else {
            i64::from(passed < 600)
        };
        passed += step;
        server.advance(step);
        let problems = server.status().await.problems;
        let mut found = problems
            .into_iter()
            .filter(|problem| problem.r#type == "run.overdue");
        found.find(|problem| problem.subject == "tasks/task")
    })
    .await
}

async fn a_run_that_was_queued_by_a_clock_which_was_ahead_is_overdue(database: Database) {
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    let (_, hangs) = stage.busy(&server, "hangs").await;
    server.create("task", scripted(&stage)).await;
    ahead(&site);
    let run = server.trigger("task").await;
    site.clock.set(noon());

    let problem = is_overdue(&server).await;
    assert!(problem.message.contains("may start"), "{problem:?}");
    let since = at(&problem.since_time);
    assert!(since.starts_with("2026-03-02T12:0"), "{since}");

    hangs.succeeds();
    stage.enters().await.succeeds();
    server.ended(&run.name).await;
    server.stop().await;
}

async fn a_run_in_line_since_an_instant_to_come_is_overdue(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let task = scripted(&stage).overlap(pb::OverlapPolicy::BufferOne);
    server.create("task", task).await;
    ahead(&site);
    server.trigger("task").await;
    let hangs = stage.enters().await;
    let second = server.trigger("task").await;
    site.clock.set(noon());

    let problem = is_overdue(&server).await;
    assert!(problem.message.contains("in line"), "{problem:?}");

    hangs.succeeds();
    stage.enters().await.succeeds();
    server.ended(&second.name).await;
    server.stop().await;
}

async fn rounds_that_the_wall_clock_does_not_ring_are_rung_by_the_time_that_passes(
    database: Database,
) {
    let site = Site::new(database);
    let server = site.start().await;
    let counts = async || {
        let rounds = server.status().await.rounds;
        let counts = rounds
            .into_iter()
            .map(|round| (round.name, round.ring_count));
        counts.collect::<Vec<_>>()
    };
    let first = counts().await;
    assert_eq!(first.len(), 5, "{first:?}");
    // The wall clock of this test rings the slowest of them each 30 s.
    within("the rounds to ring", async {
        for _ in 0..5 {
            let before = counts().await;
            server.advance(46);
            until("each to ring", async || {
                let now = counts().await;
                let mut pairs = before.iter().zip(&now);
                pairs.all(|(before, now)| before.1 < now.1).then_some(())
            })
            .await;
        }
    })
    .await;
    server.stop().await;
}
