//! What people change while slots come due.

use jiff::{SignedDuration, Timestamp};
use tonic::Code;
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, TaskExt as _, at, instant, noon, on_both, refused, stamp,
};

on_both!(
    an_edit_closes_the_old_specification_and_begins_the_new,
    an_edit_of_what_is_due_decides_it_under_the_old_specification,
    a_pause_across_slots_becomes_one_row_when_it_ends,
    a_pause_with_an_end_ends_by_itself,
    a_slot_at_the_very_end_of_a_pause_runs,
    a_schedule_that_lies_in_the_past_is_refused,
    a_pause_that_ends_within_that_of_all_catches_nothing_up,
    a_global_pause_stops_every_task_and_resumes_them,
    a_paused_task_is_not_triggered_unless_one_insists,
    runs_queued_before_a_pause_proceed,
    a_deleted_task_leaves_its_runs_and_fires_no_more,
);

fn minutes(minutes: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(minutes)
}

pub(crate) fn row(outcome: &str, count: i64) -> (String, i64) {
    (outcome.to_owned(), count)
}

async fn set_cron(server: &Server, name: &str, cron: &str) -> pb::Task {
    let task = pb::Task {
        name: format!("tasks/{name}"),
        ..pb::Task::default()
    };
    let request = pb::UpdateTaskRequest {
        task: Some(task.cron(cron)),
        reason: "a story".to_owned(),
        ..Default::default()
    };
    let answer = server.client.tasks().update_task(request).await.unwrap();
    answer.into_inner().task.unwrap()
}

pub(crate) async fn pause(server: &Server, name: &str, until: Option<Timestamp>) -> pb::Task {
    let request = pb::PauseTaskRequest {
        name: format!("tasks/{name}"),
        reason: "maintenance".to_owned(),
        until_time: until.map(stamp),
        ..Default::default()
    };
    let answer = server.client.tasks().pause_task(request).await.unwrap();
    answer.into_inner().task.unwrap()
}

pub(crate) async fn resume(server: &Server, name: &str) {
    let request = pb::ResumeTaskRequest {
        name: format!("tasks/{name}"),
        ..Default::default()
    };
    server.client.tasks().resume_task(request).await.unwrap();
}

async fn an_edit_closes_the_old_specification_and_begins_the_new(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("*/10 * * * *")).await;
    server.advance(600);
    server.decided("task", minutes(10)).await;

    server.advance(300);
    let task = set_cron(&server, "task", "*/4 * * * *").await;

    assert_eq!(task.revision, 2);
    assert_eq!(at(&task.decided_until_time), "2026-03-02T12:15:00Z");
    assert_eq!(at(&task.next_nominal_time), "2026-03-02T12:16:00Z");
    server.advance(60);
    let ledger = server.decided("task", minutes(16)).await;
    assert_eq!(
        ledger,
        [
            row("DISPATCHED", 1),
            row("SKIPPED_EDITED", 0),
            row("DISPATCHED", 1)
        ]
    );
    let revisions: Vec<i64> = server
        .slots_of("task")
        .await
        .iter()
        .map(|slot| slot.revision)
        .collect();
    assert_eq!(revisions, [1, 1, 2]);
    server.stop().await;
}

async fn an_edit_of_what_is_due_decides_it_under_the_old_specification(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("*/10 * * * *")).await;

    // The scheduler and the edit race for the slot of 12:10: whoever is first, it is decided once,
    // and never under the new specification.
    server.advance(600);
    set_cron(&server, "task", "0 0 1 1 *").await;

    let slots = server.slots_of("task").await;
    assert_eq!(slots[0].outcome(), pb::SlotOutcome::Dispatched);
    assert_eq!(slots[0].revision, 1);
    assert_eq!(slots.iter().map(|slot| slot.count).sum::<i64>(), 1);
    assert_eq!(server.runs_of("task").await.len(), 1);
    server.stop().await;
}

async fn a_pause_across_slots_becomes_one_row_when_it_ends(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("*/10 * * * *")).await;
    server.advance(600);
    server.decided("task", minutes(10)).await;

    let task = pause(&server, "task", None).await;
    let told = task.pause.unwrap();
    assert_eq!(
        (told.principal.as_str(), told.reason.as_str()),
        ("admin", "maintenance")
    );
    server.advance(35 * 60);
    server.create("witness", instant().every(1)).await;
    assert_eq!(
        server.slots_of("task").await.len(),
        1,
        "nothing is written while it is paused"
    );
    resume(&server, "task").await;

    let ledger = server.decided("task", minutes(45)).await;
    assert_eq!(ledger, [row("DISPATCHED", 1), row("SKIPPED_PAUSED", 3)]);
    let paused = server.slots_of("task").await.remove(1);
    assert_eq!(paused.reason, "paused by admin: maintenance");
    assert_eq!(at(&paused.first_nominal_time), "2026-03-02T12:20:00Z");
    assert_eq!(at(&paused.last_nominal_time), "2026-03-02T12:40:00Z");
    server.advance(300);
    let ledger = server.decided("task", minutes(50)).await;
    assert_eq!(ledger[2], row("DISPATCHED", 1));
    server.stop().await;
}

async fn a_pause_with_an_end_ends_by_itself(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("*/10 * * * *")).await;
    pause(&server, "task", Some(minutes(25))).await;

    server.advance(31 * 60);

    let ledger = server.decided("task", minutes(30)).await;
    assert_eq!(ledger, [row("SKIPPED_PAUSED", 2), row("DISPATCHED", 1)]);
    assert_eq!(server.task("task").await.pause, None);
    server.stop().await;
}

async fn a_slot_at_the_very_end_of_a_pause_runs(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for name in ["one", "two"] {
        server.create(name, instant().cron("*/10 * * * *")).await;
    }
    pause(&server, "one", Some(minutes(20))).await;
    let request = pb::PauseAllRequest {
        until_time: Some(stamp(minutes(20))),
        ..Default::default()
    };
    server.client.scheduler().pause_all(request).await.unwrap();
    let preview = pb::PreviewScheduleRequest {
        task: "tasks/one".to_owned(),
        page_size: 2,
        ..Default::default()
    };
    let preview = server.client.tasks().preview_schedule(preview).await;
    let fires = preview.unwrap().into_inner().fires;
    assert!(
        fires[0].reasons.concat().contains("paused by admin until"),
        "{fires:?}"
    );
    assert!(fires[1].reasons.is_empty(), "{fires:?}");

    server.advance(20 * 60);

    for name in ["one", "two"] {
        let ledger = server.decided(name, minutes(20)).await;
        assert_eq!(
            ledger,
            [row("SKIPPED_PAUSED", 1), row("DISPATCHED", 1)],
            "{name}"
        );
    }
    server.stop().await;
}

async fn a_pause_that_ends_within_that_of_all_catches_nothing_up(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("*/10 * * * *")).await;
    pause(&server, "task", Some(minutes(20))).await;
    let request = pb::PauseAllRequest {
        until_time: Some(stamp(minutes(60))),
        ..Default::default()
    };
    server.client.scheduler().pause_all(request).await.unwrap();

    server.advance(65 * 60);

    let ledger = server.decided("task", minutes(60)).await;
    assert_eq!(ledger, [row("SKIPPED_PAUSED", 5), row("DISPATCHED", 1)]);
    let run = server.runs_of("task").await.remove(0);
    assert_eq!(run.coalesced, None, "nobody missed a slot");
    assert_eq!(server.task("task").await.pause, None);
    server.stop().await;
}

async fn a_schedule_that_lies_in_the_past_is_refused(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut past = instant();
    past.schedule.get_or_insert_default().at = Some(stamp(minutes(-1)));
    let request = pb::CreateTaskRequest {
        task_id: "past".to_owned(),
        task: Some(past.clone()),
        ..Default::default()
    };
    let (code, _, status) = refused(server.client.tasks().create_task(request).await);
    assert_eq!(code, Code::InvalidArgument);
    assert_eq!(crate::support::violations(&status), ["schedule.at"]);

    server.create("task", instant().cron("*/10 * * * *")).await;
    past.name = "tasks/task".to_owned();
    past.kind = String::new();
    let request = pb::UpdateTaskRequest {
        task: Some(past),
        ..Default::default()
    };
    let (code, ..) = refused(server.client.tasks().update_task(request).await);
    assert_eq!(code, Code::InvalidArgument);
    server.advance(600);
    let ledger = server.decided("task", minutes(10)).await;
    assert_eq!(ledger, [row("DISPATCHED", 1)], "as if nobody had asked");
    server.stop().await;
}

async fn a_global_pause_stops_every_task_and_resumes_them(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for name in ["one", "two"] {
        server.create(name, instant().cron("*/10 * * * *")).await;
    }
    let request = pb::PauseAllRequest {
        reason: "the move".to_owned(),
        ..Default::default()
    };
    let mut scheduler = server.client.scheduler();
    scheduler.pause_all(request.clone()).await.unwrap();
    let (code, reason, status) = refused(scheduler.pause_all(request).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "PAUSED")
    );
    assert!(status.message().contains("the move"), "{status:?}");

    server.advance(25 * 60);
    let shown = server.status().await.pause.unwrap();
    assert_eq!(shown.reason, "the move");
    assert!(server.slots_of("one").await.is_empty());
    let request = pb::TriggerTaskRequest {
        name: "tasks/one".to_owned(),
        ..Default::default()
    };
    let (code, ..) = refused(server.client.tasks().trigger_task(request).await);
    assert_eq!(code, Code::FailedPrecondition);
    let answer = scheduler.resume_all(pb::ResumeAllRequest::default()).await;
    // The tasks of these stories, and those that ship with the server.
    assert!(2 <= answer.unwrap().into_inner().task_count);

    server.advance(5 * 60);
    for name in ["one", "two"] {
        let ledger = server.decided(name, minutes(30)).await;
        assert_eq!(ledger, [row("SKIPPED_PAUSED", 2), row("DISPATCHED", 1)]);
    }
    server.stop().await;
}

async fn a_paused_task_is_not_triggered_unless_one_insists(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    pause(&server, "task", None).await;
    let mut request = pb::TriggerTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };

    let (code, reason, status) = refused(server.client.tasks().trigger_task(request.clone()).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "PAUSED")
    );
    for word in [
        "admin",
        "maintenance",
        "2026-03-02T12:00:00Z",
        "ignore_pause",
    ] {
        assert!(
            status.message().contains(word),
            "{word}: {}",
            status.message()
        );
    }
    assert!(server.runs_of("task").await.is_empty());

    request.ignore_pause = true;
    let answer = server.client.tasks().trigger_task(request).await.unwrap();
    let run = answer.into_inner().run.unwrap();
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded);
    assert_eq!(run.principal, "admin");
    server.stop().await;
}

async fn runs_queued_before_a_pause_proceed(database: Database) {
    let mut stage = crate::support::Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let task = crate::support::scripted(&stage)
        .cron("*/10 * * * *")
        .overlap(pb::OverlapPolicy::BufferOne);
    server.create("task", task).await;
    server.advance(600);
    let first = stage.enters().await;
    server.advance(600);
    server.decided("task", minutes(20)).await;

    pause(&server, "task", None).await;
    first.succeeds();
    let second = stage.enters().await.succeeds();

    let run = server
        .ended(&format!("tasks/task/runs/{}", second.run))
        .await;
    assert_eq!(at(&run.nominal_time), "2026-03-02T12:20:00Z");
    server.stop().await;
}

async fn a_deleted_task_leaves_its_runs_and_fires_no_more(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("*/10 * * * *")).await;
    server.advance(600);
    server.decided("task", minutes(10)).await;
    let run = server.runs_of("task").await.remove(0);
    server.ended(&run.name).await;

    let request = pb::DeleteTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    server.client.tasks().delete_task(request).await.unwrap();

    server.advance(3600);
    let request = pb::GetTaskRequest {
        name: "tasks/task".to_owned(),
    };
    let (code, reason, _) = refused(server.client.tasks().get_task(request).await);
    assert_eq!((code, reason.as_str()), (Code::NotFound, "TASK_NOT_FOUND"));
    assert_eq!(server.runs_of("task").await.len(), 1);
    assert_eq!(server.run(&run.name).await.state(), pb::RunState::Succeeded);
    // The name is free again, for a task with a history of its own.
    let again = server.create("task", instant().cron("*/10 * * * *")).await;
    assert_eq!(again.revision, 1);
    assert!(server.slots_of("task").await.is_empty());
    server.stop().await;
}
