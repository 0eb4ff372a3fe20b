//! Events of runs beside servers of before, which told them as JSON, and read nothing else.

use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use uuid::Uuid;
use watchbell::domain::{Event, TaskId};
use watchbell_client::pb;

use crate::{
    following::{event, watch},
    support::{Database, Site, instant, noon, on_both, until},
};

on_both!(
    what_a_server_of_before_told_is_read_as_ever,
    while_a_server_of_before_lives_it_is_told_what_it_reads,
);

/// Its event as JSON, in the row as it was then.
async fn what_a_server_of_before_told_is_read_as_ever(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    let request = pb::WatchRunsRequest {
        task: "tasks/task".to_owned(),
        ..Default::default()
    };
    let mut watch = watch(&server, request.clone()).await;
    let name = server.trigger("task").await.name;
    server.ended(&name).await;
    let mut told = Vec::new();
    let mut token = None;
    while told
        .last()
        .is_none_or(|event: &pb::RunEvent| event.r#type != "run.succeeded")
    {
        let (next, at) = event(&mut watch).await;
        told.push(next);
        token.get_or_insert(at);
    }
    server.stop().await;

    let fate = site.database.connect(site.data()).await;
    let backend = fate.get_database_backend();
    let select =
        "SELECT sequence, task_id, payload FROM events WHERE kind LIKE 'run.%' ORDER BY sequence";
    let select = Statement::from_string(backend, select);
    for row in fate.query_all_raw(select).await.unwrap() {
        let sequence: i64 = row.try_get_by_index(0).unwrap();
        let of: Uuid = row.try_get_by_index(1).unwrap();
        let payload: String = row.try_get_by_index(2).unwrap();
        assert!(payload.starts_with('1'), "{payload:?}");
        let kind = "run.queued".to_owned();
        let (at, of) = (jiff::Timestamp::MIN, Some(TaskId(of)));
        let subject = "task".to_owned();
        let run = Event::new(sequence, at, kind, of, subject, payload).run();
        let json = serde_json::to_string(&*run.unwrap()).unwrap();
        let update = format!(
            "UPDATE events SET subject = '{name}', payload = '{json}' WHERE sequence = {sequence}"
        );
        fate.execute_unprepared(&update).await.unwrap();
    }
    fate.close().await.unwrap();

    let server = site.start().await;
    let request = pb::WatchRunsRequest {
        resume_token: token.unwrap(),
        ..request
    };
    let mut watch = crate::following::watch(&server, request).await;
    for before in &told[1..] {
        assert_eq!(event(&mut watch).await.0, *before);
    }
    server.stop().await;
}

/// A rolling upgrade: what a server of before cannot read is not told while it lives.
async fn while_a_server_of_before_lives_it_is_told_what_it_reads(database: Database) {
    let site = Site::new(database);
    site.start().await.stop().await;
    let fate = site.database.connect(site.data()).await;
    let backend = fate.get_database_backend();
    let id = match backend {
        DbBackend::Postgres => "'00000000-0000-0000-0000-000000000001'",
        _ => "x'00000000000000000000000000000001'",
    };
    let insert = format!(
        "INSERT INTO replicas (id, host, process_id, version, configuration_hash, started_at, seen_at) \
         VALUES ({id}, 'before', 1, '0', '', 0, {})",
        noon().as_microsecond()
    );
    fate.execute_unprepared(&insert).await.unwrap();
    let server = site.start().await;
    server.create("task", instant()).await;
    let compact = async || {
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
        let select = "SELECT count(*) FROM events WHERE kind LIKE 'run.%' AND subject = 'task'";
        let row = fate
            .query_one_raw(Statement::from_string(backend, select))
            .await;
        row.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap()
    };
    assert_eq!(compact().await, 0);
    server.advance(30);
    assert_eq!(compact().await, 0, "it may be about to give a sign");
    server.advance(31);
    until("events in few bytes", async || {
        server.advance(5);
        (0 < compact().await).then_some(())
    })
    .await;
    fate.close().await.unwrap();
    server.stop().await;
}
