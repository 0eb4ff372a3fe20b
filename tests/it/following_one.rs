//! Watches of one run: they end with it, also where they begin behind its end.

use tonic::Code;
use watchbell_client::pb::{self, watch_runs_response::Message};

use crate::{
    following::{Watch, next, watch},
    support::{Database, Site, Stage, instant, on_both, refused},
};

on_both!(
    a_watch_of_one_run_ends_with_it,
    a_watch_of_one_run_that_is_resumed_behind_its_end_ends,
);

async fn until_ended(watch: &mut Watch, run: &str) {
    loop {
        if let Some(Message::Event(event)) = next(watch).await.message
            && event.r#type == "run.succeeded"
            && event.run.is_some_and(|ended| ended.name == run)
        {
            return;
        }
    }
}

async fn a_watch_of_one_run_ends_with_it(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let (run, entered) = stage.busy(&server, "task").await;
    let request = pb::WatchRunsRequest {
        run: run.name.clone(),
        ..Default::default()
    };
    let mut live = watch(&server, request.clone()).await;
    entered.succeeds();
    loop {
        if let Some(Message::End(end)) = next(&mut live).await.message {
            assert_eq!(end.reason, "RUN_ENDED");
            break;
        }
    }
    assert!(live.message().await.unwrap().is_none());

    // Of one that has ended: what it is, and the end.
    let mut late = watch(&server, request).await;
    let Some(Message::Snapshot(shown)) = next(&mut late).await.message else {
        panic!("expected the run");
    };
    assert_eq!(shown.state(), pb::RunState::Succeeded);
    let Some(Message::SnapshotEnd(_)) = next(&mut late).await.message else {
        panic!("expected the snapshot's end");
    };
    let Some(Message::End(end)) = next(&mut late).await.message else {
        panic!("expected the end");
    };
    assert_eq!(end.reason, "RUN_ENDED");
    server.stop().await;
}

async fn a_watch_of_one_run_that_is_resumed_behind_its_end_ends(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    // The log may be told a little later than the row is written.
    let mut told = watch(&server, pb::WatchRunsRequest::default()).await;
    let run = server.trigger("task").await.name;
    until_ended(&mut told, &run).await;
    let request = pb::WatchRunsRequest {
        run,
        ..Default::default()
    };
    let ends = async |request: pb::WatchRunsRequest| {
        let mut watch = watch(&server, request).await;
        let mut heard = Vec::new();
        loop {
            let message = next(&mut watch).await;
            match message.message {
                Some(Message::End(end)) => {
                    assert_eq!(end.reason, "RUN_ENDED");
                    assert!(watch.message().await.unwrap().is_none());
                    return (heard, message.resume_token);
                }
                Some(Message::Event(event)) => heard.push(event.r#type),
                _ => {}
            }
        }
    };
    let resumed = |resume_token: String| pb::WatchRunsRequest {
        resume_token,
        ..request.clone()
    };
    let (_, behind) = ends(request.clone()).await;
    assert_eq!(ends(resumed(behind.clone())).await, (vec![], behind));
    let anew = pb::WatchRunsRequest {
        skip_snapshot: true,
        ..request.clone()
    };
    let (heard, token) = ends(anew).await;
    assert!(heard.is_empty(), "{heard:?}");
    // Others have told more since.
    let other = server.trigger("task").await.name;
    until_ended(&mut told, &other).await;
    assert!(ends(resumed(token)).await.0.is_empty());
    // What would never be told is refused.
    server.create("other", instant()).await;
    let mismatch = pb::WatchRunsRequest {
        task: "tasks/other".to_owned(),
        ..request
    };
    let answer = server.client.runs().watch_runs(mismatch).await;
    let (code, reason, _) = refused(answer.map(|_| ()));
    assert_eq!((code, reason.as_str()), (Code::NotFound, "RUN_NOT_FOUND"));
    server.stop().await;
}
