//! What bad input gets: an error that names the field, and nothing changed.

use tonic::Code;
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, TaskExt as _, instant, on_both, refused, seconds, stamp, violations,
};

on_both!(
    a_name_that_is_far_too_long_is_answered_and_cut,
    an_unknown_task_lists_near_names,
    bad_fields_are_named_and_nothing_is_changed,
    validate_only_changes_nothing,
);

/// A task that is wrong, the field that is to be named, and a word of what is said.
fn bad_tasks() -> Vec<(pb::Task, &'static str, &'static str)> {
    let edit = |edit: fn(&mut pb::Task)| {
        let mut task = instant();
        edit(&mut task);
        task
    };
    vec![
        (
            edit(|task| task.kind = "instnt".to_owned()),
            "kind",
            "instant",
        ),
        (edit(|task| task.kind = String::new()), "kind", "expected"),
        (instant().cron("61 * * * *"), "schedule.cron", "minute"),
        (instant().cron("* * *"), "schedule.cron", "expected 5 ("),
        (instant().cron("0 0 31 2 *"), "schedule.cron", "never"),
        (
            edit(|task| {
                *task = std::mem::take(task).cron("0 0 * * *");
                task.schedule.as_mut().unwrap().time_zone = "Europe/Pariss".to_owned();
            }),
            "schedule.time_zone",
            "Europe/Pariss",
        ),
        (
            edit(|task| {
                *task = std::mem::take(task).cron("0 0 * * *").every(60);
            }),
            "schedule",
            "one of",
        ),
        (
            edit(|task| task.schedule.get_or_insert_default().every = Some(seconds(0))),
            "schedule.every",
            "1",
        ),
        (edit(|task| task.priority = Some(10)), "priority", "0 to 9"),
        (
            edit(|task| task.attempt_timeout = Some(seconds(0))),
            "attempt_timeout",
            "1s",
        ),
        (
            edit(|task| task.retry.get_or_insert_default().max_attempts = 101),
            "retry.max_attempts",
            "100",
        ),
        (
            edit(|task| {
                let catch_up = task.catch_up.get_or_insert_default();
                catch_up.set_mode(pb::CatchUpMode::All);
                catch_up.max_count = 5;
            }),
            "catch_up.window",
            "all",
        ),
        (
            edit(|task| task.description = "x".repeat(1001)),
            "description",
            "1000",
        ),
        (
            edit(|task| {
                let value = prost_types::Value::default();
                let fields = [("speed".to_owned(), value)].into();
                task.parameters = Some(prost_types::Struct { fields });
            }),
            "parameters.speed",
            "speed",
        ),
        (
            edit(|task| {
                task.kind = "command".to_owned();
                let value = prost_types::value::Kind::StringValue("rm".to_owned());
                let value = prost_types::Value { kind: Some(value) };
                let fields = [("command".to_owned(), value)].into();
                task.parameters = Some(prost_types::Struct { fields });
            }),
            "parameters.command",
            "[commands.rm]",
        ),
    ]
}

async fn bad_fields_are_named_and_nothing_is_changed(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let good = server.create("good", instant()).await;
    let count = count_tasks(&server).await;
    for (task, field, word) in bad_tasks() {
        let create = pb::CreateTaskRequest {
            task_id: "bad".to_owned(),
            task: Some(task.clone()),
            ..Default::default()
        };
        let (code, reason, status) = refused(server.client.tasks().create_task(create).await);
        let about = format!("{field}: {status:?}");
        assert_eq!(
            (code, reason.as_str()),
            (Code::InvalidArgument, "INVALID_FIELD"),
            "{about}"
        );
        let named = violations(&status).concat();
        assert!(
            named == field || named == format!("task.{field}"),
            "{about}"
        );
        assert!(status.message().contains(word), "{word}: {about}");
    }
    for id in ["", "Upper", "a b", "-a", &"x".repeat(64), "tasks/x"] {
        let create = pb::CreateTaskRequest {
            task_id: id.to_owned(),
            task: Some(instant()),
            ..Default::default()
        };
        let (code, _, status) = refused(server.client.tasks().create_task(create).await);
        assert_eq!(
            (code, violations(&status)),
            (Code::InvalidArgument, vec!["task_id".to_owned()]),
            "{id:?}"
        );
    }
    let mut other_kind = good.clone();
    other_kind.kind = "prune-history".to_owned();
    let update = pb::UpdateTaskRequest {
        task: Some(other_kind),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["kind".to_owned()],
        }),
        ..Default::default()
    };
    let (code, _, status) = refused(server.client.tasks().update_task(update).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["kind".to_owned()])
    );
    let update = pb::UpdateTaskRequest {
        task: Some(good.clone()),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["colour".to_owned()],
        }),
        ..Default::default()
    };
    let (code, _, status) = refused(server.client.tasks().update_task(update).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["update_mask".to_owned()])
    );
    assert_eq!(count_tasks(&server).await, count);
    assert_eq!(server.task("good").await, good);
    server.stop().await;
}

async fn count_tasks(server: &Server) -> usize {
    let request = pb::ListTasksRequest {
        page_size: 1000,
        ..Default::default()
    };
    let answer = server.client.tasks().list_tasks(request).await.unwrap();
    answer.into_inner().tasks.len()
}

async fn validate_only_changes_nothing(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let before = server.create("task", instant().cron("0 * * * *")).await;
    let count = count_tasks(&server).await;
    let create = pb::CreateTaskRequest {
        task_id: "other".to_owned(),
        task: Some(instant()),
        validate_only: true,
        ..Default::default()
    };
    server.client.tasks().create_task(create).await.unwrap();
    let update = pb::UpdateTaskRequest {
        task: Some(pb::Task {
            name: "tasks/task".to_owned(),
            description: "new".to_owned(),
            ..pb::Task::default()
        }),
        validate_only: true,
        ..Default::default()
    };
    let shown = server.client.tasks().update_task(update).await.unwrap();
    assert_eq!(shown.into_inner().task.unwrap().description, "new");
    server.advance(3 * 3600);
    let backfill = pb::BackfillTaskRequest {
        name: "tasks/task".to_owned(),
        start_time: Some(stamp(crate::support::noon())),
        end_time: Some(stamp(server.now())),
        validate_only: true,
        ..Default::default()
    };
    let counted = server.client.tasks().backfill_task(backfill).await.unwrap();
    assert_eq!(counted.into_inner().run_count, 3);

    assert_eq!(count_tasks(&server).await, count);
    assert_eq!(server.task("task").await.description, before.description);
    let scheduled = |run: &pb::Run| run.trigger() == pb::RunTrigger::Schedule;
    assert!(server.runs_of("task").await.iter().all(scheduled));
    server.stop().await;
}

async fn an_unknown_task_lists_near_names(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("backup-daily", instant()).await;
    let request = pb::GetTaskRequest {
        name: "tasks/backup-dayly".to_owned(),
    };
    let (code, reason, status) = refused(server.client.tasks().get_task(request).await);
    assert_eq!((code, reason.as_str()), (Code::NotFound, "TASK_NOT_FOUND"));
    assert!(status.message().contains("backup-daily"), "{status:?}");
    server.stop().await;
}

/// Its answer travels in headers, of which clients take some 16 KiB: a longer one breaks the stream.
async fn a_name_that_is_far_too_long_is_answered_and_cut(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for long in ["x".repeat(100_000), "\u{fc}\"\\".repeat(30_000)] {
        let mut answers = Vec::new();
        let name = format!("tasks/{long}");
        let get = pb::GetTaskRequest { name: name.clone() };
        answers.push(refused(server.client.tasks().get_task(get).await));
        let create = pb::CreateTaskRequest {
            task_id: long.clone(),
            task: Some(instant()),
            ..Default::default()
        };
        answers.push(refused(server.client.tasks().create_task(create).await));
        let mut task = instant();
        task.kind.clone_from(&long);
        let create = pb::CreateTaskRequest {
            task_id: "kind".to_owned(),
            task: Some(task),
            ..Default::default()
        };
        answers.push(refused(server.client.tasks().create_task(create).await));
        let update = pb::UpdateTaskRequest {
            task: Some(pb::Task {
                name: "tasks/prune-history".to_owned(),
                ..pb::Task::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec![long.clone()],
            }),
            ..Default::default()
        };
        answers.push(refused(server.client.tasks().update_task(update).await));
        let preview = pb::ListTasksRequest {
            page_token: long.clone(),
            ..Default::default()
        };
        answers.push(refused(server.client.tasks().list_tasks(preview).await));
        let run = pb::GetRunRequest {
            name: format!("{name}/runs/{long}"),
        };
        answers.push(refused(server.client.runs().get_run(run).await));
        for (code, _, status) in answers {
            assert!(
                matches!(code, Code::InvalidArgument | Code::NotFound),
                "{code:?}"
            );
            assert!(status.message().len() <= 2_000, "{}", status.message());
        }
    }
    server.stop().await;
}
