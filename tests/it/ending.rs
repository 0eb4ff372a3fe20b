//! The end of a pause of everything, which comes for some tasks after others.

use jiff::SignedDuration;
use watchbell_client::pb;

use crate::{
    catalogue::update,
    edits_and_pauses::row,
    support::{Database, Server, Site, many, noon, on_both, until},
};

on_both!(the_end_of_a_pause_of_everything_goes_on_where_it_was_broken_off);

/// More than two portions.
const TASKS: usize = 1100;
/// In the first portion, the second and the third.
const THREE: [&str; 3] = ["t0000", "t0700", "t1099"];

async fn pause(server: &Server) {
    let request = pb::PauseAllRequest::default();
    server.client.scheduler().pause_all(request).await.unwrap();
}

async fn the_end_of_a_pause_of_everything_goes_on_where_it_was_broken_off(database: Database) {
    let tasks = many(TASKS, "{ cron = \"*/10 * * * *\" }");
    let site = Site::configured(database, &tasks);
    let server = site.start().await;
    server.without_backups().await;
    for description in ["one", "another"] {
        let change = pb::Task {
            name: "tasks/t1099".to_owned(),
            description: description.to_owned(),
            ..pb::Task::default()
        };
        update(&server, change, &["description"]).await;
    }
    pause(&server).await;
    server.advance(25 * 60);
    let mut scheduler = server.client.scheduler();
    let answer = scheduler.resume_all(pb::ResumeAllRequest::default()).await;
    let resumed = answer.unwrap().into_inner().task_count;
    assert!(TASKS as i64 <= resumed, "{resumed}");
    assert_eq!(server.status().await.pause, None);
    for name in THREE {
        let at = noon() + SignedDuration::from_mins(25);
        assert_eq!(server.decided(name, at).await, [row("SKIPPED_PAUSED", 2)]);
    }

    pause(&server).await;
    site.refuse("INSERT", "slots", "ROW.revision = 3").await;
    server.advance(10 * 60);
    let again = pb::ResumeAllRequest {
        request_id: "again".to_owned(),
    };
    let answer = scheduler.resume_all(again.clone()).await;
    answer.unwrap_err();
    // A status that was being read meanwhile is shown to who asks right after.
    until("two portions to be shown", async || {
        let pause = server.status().await.pause.expect("it is ending");
        (pause.ended_count == Some(1000)).then_some(())
    })
    .await;
    // Until it has ended for all, nothing fires.
    server.advance(4 * 60);
    assert_eq!(server.slots_of("t0000").await.len(), 2);
    assert_eq!(server.slots_of("t1099").await.len(), 1);
    server.kill().await;
    site.allow("slots").await;

    let server = site.start().await;
    until("the pause to end", async || {
        server.status().await.pause.is_none().then_some(())
    })
    .await;
    // Who asked for it, and heard no answer, asks once more.
    let answer = server.client.scheduler().resume_all(again.clone()).await;
    let resumed = answer.unwrap().into_inner().task_count;
    assert!(TASKS as i64 <= resumed, "{resumed}");
    server.advance(60);
    for name in THREE {
        let ledger = server
            .decided(name, noon() + SignedDuration::from_mins(40))
            .await;
        let rows = [
            row("SKIPPED_PAUSED", 2),
            row("SKIPPED_PAUSED", 1),
            row("DISPATCHED", 1),
        ];
        assert_eq!(ledger, rows, "{name}");
    }
    // However often, and whatever is so by now.
    pause(&server).await;
    let answer = server.client.scheduler().resume_all(again).await;
    assert_eq!(answer.unwrap().into_inner().task_count, resumed);
    assert!(server.status().await.pause.is_some());
    server.stop().await;
}
