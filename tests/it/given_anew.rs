//! Names that are given anew: what belonged to the thing that had one before is not the other's.

use sea_orm::{ConnectionTrait as _, DbBackend};
use tonic::Code;
use watchbell_client::pb;

use crate::{
    following::{event, watch},
    support::{Database, Server, Site, TaskExt as _, instant, noon, on_both, refused, until},
};

on_both!(
    a_token_of_a_deleted_task_is_none_of_another_with_its_name,
    while_a_server_of_before_lives_tokens_are_as_it_reads_them,
);

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
        // What is under way would be in the snapshot of a watch.
        server.done("task", server.now()).await;
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

/// Whether a token of a watch of the task's runs, and one of a page of them, name the task itself; both are good.
async fn name_the_task(server: &Server) -> (bool, bool) {
    let watched = pb::WatchRunsRequest {
        task: "tasks/task".to_owned(),
        ..Default::default()
    };
    let mut told = watch(server, watched.clone()).await;
    let run = server.trigger("task").await;
    server.ended(&run.name).await;
    let (_, resume_token) = event(&mut told).await;
    let of_watch = resume_token.split('.').count() == 6;
    let resumed = pb::WatchRunsRequest {
        resume_token,
        ..watched
    };
    event(&mut watch(server, resumed).await).await;

    let runs = pb::ListRunsRequest {
        task: "tasks/task".to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let page = server.client.runs().list_runs(runs.clone()).await;
    let page_token = page.unwrap().into_inner().next_page_token;
    // In hexadecimal; what names the task stands behind a `#`.
    let mut bytes = page_token.as_bytes().chunks(2);
    let of_page = bytes.any(|byte| byte == b"23");
    let next = pb::ListRunsRequest { page_token, ..runs };
    let more = server.client.runs().list_runs(next).await;
    assert_eq!(more.unwrap().into_inner().runs.len(), 1);
    (of_watch, of_page)
}

/// A rolling upgrade: whoever follows comes to a server of before with what a new one gave.
async fn while_a_server_of_before_lives_tokens_are_as_it_reads_them(database: Database) {
    let site = Site::new(database);
    site.start().await.stop().await;
    let fate = site.database.connect(site.data()).await;
    let id = match fate.get_database_backend() {
        DbBackend::Postgres => "'00000000-0000-0000-0000-000000000001'",
        _ => "x'00000000000000000000000000000001'",
    };
    // It reads runs in few bytes already.
    let insert = format!(
        "INSERT INTO replicas (id, host, process_id, version, configuration_hash, started_at, seen_at, reads) \
         VALUES ({id}, 'before', 1, '0', '', 0, {}, 1)",
        noon().as_microsecond()
    );
    fate.execute_unprepared(&insert).await.unwrap();
    let server = site.start().await;
    server.create("task", instant()).await;
    for _ in 0..2 {
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
    }
    assert_eq!(name_the_task(&server).await, (false, false));
    server.advance(61);
    until("tokens that name the task", async || {
        server.advance(5);
        (name_the_task(&server).await == (true, true)).then_some(())
    })
    .await;
    fate.close().await.unwrap();
    server.stop().await;
}
