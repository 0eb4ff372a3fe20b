//! WatchStatus: whoever watches hears of a problem when it comes, and when it goes.

use std::time::Duration;

use tonic::{Request, Streaming};
use watchbell_client::pb;

use crate::support::{Database, Server, Site, Stage, TaskExt as _, on_both, scripted, within};

on_both!(
    a_problem_is_told_when_it_comes_and_when_it_goes,
    a_watch_ends_with_the_server_and_says_why,
    a_watch_ends_before_its_caller_gives_up,
);

type Told = Streaming<pb::WatchStatusResponse>;

async fn watch(server: &Server) -> Told {
    let request = pb::WatchStatusRequest {};
    let answer = server.client.scheduler().watch_status(request).await;
    answer.unwrap().into_inner()
}

/// The next message; none once the stream is over.
async fn next(told: &mut Told) -> Option<pb::WatchStatusResponse> {
    let message = within("a message of the watch", told.message()).await;
    message.unwrap()
}

/// The status that is told next for which this holds.
async fn until(told: &mut Told, holds: impl Fn(&pb::Status) -> bool) -> pb::Status {
    within("the status that is waited for", async {
        loop {
            let message = told.message().await.unwrap().expect("the watch goes on");
            let status = message.status.expect("the watch goes on");
            if holds(&status) {
                return status;
            }
        }
    })
    .await
}

fn has(status: &pb::Status, kind: &str) -> bool {
    status.problems.iter().any(|problem| problem.r#type == kind)
}

async fn a_problem_is_told_when_it_comes_and_when_it_goes(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage).attempts(1)).await;
    let mut told = watch(&server).await;
    let first = next(&mut told).await.unwrap().status.unwrap();
    assert!(!has(&first, "task.failing"), "{first:?}");

    let run = server.trigger("task").await;
    stage.enters().await.fails();
    server.ended(&run.name).await;

    let failing = until(&mut told, |status| has(status, "task.failing")).await;
    assert_ne!(failing.overall(), pb::Severity::Ok);
    let problem = |problem: &&pb::Problem| problem.r#type == "task.failing";
    let problem = failing.problems.iter().find(problem).unwrap();
    assert_eq!(problem.subject, "tasks/task");

    let run = server.trigger("task").await;
    stage.enters().await.succeeds();
    server.ended(&run.name).await;

    let mended = until(&mut told, |status| !has(status, "task.failing")).await;
    assert_eq!(mended.failing_task_count, 0, "{mended:?}");
    server.stop().await;
}

async fn a_watch_ends_with_the_server_and_says_why(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut told = watch(&server).await;
    assert!(next(&mut told).await.unwrap().status.is_some());

    server.drain();

    let end = within("the end of the watch", async {
        loop {
            let message = told.message().await.unwrap().expect("an end is told");
            if let Some(end) = message.end {
                assert_eq!(message.status, None);
                return end;
            }
        }
    })
    .await;
    assert_eq!(end.reason, "DRAINING");
    assert_eq!(next(&mut told).await, None, "nothing comes behind the end");
    server.stopped().await;
}

async fn a_watch_ends_before_its_caller_gives_up(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut request = Request::new(pb::WatchStatusRequest {});
    request.set_timeout(Duration::from_secs(3));
    let answer = server.client.scheduler().watch_status(request).await;
    let mut told = answer.unwrap().into_inner();
    let mut end = None;
    while let Some(message) = next(&mut told).await {
        end = message.end;
    }
    assert_eq!(end.unwrap().reason, "DEADLINE");
    server.stop().await;
}

/// It takes its 15 seconds, and side by side with others: once is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_gives_a_sign_of_life_while_nothing_happens() {
    let site = Site::new(Database::sqlite());
    let server = site.start().await;
    let mut told = watch(&server).await;
    let mut last = next(&mut told).await.unwrap().status.unwrap();
    // What a start changes may come first. Then the same again says nothing but that the server lives.
    within("a sign of life", async {
        loop {
            let message = told.message().await.unwrap().expect("the watch goes on");
            let status = message.status.expect("the watch goes on");
            let same = status.problems == last.problems && status.scheduler == last.scheduler;
            if same && status.runner == last.runner {
                return;
            }
            last = status;
        }
    })
    .await;
    server.stop().await;
}
