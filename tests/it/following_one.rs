//! Watches of one run: they end with it, also where they begin behind its end.

use watchbell_client::pb::{self, watch_runs_response::Message};

use crate::{
    following::{next, watch},
    support::{Database, Site, Stage, instant, on_both, scripted},
};

on_both!(
    a_watch_of_one_run_ends_with_it,
    a_watch_of_one_run_that_is_resumed_behind_its_end_ends,
);

async fn a_watch_of_one_run_ends_with_it(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let run = server.trigger("task").await;
    let entered = stage.enters().await;
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
    let run = server.trigger("task").await.name;
    server.ended(&run).await;
    let request = pb::WatchRunsRequest {
        run,
        ..Default::default()
    };
    let ends = async |request: pb::WatchRunsRequest| {
        let mut watch = watch(&server, request).await;
        let mut told = Vec::new();
        loop {
            let message = next(&mut watch).await;
            match message.message {
                Some(Message::End(end)) => {
                    assert_eq!(end.reason, "RUN_ENDED");
                    assert!(watch.message().await.unwrap().is_none());
                    return (told, message.resume_token);
                }
                Some(Message::Event(event)) => told.push(event.r#type),
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
    let (told, token) = ends(anew).await;
    assert!(told.is_empty(), "{told:?}");
    // Others have told more since.
    let other = server.trigger("task").await.name;
    server.ended(&other).await;
    assert!(ends(resumed(token)).await.0.is_empty());
    server.stop().await;
}
