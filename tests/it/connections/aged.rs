//! A connection at its age: watches end with a word, and everything else ends as it would.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use watchbell::clock::Stopwatch;
use watchbell_client::{
    call::unary,
    pb::{
        self, document_service_client::DocumentServiceClient, run_service_client::RunServiceClient,
        scheduler_service_client::SchedulerServiceClient, watch_runs_response::Message,
    },
};

use super::{another, channel, raw::Raw, shown};
use crate::{
    contents::desk::{bytes, data, header, heading},
    support::{Database, Site, Stage, instant, on_both, scripted, within},
};

on_both!(at_its_age_watches_end_with_a_word_and_calls_as_they_would);

async fn at_its_age_watches_end_with_a_word_and_calls_as_they_would(database: Database) {
    let mut stage = Stage::new();
    let mut site = Site::new(database);
    // Within it all is begun, also on a machine that is busy.
    site.bounds.age = Duration::from_secs(3);
    site.bounds.notice = Duration::from_millis(100);
    let mut server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let run = server.trigger("task").await;
    let entered = stage.enters().await;

    // All on one connection.
    let channel = channel(&server).await;
    let mut runs = RunServiceClient::new(channel.clone());
    let watch = runs.watch_runs(shown(&site, pb::WatchRunsRequest::default()));
    let mut watch = watch.await.unwrap().into_inner();
    let tail = pb::TailRunLogRequest {
        name: run.name.clone(),
        follow: true,
        ..Default::default()
    };
    let tail = runs.tail_run_log(shown(&site, tail)).await;
    let mut tail = tail.unwrap().into_inner();
    let mut scheduler = SchedulerServiceClient::new(channel.clone());
    let status = scheduler.watch_status(shown(&site, pb::WatchStatusRequest {}));
    let mut status = status.await.unwrap().into_inner();
    let mut health = HealthClient::new(channel.clone());
    let health = health.watch(HealthCheckRequest::default()).await;
    let mut health = health.unwrap().into_inner();
    let wait = pb::WaitRunRequest {
        name: run.name.clone(),
        timeout: None,
    };
    let (request, mut waiter) = (shown(&site, wait), runs.clone());
    let waits = tokio::spawn(async move { waiter.wait_run(request).await });
    let content = bytes(300_000, 3);
    let (upload, messages) = mpsc::channel(4);
    upload.send(heading(header(&content))).await.unwrap();
    upload.send(data(&content[..100_000])).await.unwrap();
    let request = shown(&site, ReceiverStream::new(messages));
    let mut documents = DocumentServiceClient::new(channel.clone());
    let uploads = tokio::spawn(async move { documents.upload_content(request).await });

    let (end, token) = loop {
        let message = within("the end of the watch", watch.message()).await;
        let message = message.unwrap().unwrap();
        if let Some(Message::End(end)) = message.message {
            break (end, message.resume_token);
        }
    };
    let back: Duration = end.retry_after.unwrap().try_into().unwrap();
    assert_eq!(end.reason, "CONNECTION_AGE");
    assert!(back < Duration::from_secs(3), "{back:?}");
    assert!(watch.message().await.unwrap().is_none());
    let told = loop {
        let message = within("the end of the tail", tail.message()).await;
        if let Some(pb::tail_run_log_response::Message::End(end)) =
            message.unwrap().unwrap().message
        {
            break end.reason;
        }
    };
    assert_eq!(told, "CONNECTION_AGE");
    let told = loop {
        let message = within("the end of the status", status.message()).await;
        if let Some(end) = message.unwrap().unwrap().end {
            break end.reason;
        }
    };
    assert_eq!(told, "CONNECTION_AGE");
    let told = loop {
        match within("the end of the health", health.message()).await {
            Ok(message) => assert!(message.is_some(), "it ends with a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(told.code(), Code::Unavailable);
    assert!(told.message().contains("its age"), "{told:?}");

    // The token goes on elsewhere, with nothing lost. The wait and the upload still have their connection. That of the
    // server's own client goes at about this time, too, and a call that comes then would have to be sent again.
    server.client = another(&site, &server).await;
    server.create("other", instant()).await;
    let other = server.trigger("other").await;
    server.ended(&other.name).await;
    let request = pb::WatchRunsRequest {
        resume_token: token,
        ..Default::default()
    };
    let watch = server.client.runs().watch_runs(request).await;
    let mut watch = watch.unwrap().into_inner();
    let first = within("an event", watch.message()).await.unwrap().unwrap();
    let Some(Message::Event(event)) = first.message else {
        panic!("expected an event, got {first:?}");
    };
    assert_eq!(event.run.unwrap().name, other.name);
    entered.succeeds();
    let waited = within("the wait", waits).await.unwrap().unwrap();
    assert!(waited.into_inner().done);
    upload.send(data(&content[100_000..])).await.unwrap();
    drop(upload);
    let stored = within("the upload", uploads).await.unwrap().unwrap();
    let stored = stored.into_inner().content.unwrap();
    assert_eq!(stored.size, 300_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_hear_nothing_of_the_age_of_their_connection() {
    let mut site = Site::new(Database::sqlite());
    site.bounds.age = Duration::from_millis(200);
    site.bounds.notice = Duration::from_millis(50);
    let server = site.start().await;
    let mut idle = Raw::begun(server.address).await;
    let (watch, mut calls) = (Stopwatch::start(), 0);
    while watch.elapsed() < Duration::from_secs(2) || calls <= 10 {
        let info = pb::GetServerInfoRequest {};
        // One that comes as its connection goes was not sent, and is sent again.
        let answer = unary(info, async |info| {
            server.client.scheduler().get_server_info(info).await
        });
        let answer = answer.await;
        answer.unwrap_or_else(|error| panic!("call {calls}: {error:?}"));
        calls += 1;
    }
    // One that asks nothing, and does not go, is closed.
    idle.is_sent_away().await;
    server.stop().await;
}
