//! Commands that change something.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use watchbell_client::pb::{
    ListRunsResponse, Run, RunOutcome, RunState, Schedule, Task, TriggerTaskResponse,
    WaitRunResponse,
};

use crate::harness::Harness;

const RUN: &str = "tasks/a/runs/01977c5e-0000-7000-8000-000000000001";

fn run(state: RunState, outcome: RunOutcome) -> Run {
    Run {
        name: RUN.into(),
        state: state.into(),
        outcome: outcome.into(),
        ..Run::default()
    }
}

fn queued() -> Result<TriggerTaskResponse, Status> {
    Ok(TriggerTaskResponse {
        run: Some(run(RunState::Queued, RunOutcome::Unspecified)),
    })
}

#[tokio::test]
async fn trigger_waits_and_exits_with_what_became_of_the_run() {
    for (state, outcome, code) in [
        (RunState::Succeeded, RunOutcome::Worked, 0),
        (RunState::Succeeded, RunOutcome::Partial, 5),
        (RunState::TimedOut, RunOutcome::Unspecified, 1),
        (RunState::Cancelled, RunOutcome::Unspecified, 4),
    ] {
        let harness = Harness::start().await;
        harness.script().triggers.push_back(queued());
        harness.script().waits = [
            Ok(WaitRunResponse {
                run: Some(run(RunState::Running, RunOutcome::Unspecified)),
                done: false,
            }),
            Ok(WaitRunResponse {
                run: Some(run(state, outcome)),
                done: true,
            }),
        ]
        .into();
        let done = harness
            .run(&[
                "task",
                "trigger",
                "a",
                "--wait",
                "--parameters",
                r#"{"n": 1}"#,
            ])
            .await;
        assert_eq!(done.code, code, "{done:?}");
        let script = harness.script();
        assert_eq!(script.triggered[0].name, "tasks/a");
        assert_eq!(
            script.triggered[0]
                .parameters
                .as_ref()
                .unwrap()
                .fields
                .len(),
            1
        );
        assert_eq!(script.waited[1].name, RUN);
    }
}

#[tokio::test]
async fn a_repeated_request_carries_the_same_id() {
    let harness = Harness::start().await;
    harness.script().triggers = [Err(Status::unavailable("draining")), queued()].into();
    let done = harness.run(&["task", "trigger", "a", "-o", "json"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.stdout
            .starts_with("{\"run\":{\"name\":\"tasks/a/runs/"),
        "{done:?}"
    );
    let script = harness.script();
    assert_eq!(script.triggered.len(), 2);
    assert_eq!(
        script.triggered[0].request_id,
        script.triggered[1].request_id
    );
    assert_eq!(script.triggered[0].request_id.len(), 36);
}

#[tokio::test]
async fn a_wait_that_is_over_before_the_run_says_so() {
    let harness = Harness::start().await;
    harness.script().waits.push_back(Ok(WaitRunResponse {
        run: Some(run(RunState::Running, RunOutcome::Unspecified)),
        done: false,
    }));
    let bare = RUN.rsplit('/').next().unwrap();
    let done = harness.run(&["run", "wait", bare, "--timeout", "1s"]).await;
    assert_eq!(done.code, 124, "{done:?}");
    let asked = harness.script().waited[0].clone();
    assert_eq!(asked.name, format!("tasks/-/runs/{bare}"));
    assert!(asked.timeout.unwrap().seconds <= 1);
}

#[tokio::test]
async fn a_refusal_is_told_in_full() {
    let harness = Harness::start().await;
    let details = ErrorDetails::with_bad_request_violation("parameters.n", "expected a text");
    let refusal = Status::with_error_details(Code::InvalidArgument, "it does not suit", details);
    harness.script().triggers.push_back(Err(refusal));
    let done = harness.run(&["task", "trigger", "a"]).await;
    assert_eq!(done.code, 7);
    assert_eq!(
        done.stderr,
        "error: it does not suit\n  parameters.n: expected a text\n"
    );
}

#[tokio::test]
async fn a_wrong_token_is_told_with_its_flag() {
    let harness = Harness::start().await;
    let token = harness.file("wrong", "wrong");
    let done = harness
        .run(&["task", "list", "--token-file", token.to_str().unwrap()])
        .await;
    assert_eq!(done.code, 9, "{done:?}");
    assert!(done.stderr.contains("--token-file"), "{done:?}");
}

fn present() -> Task {
    Task {
        name: "tasks/a".into(),
        kind: "command".into(),
        description: "old".into(),
        etag: "e1".into(),
        priority: Some(5),
        schedule: Some(Schedule {
            cron: "0 2 * * *".into(),
            time_zone: "Europe/Paris".into(),
            ..Schedule::default()
        }),
        ..Task::default()
    }
}

#[tokio::test]
async fn an_update_sends_only_what_is_given() {
    let harness = Harness::start().await;
    let done = harness
        .run(&[
            "task",
            "update",
            "a",
            "--priority",
            "0",
            "--description",
            "",
        ])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let sent = harness.script().updated[0].clone();
    assert_eq!(sent.update_mask.unwrap().paths, ["description", "priority"]);
    let task = sent.task.unwrap();
    assert_eq!((task.priority, task.schedule), (Some(0), None));
}

#[tokio::test]
async fn what_was_done_is_done_though_the_status_cannot_be_read_afterwards() {
    let harness = Harness::start().await;
    let next_due_time = Some(prost_types::Timestamp::default());
    harness.script().tasks = vec![Task {
        next_due_time,
        ..present()
    }];
    harness.script().status_fails = Some(Status::internal("no status"));
    let done = harness
        .run(&["task", "update", "a", "--cron", "0 3 * * *"])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(harness.script().updated.len(), 1);
    assert!(done.stdout.contains("tasks/a; next due"), "{done:?}");
    assert!(done.stderr.contains("no status"), "{done:?}");
}

#[tokio::test]
async fn a_backup_is_found_behind_pages_of_other_runs() {
    let harness = Harness::start().await;
    let page = |task: &str, next: &str| ListRunsResponse {
        runs: vec![Run {
            task: task.to_owned(),
            ..run(RunState::Queued, RunOutcome::Unspecified)
        }],
        next_page_token: next.to_owned(),
    };
    harness.script().pages = [page("tasks/a", "2"), page("tasks/backup-cleanup", "")].into();
    let done = harness.run(&["backup", "watch"]).await;
    let listed = harness.script().listed.clone();
    let tokens: Vec<&str> = listed.iter().map(|list| list.page_token.as_str()).collect();
    assert_eq!(tokens, ["", "2"]);
    // It is followed, which this server cannot do.
    assert_ne!(done.code, 0, "{done:?}");
}

#[tokio::test]
async fn a_part_of_a_schedule_is_changed_on_what_is_there() {
    let harness = Harness::start().await;
    harness.script().tasks = vec![present()];
    let done = harness
        .run(&["task", "update", "a", "--cron", "30 2 * * *"])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let sent = harness.script().updated[0].clone();
    assert_eq!(sent.update_mask.unwrap().paths, ["schedule"]);
    let task = sent.task.unwrap();
    assert_eq!(task.etag, "e1");
    let schedule = task.schedule.unwrap();
    assert_eq!(
        (schedule.cron.as_str(), schedule.time_zone.as_str()),
        ("30 2 * * *", "Europe/Paris")
    );
}

#[tokio::test]
async fn a_file_that_show_wrote_changes_only_what_was_edited() {
    let harness = Harness::start().await;
    harness.script().tasks = vec![present()];
    let shown = harness.run(&["task", "show", "a", "-o", "json"]).await;
    let file = harness.file("task.json", &shown.stdout.replace("\"old\"", "\"new\""));
    let done = harness
        .run(&["task", "update", "a", "--file", file.to_str().unwrap()])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let sent = harness.script().updated[0].clone();
    assert_eq!(sent.update_mask.unwrap().paths, ["description"]);
    assert_eq!(sent.task.unwrap().etag, "e1");

    let other = harness
        .run(&["task", "update", "b", "--file", file.to_str().unwrap()])
        .await;
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.stderr.contains("tasks/a"), "{other:?}");

    let same = harness.file("same.json", &shown.stdout);
    let done = harness
        .run(&["task", "update", "a", "--file", same.to_str().unwrap()])
        .await;
    assert!(done.stdout.starts_with("nothing to change"), "{done:?}");
    assert_eq!(harness.script().updated.len(), 1);
}
