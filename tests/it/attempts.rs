//! How attempts end, and what follows from it.

use jiff::SignedDuration;
use tonic::Code;
use watchbell::engine::{Done, Failure};
use watchbell_client::pb;

use crate::support::{
    Act, Database, Site, Stage, TaskExt as _, instant, on_both, refused, scripted, seconds,
};

on_both!(
    a_failed_attempt_is_repeated_until_none_is_left,
    a_failure_that_cannot_mend_is_not_repeated,
    a_panic_is_a_failed_attempt_and_no_dead_worker,
    an_attempt_that_takes_too_long_is_stopped_and_timed_out,
    a_handler_that_does_not_stop_is_cut_off_and_may_write_no_more,
    a_handler_that_succeeds_once_it_was_cancelled_is_cancelled,
    an_end_that_came_before_the_wish_to_cancel_stays,
    a_failure_that_came_before_the_wish_to_cancel_gets_no_other_attempt,
    an_end_that_came_before_the_timeout_stays,
    a_partial_success_is_no_last_success,
    a_dry_run_counts_in_no_statistic,
    a_run_that_ended_is_retried_by_a_person_as_a_new_run,
    statistics_count_what_happened,
);

async fn a_failed_attempt_is_repeated_until_none_is_left(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage).attempts(3)).await;
    let run = server.trigger("task").await;
    for token in 1..=3 {
        let entered = stage.enters().await;
        assert_eq!(entered.context.token, token);
        entered.fails();
        if token < 3 {
            let waiting = server.reaches(&run.name, pb::RunState::RetryWait).await;
            assert_eq!(waiting.message, "as the test said");
            // Full jitter: the wait is anything up to the backoff, which is a second.
            server.advance(1);
        }
    }

    let run = server.ended(&run.name).await;
    assert_eq!(
        (run.state(), run.reason.as_str()),
        (pb::RunState::Failed, "ERROR")
    );
    assert_eq!(run.attempts.len(), 2);
    assert_eq!(server.task("task").await.consecutive_failures, 1);
    server.stop().await;
}

async fn a_failure_that_cannot_mend_is_not_repeated(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage).attempts(3)).await;
    let run = server.trigger("task").await;

    let failure = Failure::never(anyhow::anyhow!("no such file"));
    stage.enters().await.act(Act::Fail(failure));

    let run = server.ended(&run.name).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::Failed, 1));
    server.stop().await;
}

async fn a_panic_is_a_failed_attempt_and_no_dead_worker(database: Database) {
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let run = server.trigger("task").await;
    stage.enters().await.act(Act::Panic("index out of bounds"));

    let run = server.ended(&run.name).await;
    assert_eq!(
        (run.state(), run.reason.as_str()),
        (pb::RunState::Failed, "PANIC")
    );
    assert!(
        run.message.contains("index out of bounds"),
        "{}",
        run.message
    );

    // The only place there is serves the next.
    let run = server.trigger("task").await;
    stage.enters().await.succeeds();
    assert_eq!(
        server.ended(&run.name).await.state(),
        pb::RunState::Succeeded
    );
    server.stop().await;
}

async fn an_attempt_that_takes_too_long_is_stopped_and_timed_out(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = scripted(&stage).attempts(2);
    task.attempt_timeout = Some(seconds(30));
    server.create("task", task).await;
    let run = server.trigger("task").await;
    let _first = stage.enters().await;
    server.advance(30);
    let waiting = server.reaches(&run.name, pb::RunState::RetryWait).await;
    assert_eq!(waiting.reason, "ATTEMPT_TIMEOUT");
    server.advance(1);
    let _second = stage.enters().await;
    server.advance(30);

    let run = server.ended(&run.name).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::TimedOut, 2));
    assert!(run.message.contains("30s"), "{}", run.message);
    server.stop().await;
}

async fn a_handler_that_does_not_stop_is_cut_off_and_may_write_no_more(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = scripted(&stage);
    task.cancel_grace = Some(seconds(5));
    server.create("task", task).await;
    let run = server.trigger("task").await;
    let stubborn = stage.enters().await.ignores_everything();
    let mut tx = stubborn.begin().await.unwrap();
    tx.tell(told(&run.name));
    tx.commit().await.unwrap();

    let request = pb::CancelRunRequest {
        name: run.name.clone(),
        ..Default::default()
    };
    let asked = server
        .client
        .runs()
        .cancel_run(request.clone())
        .await
        .unwrap();
    let asked = asked.into_inner().run.unwrap();
    assert_eq!(asked.state(), pb::RunState::Running);
    assert!(asked.cancellation.is_some());
    stubborn.cancel.cancelled().await;
    server.advance(6);

    let ended = server.ended(&run.name).await;
    assert_eq!(
        (ended.state(), ended.reason.as_str()),
        (pb::RunState::Cancelled, "CANCEL_FORCED")
    );
    let mut tx = stubborn.begin().await.unwrap();
    tx.tell(told(&run.name));
    let fenced = tx.commit().await.unwrap_err();
    assert!(matches!(
        fenced,
        watchbell::error::Error::Aborted {
            reason: watchbell::error::Reason::LeaseLost,
            ..
        }
    ));
    let (code, reason, _) = refused(server.client.runs().cancel_run(request).await);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "ENDED"));
    server.stop().await;
}

fn told(subject: &str) -> watchbell::domain::NewEvent {
    let kind = watchbell::domain::EventKind::RunProgressed;
    watchbell::domain::NewEvent::new(kind, None, subject.to_owned(), &serde_json::json!({}))
}

/// What a run comes to whose handler returns this once it was cancelled.
async fn cancelled_and_returns(
    database: Database,
    attempts: i32,
    returned: Result<Done, Failure>,
) -> (pb::Run, pb::Task) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server
        .create("task", scripted(&stage).attempts(attempts))
        .await;
    let run = server.trigger("task").await;
    stage.enters().await.act(Act::EndOnceAsked(returned));
    let request = pb::CancelRunRequest {
        name: run.name.clone(),
        ..Default::default()
    };
    server.client.runs().cancel_run(request).await.unwrap();
    let run = server.ended(&run.name).await;
    let task = server.task("task").await;
    server.stop().await;
    (run, task)
}

async fn a_handler_that_succeeds_once_it_was_cancelled_is_cancelled(database: Database) {
    let returned = Ok(Done::worked("all the same"));
    let (run, task) = cancelled_and_returns(database, 1, returned).await;
    assert_eq!(run.state(), pb::RunState::Cancelled);
    assert_eq!(run.outcome(), pb::RunOutcome::Unspecified);
    assert_eq!(task.last_success_time, None);
}

async fn an_end_that_came_before_the_wish_to_cancel_stays(database: Database) {
    let returned = Ok(Done::worked("it had ended").of_its_own());
    let (run, task) = cancelled_and_returns(database, 1, returned).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.reason);
    assert_eq!(run.outcome(), pb::RunOutcome::Worked);
    assert!(run.cancellation.is_some(), "the wish is kept");
    assert!(task.last_success_time.is_some());
}

async fn a_failure_that_came_before_the_wish_to_cancel_gets_no_other_attempt(database: Database) {
    let failure = || Failure::from(anyhow::anyhow!("as the test said")).of_its_own();
    let (run, _) = cancelled_and_returns(database, 3, Err(failure())).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::Cancelled, 1));
    assert_eq!(run.message, "as the test said");
}

async fn an_end_that_came_before_the_timeout_stays(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = scripted(&stage);
    task.attempt_timeout = Some(seconds(30));
    server.create("task", task).await;
    let run = server.trigger("task").await;
    let failure = Failure::from(anyhow::anyhow!("as the test said")).of_its_own();
    stage.enters().await.act(Act::EndOnceAsked(Err(failure)));
    server.advance(30);

    let run = server.ended(&run.name).await;
    assert_eq!(
        (run.state(), run.reason.as_str()),
        (pb::RunState::Failed, "ERROR")
    );
    server.stop().await;
}

async fn a_partial_success_is_no_last_success(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let run = server.trigger("task").await;
    let done = Done::partial("7 of 9").count("failed", 2);
    stage.enters().await.act(Act::End(done));

    let run = server.ended(&run.name).await;
    assert_eq!(
        (run.state(), run.outcome()),
        (pb::RunState::Succeeded, pb::RunOutcome::Partial)
    );
    assert_eq!(run.counters["failed"], 2);
    let task = server.task("task").await;
    assert_eq!(task.last_success_time, None);
    assert_eq!(task.last_run.unwrap().outcome(), pb::RunOutcome::Partial);
    server.stop().await;
}

async fn a_dry_run_counts_in_no_statistic(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let request = pb::TriggerTaskRequest {
        name: "tasks/task".to_owned(),
        dry_run: true,
        ..Default::default()
    };
    let answer = server.client.tasks().trigger_task(request).await.unwrap();
    let run = answer.into_inner().run.unwrap();
    let entered = stage.enters().await;
    assert!(entered.context.dry_run);
    entered.fails();

    assert_eq!(server.ended(&run.name).await.state(), pb::RunState::Failed);
    let task = server.task("task").await;
    assert_eq!((task.last_run, task.consecutive_failures), (None, 0));
    let request = pb::GetTaskStatisticsRequest {
        name: "tasks/task".to_owned(),
    };
    let figures = server.client.tasks().get_task_statistics(request).await;
    assert_eq!(figures.unwrap().into_inner().last_day.unwrap().runs, 0);
    server.stop().await;
}

async fn a_run_that_ended_is_retried_by_a_person_as_a_new_run(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server
        .create("task", scripted(&stage).cron("0 * * * *"))
        .await;
    server.advance(3600);
    let entered = stage.enters().await;
    let failed = format!("tasks/task/runs/{}", entered.context.run);
    let request = pb::RetryRunRequest {
        name: failed.clone(),
        reason: "mended".to_owned(),
        ..Default::default()
    };
    let (code, reason, _) = refused(server.client.runs().retry_run(request.clone()).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "NOT_ENDED")
    );
    entered.fails();
    let before = server.ended(&failed).await;

    let answer = server.client.runs().retry_run(request).await.unwrap();
    let again = answer.into_inner().run.unwrap();

    assert_eq!(again.retry_of, failed);
    assert_eq!(again.trigger(), pb::RunTrigger::Retry);
    assert_eq!(again.nominal_time, before.nominal_time);
    assert_eq!(again.request_reason, "mended");
    stage.enters().await.succeeds();
    server.ended(&again.name).await;
    assert_eq!(server.run(&failed).await, before, "history is immutable");
    assert_eq!(server.task("task").await.consecutive_failures, 0);
    server.stop().await;
}

async fn statistics_count_what_happened(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    server.create("idle", instant()).await;
    for seconds in [10, 20, 30] {
        let run = server.trigger("task").await;
        let entered = stage.enters().await;
        server.advance(seconds);
        if seconds == 30 {
            entered.fails();
        } else {
            entered.succeeds();
        }
        server.ended(&run.name).await;
    }

    let request = pb::GetTaskStatisticsRequest {
        name: "tasks/task".to_owned(),
    };
    let figures = server.client.tasks().get_task_statistics(request).await;
    let day = figures.unwrap().into_inner().last_day.unwrap();
    assert_eq!((day.runs, day.successes, day.failures), (3, 2, 1));
    assert_eq!(day.duration_p50, Some(seconds(20)));
    assert_eq!(day.duration_max, Some(seconds(30)));
    server.without_backups().await;
    site.clock.advance(SignedDuration::from_hours(25));
    let request = pb::GetTaskStatisticsRequest {
        name: "tasks/task".to_owned(),
    };
    let figures = server.client.tasks().get_task_statistics(request).await;
    let figures = figures.unwrap().into_inner();
    assert_eq!(figures.last_day.unwrap().runs, 0);
    assert_eq!(figures.last_week.unwrap().runs, 3);
    server.stop().await;
}
