//! What every caller may rely on: identity, idempotency, etags, paging, and refusals that help.

use tonic::{Code, Request};
use watchbell_client::{client::Client, pb};

use crate::support::{Database, Site, TaskExt as _, instant, on_both, refused, stamp, violations};

on_both!(
    a_call_without_the_right_token_is_refused,
    a_request_id_gives_the_same_answer_again,
    an_etag_of_yesterday_changes_nothing,
    lists_are_paged_without_gap_or_overlap,
    a_page_token_of_another_list_is_refused,
    an_update_changes_what_its_mask_names,
    a_backfill_runs_the_slots_of_a_span_once,
    an_update_of_a_missing_task_may_create_it,
);

async fn a_call_without_the_right_token_is_refused(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let endpoint = format!("http://{}", server.address);
    let wrong = Client::connect(&endpoint, &"0".repeat(64)).await.unwrap();

    let (code, reason, status) = refused(
        wrong
            .tasks()
            .list_tasks(pb::ListTasksRequest::default())
            .await,
    );
    assert_eq!(
        (code, reason.as_str()),
        (Code::Unauthenticated, "WRONG_TOKEN")
    );
    assert!(status.message().contains("data directory"), "{status:?}");
    let trigger = pb::TriggerTaskRequest {
        name: "tasks/prune-history".to_owned(),
        ..Default::default()
    };
    let (code, ..) = refused(wrong.tasks().trigger_task(trigger).await);
    assert_eq!(code, Code::Unauthenticated);
    let bare = tonic::transport::Endpoint::from_shared(endpoint).unwrap();
    let bare = bare.connect().await.unwrap();
    let mut bare = pb::scheduler_service_client::SchedulerServiceClient::new(bare);
    let (code, reason, status) = refused(bare.get_status(pb::GetStatusRequest {}).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::Unauthenticated, "TOKEN_REQUIRED")
    );
    assert!(
        status.message().contains("authorization: Bearer"),
        "{status:?}"
    );
    let mut basic = Request::new(pb::GetStatusRequest {});
    basic
        .metadata_mut()
        .insert("authorization", "Basic YTpi".parse().unwrap());
    let (code, ..) = refused(bare.get_status(basic).await);
    assert_eq!(code, Code::Unauthenticated);
    assert!(server.runs_of("prune-history").await.is_empty());
    server.stop().await;
}

async fn a_request_id_gives_the_same_answer_again(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server
        .create("task", instant().overlap(pb::OverlapPolicy::Allow))
        .await;
    let request = |reason: &str| pb::TriggerTaskRequest {
        name: "tasks/task".to_owned(),
        reason: reason.to_owned(),
        request_id: "order 66".to_owned(),
        ..Default::default()
    };
    let mut tasks = server.client.tasks();

    let first = tasks
        .trigger_task(request("go"))
        .await
        .unwrap()
        .into_inner();
    let run = first.run.as_ref().unwrap().name.clone();
    server.ended(&run).await;
    let again = tasks
        .trigger_task(request("go"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        first, again,
        "as it was answered, although the run has ended since"
    );
    let (code, _, status) = refused(tasks.trigger_task(request("another")).await);
    assert_eq!(code, Code::InvalidArgument);
    assert_eq!(violations(&status), ["request_id"]);

    // All at once: one of them does it, and all are told the same.
    let together = (0..8).map(|_| {
        let mut tasks = tasks.clone();
        let request = pb::TriggerTaskRequest {
            request_id: "all at once".to_owned(),
            ..request("go")
        };
        async move {
            let answer = tasks.trigger_task(request).await.unwrap();
            answer.into_inner().run.unwrap().name
        }
    });
    let mut names = futures_util::future::join_all(together).await;
    names.dedup();
    assert_eq!(names.len(), 1);
    assert_eq!(server.runs_of("task").await.len(), 2);
    server.stop().await;
}

async fn an_etag_of_yesterday_changes_nothing(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let before = server.create("task", instant()).await;
    let describe = |etag: &str, description: &str| pb::UpdateTaskRequest {
        task: Some(pb::Task {
            name: "tasks/task".to_owned(),
            etag: etag.to_owned(),
            description: description.to_owned(),
            ..pb::Task::default()
        }),
        ..Default::default()
    };
    let mut tasks = server.client.tasks();
    tasks
        .update_task(describe(&before.etag, "one"))
        .await
        .unwrap();

    let (code, reason, _) = refused(tasks.update_task(describe(&before.etag, "two")).await);
    assert_eq!((code, reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let delete = pb::DeleteTaskRequest {
        name: "tasks/task".to_owned(),
        etag: before.etag,
        ..Default::default()
    };
    let (code, ..) = refused(tasks.delete_task(delete).await);
    assert_eq!(code, Code::Aborted);
    assert_eq!(server.task("task").await.description, "one");
    server.stop().await;
}

async fn lists_are_paged_without_gap_or_overlap(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for n in 0..7 {
        server.create(&format!("task-{n}"), instant()).await;
    }
    for _ in 0..5 {
        let run = server.trigger("task-0").await;
        server.ended(&run.name).await;
    }
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListTasksRequest {
            page_size: 3,
            page_token,
            kind: "instant".to_owned(),
            ..Default::default()
        };
        let answer = server.client.tasks().list_tasks(request).await.unwrap();
        let answer = answer.into_inner();
        assert!(answer.tasks.len() <= 3);
        names.extend(answer.tasks.into_iter().map(|task| task.name));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let wanted: Vec<String> = (0..7).map(|n| format!("tasks/task-{n}")).collect();
    assert_eq!(names, wanted);

    let all: Vec<String> = server
        .runs_of("task-0")
        .await
        .into_iter()
        .rev()
        .map(|run| run.name)
        .collect();
    let mut paged = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListRunsRequest {
            task: "tasks/task-0".to_owned(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let answer = server.client.runs().list_runs(request).await.unwrap();
        let answer = answer.into_inner();
        paged.extend(answer.runs.into_iter().map(|run| run.name));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, all);
    server.stop().await;
}

async fn a_page_token_of_another_list_is_refused(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for n in 0..3 {
        server.create(&format!("task-{n}"), instant()).await;
    }
    let list = |kind: &str, page_token: &str, page_size: i32| pb::ListTasksRequest {
        kind: kind.to_owned(),
        page_token: page_token.to_owned(),
        page_size,
        ..Default::default()
    };
    let mut tasks = server.client.tasks();
    let page = tasks.list_tasks(list("instant", "", 1)).await.unwrap();
    let token = page.into_inner().next_page_token;

    for request in [
        list("", &token, 1),
        list("instant", "nonsense", 1),
        list("instant", &token[1..], 1),
    ] {
        let (code, _, status) = refused(tasks.list_tasks(request).await);
        assert_eq!(
            (code, violations(&status)),
            (Code::InvalidArgument, vec!["page_token".to_owned()])
        );
    }
    {
        let (code, _, status) = refused(tasks.list_tasks(list("", "", -1)).await);
        assert_eq!(
            (code, violations(&status)),
            (Code::InvalidArgument, vec!["page_size".to_owned()])
        );
    }
    server.stop().await;
}

async fn an_update_changes_what_its_mask_names(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = instant().cron("0 * * * *");
    task.description = "before".to_owned();
    task.priority = Some(7);
    server.create("task", task).await;
    let changed = pb::Task {
        name: "tasks/task".to_owned(),
        description: "after".to_owned(),
        ..pb::Task::default()
    };
    let update = |paths: &[&str]| pb::UpdateTaskRequest {
        task: Some(changed.clone()),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        reason: "a story".to_owned(),
        ..Default::default()
    };
    let mut tasks = server.client.tasks();

    let one = tasks.update_task(update(&["description"])).await.unwrap();
    let one = one.into_inner().task.unwrap();
    assert_eq!((one.description.as_str(), one.priority), ("after", Some(7)));
    let reset = tasks.update_task(update(&["priority"])).await.unwrap();
    let reset = reset.into_inner().task.unwrap();
    assert_eq!(
        reset.priority,
        Some(5),
        "an unset field goes to its default"
    );
    assert_eq!(reset.schedule.unwrap().cron, "0 * * * *");
    server.stop().await;
}

async fn a_backfill_runs_the_slots_of_a_span_once(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("*/10 * * * *")).await;
    server.advance(3600);
    server.decided("task", server.now()).await;
    let backfill = |max_count: i32| pb::BackfillTaskRequest {
        name: "tasks/task".to_owned(),
        start_time: Some(stamp(crate::support::noon())),
        end_time: Some(stamp(server.now())),
        max_count,
        reason: "the index was lost".to_owned(),
        ..Default::default()
    };
    let mut tasks = server.client.tasks();
    let (code, _, status) = refused(tasks.backfill_task(backfill(5)).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["max_count".to_owned()])
    );

    // The start is included, the end is not.
    let done = tasks.backfill_task(backfill(6)).await.unwrap().into_inner();
    assert_eq!(done.run_count, 6);
    let mut nominal = Vec::new();
    for run in &done.runs {
        let run = server.ended(&run.name).await;
        assert_eq!(run.trigger(), pb::RunTrigger::Backfill);
        nominal.push(crate::support::at(&run.nominal_time));
    }
    assert_eq!(nominal[0], "2026-03-02T12:00:00Z");
    assert_eq!(nominal[5], "2026-03-02T12:50:00Z");
    assert_eq!(
        server
            .slots_of("task")
            .await
            .iter()
            .map(|slot| slot.count)
            .sum::<i64>(),
        6
    );
    let mut future = backfill(100);
    future.end_time = Some(stamp(server.now() + jiff::SignedDuration::from_secs(1)));
    let (code, _, status) = refused(tasks.backfill_task(future).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["end_time".to_owned()])
    );
    server.stop().await;
}

async fn an_update_of_a_missing_task_may_create_it(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = instant();
    task.name = "tasks/new".to_owned();
    let mut update = pb::UpdateTaskRequest {
        task: Some(task),
        ..Default::default()
    };
    let (code, ..) = refused(server.client.tasks().update_task(update.clone()).await);
    assert_eq!(code, Code::NotFound);
    update.allow_missing = true;
    server.client.tasks().update_task(update).await.unwrap();
    assert_eq!(server.task("new").await.kind, "instant");
    let create = pb::CreateTaskRequest {
        task_id: "new".to_owned(),
        task: Some(instant()),
        ..Default::default()
    };
    let (code, reason, _) = refused(server.client.tasks().create_task(create).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::AlreadyExists, "TASK_EXISTS")
    );
    server.stop().await;
}
