//! A drain before an upgrade: nothing new begins here, and nothing that runs is stopped.

use std::time::Duration;

use tonic::Code;
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, Stage, TaskExt as _, at, on_both, on_postgresql, refused, scripted,
    until, violations,
};

on_both!(
    a_drained_server_takes_no_run_and_stops_none,
    what_stands_in_line_does_not_follow_what_ends_on_a_drained_server,
    a_drain_ends_by_its_time,
    a_drain_can_be_taken_back,
    a_drain_while_the_status_is_read_is_in_the_next,
    a_restart_ends_a_drain,
    a_drain_of_no_length_or_of_years_is_refused,
);
on_postgresql!(what_a_drained_replica_leaves_another_takes);

const HOUR: Duration = Duration::from_secs(3600);

async fn drain(server: &Server, lasts_for: Duration, reason: &str) -> pb::DrainState {
    let request = pb::DrainRequest {
        lasts_for: Some(lasts_for.try_into().unwrap()),
        reason: reason.to_owned(),
    };
    let answer = server.client.scheduler().drain(request).await.unwrap();
    answer.into_inner().drain.unwrap()
}

async fn state(server: &Server) -> pb::DrainState {
    let request = pb::GetDrainRequest {};
    let answer = server.client.scheduler().get_drain(request).await.unwrap();
    answer.into_inner().drain.unwrap()
}

async fn a_drained_server_takes_no_run_and_stops_none(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let (run, entered) = stage.busy(&server, "busy").await;
    let task = scripted(&stage).cron("* * * * *");
    server.create("each-minute", task).await;

    let drained = drain(&server, HOUR, "upgrade").await;

    assert_eq!(drained.running, [run.name.as_str()]);
    assert_eq!(drained.running_count, 1);
    assert_eq!(at(&drained.until_time), "2026-03-02T13:00:00Z");
    server.advance(60);
    let ledger = server.decided("each-minute", server.now()).await;
    assert_eq!(ledger, [("DISPATCHED".to_owned(), 1)], "slots are decided");
    server.create("by-hand", scripted(&stage)).await;
    let by_hand = server.trigger("by-hand").await;
    assert_eq!(by_hand.state(), pb::RunState::Queued);
    let problem = server.problem("replica.draining").await;
    assert_eq!(problem.severity(), pb::Severity::Warning);
    assert_eq!(problem.subject, drained.replica);
    assert_eq!(at(&problem.since_time), "2026-03-02T12:00:00Z");
    for text in [
        "by admin",
        "until 2026-03-02T13:00:00Z",
        "upgrade",
        "1 are under way",
    ] {
        assert!(problem.message.contains(text), "{text}: {problem:?}");
    }

    assert!(!entered.context.cancel.is_cancelled());
    entered.succeeds();
    let ended = server.ended(&run.name).await;
    assert_eq!((ended.state(), ended.attempt), (pb::RunState::Succeeded, 1));
    until("nothing to run here", async || {
        (state(&server).await.running_count == 0).then_some(())
    })
    .await;
    // A place has become free, and the queue's bell has rung for it.
    let mut waiting = server.runs_of("each-minute").await;
    waiting.extend(server.runs_of("by-hand").await);
    assert_eq!(waiting.len(), 2);
    for queued in waiting {
        assert_eq!(queued.state(), pb::RunState::Queued, "{queued:?}");
    }
    assert!(stage.is_empty());
    server.stop().await;
}

async fn what_stands_in_line_does_not_follow_what_ends_on_a_drained_server(database: Database) {
    let mut stage = Stage::new();
    // One place: who frees it would give it to whoever waits.
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    let task = scripted(&stage).overlap(pb::OverlapPolicy::BufferOne);
    server.create("line", task).await;
    let first = server.trigger("line").await;
    let entered = stage.enters().await;
    let mut waiting = vec![server.trigger("line").await];
    for name in ["other", "another"] {
        server.create(name, scripted(&stage)).await;
        waiting.push(server.trigger(name).await);
    }
    drain(&server, HOUR, "").await;

    entered.succeeds();
    server.ended(&first.name).await;

    until("nothing to run here", async || {
        (state(&server).await.running_count == 0).then_some(())
    })
    .await;
    for run in &waiting {
        let run = server.run(&run.name).await;
        assert_eq!(run.state(), pb::RunState::Queued, "{run:?}");
    }
    assert!(stage.is_empty());
    server
        .client
        .scheduler()
        .end_drain(pb::EndDrainRequest::default())
        .await
        .unwrap();
    for _ in &waiting {
        stage.enters().await.succeeds();
    }
    for run in &waiting {
        assert_eq!(
            server.ended(&run.name).await.state(),
            pb::RunState::Succeeded
        );
    }
    server.stop().await;
}

async fn a_drain_ends_by_its_time(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    drain(&server, HOUR, "").await;
    let run = server.trigger("task").await;
    assert_eq!(run.state(), pb::RunState::Queued);
    server.advance(3_599);
    assert!(state(&server).await.drain_time.is_some());
    assert!(stage.is_empty());
    // Whoever looks a second before its end sees it, and looks again at its end.
    server.problem("replica.draining").await;

    server.advance(1);

    stage.enters().await.succeeds();
    let ended = server.ended(&run.name).await;
    assert_eq!(ended.state(), pb::RunState::Succeeded);
    assert_eq!(state(&server).await.drain_time, None);
    server.problem_is_over("replica.draining").await;
    server.stop().await;
}

/// What a look saw that began before the drain is not what the status remembers as seen.
async fn a_drain_while_the_status_is_read_is_in_the_next(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for _ in 0..25 {
        tokio::join!(server.status(), server.status(), drain(&server, HOUR, ""));
        server.problem("replica.draining").await;
        let request = pb::EndDrainRequest {};
        let mut scheduler = server.client.scheduler();
        let (_, ended) = tokio::join!(server.status(), scheduler.end_drain(request));
        ended.unwrap();
        server.problem_is_over("replica.draining").await;
    }
    server.stop().await;
}

async fn a_drain_can_be_taken_back(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let first = drain(&server, HOUR, "one").await;
    server.advance(60);
    let second = drain(&server, HOUR, "two").await;
    assert_eq!(second.drain_time, first.drain_time, "it has not begun anew");
    assert_eq!(at(&second.until_time), "2026-03-02T13:01:00Z");
    assert_eq!(second.reason, "two");
    server.trigger("task").await;

    for _ in 0..2 {
        let request = pb::EndDrainRequest {};
        let answer = server.client.scheduler().end_drain(request).await.unwrap();
        assert_eq!(answer.into_inner().drain.unwrap().drain_time, None);
    }

    stage.enters().await.succeeds();
    server.stop().await;
}

async fn a_restart_ends_a_drain(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let before = drain(&server, HOUR, "upgrade").await;
    server.trigger("task").await;
    server.stop().await;

    let server = site.start().await;

    stage.enters().await.succeeds();
    let after = state(&server).await;
    assert_eq!(after.drain_time, None);
    assert_ne!(after.replica, before.replica);
    server.stop().await;
}

async fn a_drain_of_no_length_or_of_years_is_refused(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for lasts_for in [Duration::ZERO, HOUR * 24 * 365] {
        let request = pb::DrainRequest {
            lasts_for: Some(lasts_for.try_into().unwrap()),
            reason: String::new(),
        };
        let (code, _, status) = refused(server.client.scheduler().drain(request).await);
        assert_eq!(code, Code::InvalidArgument);
        assert_eq!(violations(&status), ["lasts_for"]);
    }
    assert_eq!(state(&server).await.drain_time, None);
    server.stop().await;
}

async fn what_a_drained_replica_leaves_another_takes(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let first = site.start().await;
    let second = site.start().await;
    first.create("task", scripted(&stage)).await;
    drain(&first, HOUR, "").await;

    let run = first.trigger("task").await;

    let entered = stage.enters().await;
    let theirs = state(&second).await;
    assert_eq!(theirs.running, [run.name.as_str()]);
    assert_eq!(theirs.drain_time, None, "the drain is one server's");
    assert_eq!(state(&first).await.running_count, 0);
    entered.succeeds();
    let run = first.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded);
    second.stop().await;
    first.stop().await;
}
