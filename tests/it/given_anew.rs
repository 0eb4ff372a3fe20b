//! Names that are given anew: what belonged to the thing that had one before is not the other's.

use tonic::Code;
use watchbell_client::pb;

use crate::{
    following::{event, watch},
    support::{Database, Server, Site, TaskExt as _, instant, on_both, refused},
};

on_both!(a_token_of_a_deleted_task_is_none_of_another_with_its_name);

/// Two runs, two slots.
async fn lived(server: &Server) {
    server
        .create(
            "task",
            instant()
                .cron("* * * * *")
                .overlap(pb::OverlapPolicy::Allow),
        )
        .await;
    for _ in 0..2 {
        server.advance(60);
        server.decided("task", server.now()).await;
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
    }
}

async fn delete(server: &Server) {
    let request = pb::DeleteTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    server.client.tasks().delete_task(request).await.unwrap();
}

async fn a_token_of_a_deleted_task_is_none_of_another_with_its_name(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    lived(&server).await;
    let watched = pb::WatchRunsRequest {
        task: "tasks/task".to_owned(),
        ..Default::default()
    };
    let mut told = watch(&server, watched.clone()).await;
    let run = server.trigger("task").await;
    server.ended(&run.name).await;
    let (_, resume_token) = event(&mut told).await;
    let resumed = pb::WatchRunsRequest {
        resume_token,
        ..watched
    };
    let runs = pb::ListRunsRequest {
        task: "tasks/task".to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let slots = pb::ListSlotsRequest {
        task: "tasks/task".to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let page = server.client.runs().list_runs(runs.clone()).await;
    let next_runs = pb::ListRunsRequest {
        page_token: page.unwrap().into_inner().next_page_token,
        ..runs
    };
    let page = server.client.tasks().list_slots(slots.clone()).await;
    let next_slots = pb::ListSlotsRequest {
        page_token: page.unwrap().into_inner().next_page_token,
        ..slots
    };
    assert_ne!(next_runs.page_token, "");
    assert_ne!(next_slots.page_token, "");

    // Of the task that is there they are good.
    watch(&server, resumed.clone()).await;
    let more = server.client.runs().list_runs(next_runs.clone()).await;
    assert_eq!(more.unwrap().into_inner().runs.len(), 1);
    let more = server.client.tasks().list_slots(next_slots.clone()).await;
    assert_eq!(more.unwrap().into_inner().slots.len(), 1);

    delete(&server).await;
    let (code, reason, _) = refused(server.client.runs().watch_runs(resumed.clone()).await);
    assert_eq!((code, reason.as_str()), (Code::NotFound, "TASK_NOT_FOUND"));
    // Its runs are there still, and are listed by its name.
    let more = server.client.runs().list_runs(next_runs.clone()).await;
    assert_eq!(more.unwrap().into_inner().runs.len(), 1);
    lived(&server).await;
    let answers = [
        refused(server.client.runs().watch_runs(resumed).await),
        refused(server.client.runs().list_runs(next_runs).await),
        refused(server.client.tasks().list_slots(next_slots).await),
    ];
    for (code, reason, status) in answers {
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "REPLACED"),
            "{status:?}"
        );
    }
    server.stop().await;
}
