//! Slots and orders that come while an earlier run of the task has not ended.

use jiff::{SignedDuration, Timestamp};
use tonic::Code;
use watchbell_client::pb;

use crate::support::{
    Database, Site, Stage, TaskExt as _, at, instant, noon, on_both, refused, scripted, seconds,
};

on_both!(
    skip_skips_while_a_retry_is_due,
    buffer_one_lets_one_run_wait_behind_a_retry,
    allow_runs_the_slot_beside_a_retry,
    a_manual_run_obeys_the_policy_too,
    a_run_that_cannot_start_in_time_expires,
    a_retry_never_expires,
    a_line_moves_up_when_its_head_is_cancelled,
    higher_priority_is_served_first,
    no_more_runs_are_under_way_than_allowed,
);

fn minutes(minutes: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(minutes)
}

fn row(outcome: &str, count: i64) -> (String, i64) {
    (outcome.to_owned(), count)
}

/// A task of every minute whose failed attempts are repeated half an hour later.
fn slow_to_retry(stage: &Stage) -> pb::Task {
    let mut task = scripted(stage).cron("* * * * *").attempts(2);
    task.late_after = Some(seconds(3600));
    task
}

/// Fails the attempt, to be repeated exactly a minute and a half later.
fn fails_for_a_while(entered: crate::support::Entered) {
    let wait = std::time::Duration::from_secs(90);
    let failure = watchbell::engine::Failure::after(anyhow::anyhow!("not yet"), wait);
    entered.act(crate::support::Act::Fail(failure));
}

async fn skip_skips_while_a_retry_is_due(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", slow_to_retry(&stage)).await;
    server.advance(60);
    let entered = stage.enters().await;
    let run = format!("tasks/task/runs/{}", entered.context.run);
    fails_for_a_while(entered);
    let waiting = server.reaches(&run, pb::RunState::RetryWait).await;
    assert_eq!(at(&waiting.retry_time), "2026-03-02T12:02:30Z");

    server.advance(60);
    let ledger = server.decided("task", minutes(2)).await;
    assert_eq!(ledger, [row("DISPATCHED", 1), row("SKIPPED_OVERLAP", 1)]);
    server.advance(30);
    let retry = stage.enters().await;
    assert_eq!(retry.context.token, 2);
    server.advance(30);
    let ledger = server.decided("task", minutes(3)).await;
    assert_eq!(ledger[2], row("SKIPPED_OVERLAP", 1));
    retry.succeeds();

    let run = server.ended(&run).await;
    assert_eq!(run.attempt, 2);
    assert_eq!(run.attempts.len(), 1);
    assert_eq!(run.attempts[0].reason, "ERROR");
    assert_eq!(run.attempts[0].message, "not yet");
    server.stop().await;
}

async fn buffer_one_lets_one_run_wait_behind_a_retry(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let task = slow_to_retry(&stage).overlap(pb::OverlapPolicy::BufferOne);
    server.create("task", task).await;
    server.advance(60);
    let entered = stage.enters().await;
    let first = format!("tasks/task/runs/{}", entered.context.run);
    fails_for_a_while(entered);
    server.reaches(&first, pb::RunState::RetryWait).await;

    server.advance(60);
    server.decided("task", minutes(2)).await;
    server.advance(30);
    let retry = stage.enters().await;
    assert_eq!(
        retry.context.run.to_string(),
        first.rsplit('/').next().unwrap()
    );
    server.advance(30);
    let ledger = server.decided("task", minutes(3)).await;
    assert_eq!(
        ledger,
        [
            row("DISPATCHED", 1),
            row("DISPATCHED", 1),
            row("SKIPPED_OVERLAP", 1)
        ]
    );
    assert!(stage.is_empty(), "the second waits in line");
    retry.succeeds();

    let second = stage.enters().await;
    assert_eq!(second.context.nominal_at, Some(minutes(2)));
    second.succeeds();
    server.stop().await;
}

async fn allow_runs_the_slot_beside_a_retry(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let task = slow_to_retry(&stage).overlap(pb::OverlapPolicy::Allow);
    server.create("task", task).await;
    server.advance(60);
    let entered = stage.enters().await;
    let first = format!("tasks/task/runs/{}", entered.context.run);
    fails_for_a_while(entered);
    server.reaches(&first, pb::RunState::RetryWait).await;

    server.advance(60);
    let second = stage.enters().await;
    assert_eq!(second.context.nominal_at, Some(minutes(2)));
    server.advance(30);
    let retry = stage.enters().await;
    assert_eq!(
        (retry.context.nominal_at, retry.context.token),
        (Some(minutes(1)), 2)
    );
    retry.succeeds();
    second.succeeds();
    server.stop().await;
}

async fn a_manual_run_obeys_the_policy_too(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("skip", scripted(&stage)).await;
    server
        .create(
            "line",
            scripted(&stage).overlap(pb::OverlapPolicy::BufferOne),
        )
        .await;
    let trigger = |name: &str| pb::TriggerTaskRequest {
        name: format!("tasks/{name}"),
        ..Default::default()
    };
    let mut tasks = server.client.tasks();
    let first = server.trigger("skip").await;
    let entered = stage.enters().await;

    let (code, reason, status) = refused(tasks.trigger_task(trigger("skip")).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "OVERLAP")
    );
    let id = first.name.rsplit('/').next().unwrap();
    assert!(status.message().contains(id), "{status:?}");
    entered.succeeds();

    server.trigger("line").await;
    let entered = stage.enters().await;
    let waits = server.trigger("line").await;
    assert_eq!(waits.state(), pb::RunState::Queued);
    let (code, ..) = refused(tasks.trigger_task(trigger("line")).await);
    assert_eq!(code, Code::FailedPrecondition);
    entered.succeeds();
    let next = stage.enters().await.succeeds();
    assert!(waits.name.ends_with(&next.run.to_string()));
    server.ended(&waits.name).await;
    server.stop().await;
}

async fn a_run_that_cannot_start_in_time_expires(database: Database) {
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    server.create("blocker", scripted(&stage)).await;
    let mut hasty = instant();
    hasty.start_deadline = Some(seconds(120));
    server.create("hasty", hasty).await;
    server.trigger("blocker").await;
    let blocker = stage.enters().await;
    let run = server.trigger("hasty").await;
    assert_eq!(at(&run.start_deadline_time), "2026-03-02T12:02:00Z");

    server.advance(121);

    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Expired);
    assert_eq!(run.reason, "START_DEADLINE");
    assert_eq!(run.attempt, 0);
    assert_eq!(server.task("hasty").await.consecutive_failures, 1);
    let problem = server.problem("task.failing").await;
    assert_eq!(problem.subject, "tasks/hasty");
    blocker.succeeds();
    server.stop().await;
}

async fn a_retry_never_expires(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = scripted(&stage).attempts(2);
    task.start_deadline = Some(seconds(10));
    server.create("task", task).await;
    let run = server.trigger("task").await;
    fails_for_a_while(stage.enters().await);
    server.reaches(&run.name, pb::RunState::RetryWait).await;

    server.advance(90);

    stage.enters().await.succeeds();
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded);
    server.stop().await;
}

async fn a_line_moves_up_when_its_head_is_cancelled(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server
        .create(
            "task",
            scripted(&stage).overlap(pb::OverlapPolicy::BufferOne),
        )
        .await;
    let head = server.trigger("task").await;
    let _hangs = stage.enters().await;
    let next = server.trigger("task").await;

    let request = pb::CancelRunRequest {
        name: head.name.clone(),
        reason: "enough".to_owned(),
        ..Default::default()
    };
    server.client.runs().cancel_run(request).await.unwrap();

    let head = server.ended(&head.name).await;
    assert_eq!(head.state(), pb::RunState::Cancelled);
    let cancelled = head.cancellation.unwrap();
    assert_eq!(
        (cancelled.principal.as_str(), cancelled.reason.as_str()),
        ("admin", "enough")
    );
    stage.enters().await.succeeds();
    server.ended(&next.name).await;
    server.stop().await;
}

async fn higher_priority_is_served_first(database: Database) {
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    server.create("blocker", scripted(&stage)).await;
    for (name, priority) in [("low", 1), ("high", 9), ("middle", 5)] {
        let mut task = scripted(&stage);
        task.priority = Some(priority);
        server.create(name, task).await;
    }
    server.trigger("blocker").await;
    let blocker = stage.enters().await;
    for name in ["low", "middle", "high"] {
        server.trigger(name).await;
    }
    blocker.succeeds();

    for name in ["high", "middle", "low"] {
        let entered = stage.enters().await;
        assert_eq!(entered.context.task.as_str(), name);
        assert!(stage.is_empty());
        entered.succeeds();
    }
    server.stop().await;
}

async fn no_more_runs_are_under_way_than_allowed(database: Database) {
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 3");
    let server = site.start().await;
    for n in 0..6 {
        server.create(&format!("task-{n}"), scripted(&stage)).await;
        server.trigger(&format!("task-{n}")).await;
    }
    let mut under_way = Vec::new();
    for _ in 0..3 {
        under_way.push(stage.enters().await);
    }
    crate::support::until("the status to say so", async || {
        let runner = server.status().await.runner.unwrap();
        assert!(runner.running_count <= 3);
        (runner.running_count == 3 && runner.max_running == 3).then_some(())
    })
    .await;
    assert!(stage.is_empty());

    for entered in under_way {
        entered.succeeds();
        let next = stage.enters().await;
        next.succeeds();
    }
    server.stop().await;
}
