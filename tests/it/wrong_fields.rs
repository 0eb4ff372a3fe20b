//! What requests get of which several fields are wrong: all of them, each by its name.

use tonic::{Code, Status};
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, TaskExt as _, instant, on_both, refused, seconds, violations,
};

on_both!(
    all_wrong_fields_are_named_at_once,
    every_call_that_changes_something_names_all_that_is_wrong,
);

/// A task that is wrong where only its specification can say so.
pub(crate) fn wrong_task() -> pb::Task {
    let mut task = instant().cron("61 * * * *");
    let schedule = task.schedule.as_mut().unwrap();
    schedule.time_zone = "Europe/Pariss".to_owned();
    schedule.spread = Some(seconds(8 * 24 * 3600));
    task
}

const NEGATIVE: prost_types::Duration = prost_types::Duration {
    seconds: -1,
    nanos: 0,
};
const OF_THE_SCHEDULE: [&str; 3] = ["schedule.time_zone", "schedule.cron", "schedule.spread"];

async fn create(server: &Server, id: &str, task: pb::Task) -> Result<(), Status> {
    let request = pb::CreateTaskRequest {
        task_id: id.to_owned(),
        task: Some(task),
        ..Default::default()
    };
    server.client.tasks().create_task(request).await.map(drop)
}

async fn all_wrong_fields_are_named_at_once(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = instant().cron("61 * * * *").attempts(101);
    task.priority = Some(10);
    task.kind = "instnt".to_owned();
    let (code, reason, status) = refused(create(&server, "task", task).await);

    assert_eq!(
        (code, reason.as_str()),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
    let named = violations(&status);
    let wrong = ["priority", "retry.max_attempts", "schedule.cron", "kind"];
    assert_eq!(named, wrong, "{status:?}");
    for part in ["0 to 9", "1 to 100", "minute", "there is no kind"] {
        assert!(status.message().contains(part), "{part}: {status:?}");
    }

    // A bound that is wrong itself is none for another.
    let mut task = instant();
    task.retry.get_or_insert_default().initial_backoff = Some(seconds(8 * 24 * 3600));
    task.catch_up
        .get_or_insert_default()
        .set_mode(pb::CatchUpMode::All);
    let (_, _, status) = refused(create(&server, "task", task).await);
    let wrong = [
        "retry.initial_backoff",
        "catch_up.window",
        "catch_up.max_count",
    ];
    assert_eq!(violations(&status), wrong, "{status:?}");

    let (_, _, status) = refused(create(&server, "task", wrong_task()).await);
    assert_eq!(violations(&status), OF_THE_SCHEDULE, "{status:?}");
    let mut task = instant().every(60);
    let schedule = task.schedule.get_or_insert_default();
    schedule.every = Some(seconds(0));
    schedule.at = Some(prost_types::Timestamp::default());
    schedule.phase = Some(prost_types::Duration {
        seconds: 0,
        nanos: 1,
    });
    let (_, _, status) = refused(create(&server, "task", task).await);
    let wrong = ["schedule", "schedule.every", "schedule.phase"];
    assert_eq!(violations(&status), wrong, "{status:?}");

    // What a name, a message and a specification each get wrong.
    let mut task = wrong_task();
    task.late_after = Some(NEGATIVE);
    let (_, _, status) = refused(create(&server, "No Name", task).await);
    let wrong = [&["late_after", "task_id"][..], &OF_THE_SCHEDULE].concat();
    assert_eq!(violations(&status), wrong, "{status:?}");
    server.stop().await;
}

pub(crate) fn long() -> String {
    "x".repeat(2000)
}

pub(crate) fn check<T: std::fmt::Debug>(answer: Result<T, Status>, wrong: &[&str]) {
    let (code, _, status) = refused(answer);
    assert_eq!(code, Code::InvalidArgument, "{wrong:?}: {status:?}");
    assert_eq!(violations(&status), wrong, "{status:?}");
}

async fn every_call_that_changes_something_names_all_that_is_wrong(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("0 * * * *")).await;
    of_tasks(&server).await;
    of_runs_and_the_scheduler(&server).await;
    of_documents(&server).await;
    server.stop().await;
}

async fn of_tasks(server: &Server) {
    let mut tasks = server.client.tasks();
    let mut task = wrong_task();
    task.name = "tasks/task".to_owned();
    let update = pb::UpdateTaskRequest {
        task: Some(task.clone()),
        ..Default::default()
    };
    check(tasks.update_task(update).await, &OF_THE_SCHEDULE);
    task.name = "task".to_owned();
    task.overlap = 77;
    let update = pb::UpdateTaskRequest {
        task: Some(task),
        reason: long(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["colour".to_owned(), "priority".to_owned()],
        }),
        ..Default::default()
    };
    let wrong = ["task.name", "reason", "overlap", "update_mask"];
    check(tasks.update_task(update).await, &wrong);
    let past = Some(prost_types::Timestamp::default());
    let pause = pb::PauseTaskRequest {
        name: "task".to_owned(),
        reason: long(),
        until_time: past,
        ..Default::default()
    };
    let wrong = ["name", "reason", "until_time"];
    check(tasks.pause_task(pause).await, &wrong);
    let realign = pb::RealignTaskRequest {
        name: "task".to_owned(),
        reason: long(),
        ..Default::default()
    };
    check(tasks.realign_task(realign).await, &["name", "reason"]);
    let number = prost_types::value::Kind::NumberValue(f64::NAN);
    let number = prost_types::Value { kind: Some(number) };
    let parameters = Some(prost_types::Struct {
        fields: [("a".to_owned(), number)].into(),
    });
    let trigger = pb::TriggerTaskRequest {
        name: "task".to_owned(),
        reason: long(),
        parameters: parameters.clone(),
        ..Default::default()
    };
    let wrong = ["name", "parameters", "reason"];
    check(tasks.trigger_task(trigger).await, &wrong);
    let backfill = pb::BackfillTaskRequest {
        name: "task".to_owned(),
        start_time: Some(prost_types::Timestamp {
            seconds: i64::MIN,
            nanos: 0,
        }),
        end_time: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
        max_count: -1,
        parameters,
        ..Default::default()
    };
    let wrong = ["name", "start_time", "end_time", "parameters", "max_count"];
    check(tasks.backfill_task(backfill).await, &wrong);
}

async fn of_runs_and_the_scheduler(server: &Server) {
    let mut runs = server.client.runs();
    let cancel = pb::CancelRunRequest {
        name: "run".to_owned(),
        reason: long(),
        ..Default::default()
    };
    check(runs.cancel_run(cancel).await, &["name", "reason"]);
    let retry = pb::RetryRunRequest {
        name: "run".to_owned(),
        reason: long(),
        ..Default::default()
    };
    check(runs.retry_run(retry).await, &["name", "reason"]);
    let list = pb::ListRunsRequest {
        states: vec![77],
        triggers: vec![77],
        ..Default::default()
    };
    check(runs.list_runs(list).await, &["states", "triggers"]);
    let mut scheduler = server.client.scheduler();
    let pause = pb::PauseAllRequest {
        reason: long(),
        until_time: Some(prost_types::Timestamp::default()),
        ..Default::default()
    };
    check(scheduler.pause_all(pause).await, &["reason", "until_time"]);
    let drain = pb::DrainRequest {
        reason: long(),
        lasts_for: Some(NEGATIVE),
    };
    check(scheduler.drain(drain).await, &["lasts_for", "reason"]);
}

async fn of_documents(server: &Server) {
    let mut documents = server.client.documents();
    let create = pb::CreateDocumentRequest {
        document: Some(pb::Document {
            number: "a b".to_owned(),
            version_major: -1,
            depends_on: vec!["c d".to_owned()],
            reviewer: "two\nlines".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let wrong = [
        "document.number",
        "document.version_major",
        "document.depends_on",
        "actor",
        "document.title",
        "document.reviewer",
    ];
    check(documents.create_document(create).await, &wrong);
    let create = pb::CreateDocumentRequest {
        actor: "ann".to_owned(),
        document: Some(pb::Document {
            number: "A-1".to_owned(),
            title: "title".to_owned(),
            reviewer: "Ann".to_owned(),
            approver: "ann".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let wrong = ["document.reviewer", "document.approver"];
    check(documents.create_document(create.clone()).await, &wrong);
    let mut unknown = create;
    let document = unknown.document.as_mut().unwrap();
    (document.reviewer, document.approver) = ("bob".to_owned(), "cy".to_owned());
    document.supersedes = "documents/B-1@1.0".to_owned();
    document.depends_on = vec!["C-1".to_owned()];
    let wrong = ["document.supersedes", "document.depends_on"];
    check(documents.create_document(unknown).await, &wrong);
    let next = pb::CreateVersionRequest {
        name: "A-1".to_owned(),
        reason: long(),
        ..Default::default()
    };
    let wrong = ["name", "actor", "reason"];
    check(documents.create_version(next).await, &wrong);
    let approve = pb::ApproveDocumentRequest {
        name: "A-1".to_owned(),
        effective_date: "soon".to_owned(),
        comment: long(),
        backdated_reason: long(),
        strand_reason: long(),
        ..Default::default()
    };
    let wrong = [
        "name",
        "actor",
        "effective_date",
        "comment",
        "backdated_reason",
        "strand_reason",
    ];
    check(documents.approve_document(approve).await, &wrong);
    let update = pb::UpdateDocumentRequest {
        document: Some(pb::Document {
            name: "A-1".to_owned(),
            reviewer: "two\nlines".to_owned(),
            depends_on: vec!["c d".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let wrong = [
        "document.name",
        "actor",
        "document.reviewer",
        "document.depends_on",
    ];
    check(documents.update_document(update).await, &wrong);
    let terminate = pb::TerminateDocumentRequest {
        name: "A-1".to_owned(),
        ..Default::default()
    };
    let wrong = ["name", "actor", "reason"];
    check(documents.terminate_document(terminate).await, &wrong);
    let header = pb::UploadHeader {
        document: "A-1".to_owned(),
        offset: -1,
        sha256: "0".to_owned(),
        file_name: "../a".to_owned(),
        ..Default::default()
    };
    let header = pb::UploadContentRequest {
        message: Some(pb::upload_content_request::Message::Header(header)),
    };
    let upload = documents.upload_content(tokio_stream::iter([header]));
    let wrong = [
        "header.document",
        "header.offset",
        "header.sha256",
        "header.actor",
        "header.file_name",
    ];
    check(upload.await, &wrong);
}
