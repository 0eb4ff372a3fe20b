//! Calls at once on one connection.

use futures_util::{poll, stream};
use tokio::task::JoinHandle;
use tonic::{Code, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;
use watchbell_client::pb::{
    self, run_service_client::RunServiceClient, scheduler_service_client::SchedulerServiceClient,
};

use super::{channel, shown, token, with_token};
use crate::support::{Database, Site, Stage, scripted, until, within};

const CALLS: usize = 4;
const LASTING: usize = 3;

/// A call that is under way until it is given up: its request does not end.
fn held(site: &Site, channel: &Channel) -> JoinHandle<()> {
    let mut grpc = Grpc::new(channel.clone());
    let token = token(site);
    tokio::spawn(async move {
        loop {
            let request = with_token(&token, stream::pending::<pb::GetTaskRequest>());
            grpc.ready().await.unwrap();
            let path = PathAndQuery::from_static("/watchbell.v1.TaskService/GetTask");
            let codec = ProstCodec::<pb::GetTaskRequest, pb::GetTaskResponse>::default();
            let ended = grpc.client_streaming(request, path, codec).await;
            // Someone else had its place for a moment.
            assert_eq!(ended.unwrap_err().code(), Code::ResourceExhausted);
        }
    })
}

fn is_too_many(status: &Status, says: &str) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "TOO_MANY_CALLS");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    assert!(status.message().contains(says), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_may_be_are_refused_and_streams_and_waits_are_none_of_them() {
    let mut stage = Stage::new();
    let mut site = Site::new(Database::sqlite());
    (site.bounds.calls, site.bounds.lasting) = (CALLS, LASTING);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let run = server.trigger("task").await;
    let entered = stage.enters().await;
    let channel = channel(&server).await;
    let mut runs = RunServiceClient::new(channel.clone());
    let mut scheduler = SchedulerServiceClient::new(channel.clone());

    // Two watches and a wait: as many as may last.
    let mut watches = Vec::new();
    for _ in 0..LASTING - 1 {
        let watch = runs.watch_runs(shown(&site, pb::WatchRunsRequest::default()));
        watches.push(watch.await.unwrap().into_inner());
    }
    let wait = pb::WaitRunRequest {
        name: run.name.clone(),
        timeout: None,
    };
    let (request, token, mut waiter) = (wait.clone(), token(&site), runs.clone());
    let mut waits = Box::pin(async move {
        loop {
            let waited = waiter.wait_run(with_token(&token, request.clone())).await;
            match waited {
                Err(status) if status.code() == Code::ResourceExhausted => {}
                waited => return waited,
            }
        }
    });
    // Sent before what is tried next on the same connection: a watch that got its place for a moment would leave it to
    // the other wait.
    assert!(poll!(&mut waits).is_pending());
    let waits = tokio::spawn(waits);
    let refused = until("no room for another watch", async || {
        let watch = runs.watch_runs(shown(&site, pb::WatchRunsRequest::default()));
        watch.await.err()
    })
    .await;
    is_too_many(&refused, "3 streams and waits");
    is_too_many(
        &runs.wait_run(shown(&site, wait)).await.unwrap_err(),
        "another connection",
    );

    // There is room for calls all the same; and then there is none.
    let info = || shown(&site, pb::GetServerInfoRequest {});
    scheduler.get_server_info(info()).await.unwrap();
    let held: Vec<_> = (0..CALLS).map(|_| held(&site, &channel)).collect();
    let refused = until("no room for another call", async || {
        scheduler.get_server_info(info()).await.err()
    })
    .await;
    is_too_many(&refused, "4 calls");
    // Another connection is another matter.
    server.status().await;

    // What lasts goes on, and its end makes room for others of its kind alone.
    entered.succeeds();
    let waited = within("the wait", waits)
        .await
        .unwrap()
        .unwrap()
        .into_inner();
    assert!(waited.done);
    scheduler.get_server_info(info()).await.unwrap_err();
    for call in held {
        call.abort();
    }
    until("room for calls", async || {
        scheduler.get_server_info(info()).await.ok()
    })
    .await;
    drop(watches);
    until("room for watches", async || {
        let watch = runs.watch_runs(shown(&site, pb::WatchRunsRequest::default()));
        watch.await.ok()
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_leave_nothing_behind() {
    let mut site = Site::new(Database::sqlite());
    site.bounds.calls = CALLS;
    let server = site.start().await;
    let channel = channel(&server).await;
    let mut scheduler = SchedulerServiceClient::new(channel.clone());
    for _ in 0..10 {
        let calls: Vec<_> = (0..CALLS).map(|_| held(&site, &channel)).collect();
        for call in &calls {
            tokio::task::yield_now().await;
            call.abort();
        }
    }
    until("room for calls", async || {
        let info = shown(&site, pb::GetServerInfoRequest {});
        scheduler.get_server_info(info).await.ok()
    })
    .await;
    server.stop().await;
}
