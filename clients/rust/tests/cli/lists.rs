//! Lists, previews and the status.

use watchbell_client::pb::{
    Fire, GetAgendaResponse, Pause, Problem, SchedulerFigures, Severity, Status, Task,
};

use crate::harness::Harness;

fn task(id: &str) -> Task {
    Task {
        name: format!("tasks/{id}"),
        kind: "command".into(),
        description: "line\nbreak \u{1b}[31m".into(),
        ..Task::default()
    }
}

#[tokio::test]
async fn all_pages_become_one_object() {
    let harness = Harness::start().await;
    harness.script().tasks = vec![task("a"), task("b"), task("c")];
    let done = harness
        .run(&["task", "list", "--all", "--output", "json"])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let listed: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let names: Vec<_> = listed["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["name"])
        .collect();
    assert_eq!(names, ["tasks/a", "tasks/b", "tasks/c"]);
    assert_eq!(listed.get("nextPageToken"), None);
}

#[tokio::test]
async fn a_page_says_that_there_are_more() {
    let harness = Harness::start().await;
    harness.script().tasks = vec![task("a"), task("b")];
    let done = harness.run(&["task", "list"]).await;
    assert!(done.stderr.contains("--all"), "{done:?}");
    assert!(done.stdout.contains("never ran"), "{done:?}");
    assert!(!done.stdout.contains('\u{1b}'), "{done:?}");
}

#[tokio::test]
async fn nothing_fires_only_where_the_server_has_looked_at_all() {
    let harness = Harness::start().await;
    let done = harness.run(&["agenda"]).await;
    assert!(done.stdout.contains("nothing fires"), "{done:?}");

    // It hands out the same token again.
    harness.script().agenda = GetAgendaResponse {
        next_page_token: "again".to_owned(),
        ..GetAgendaResponse::default()
    };
    for all in [&["agenda"][..], &["agenda", "--all"]] {
        let done = harness.run(all).await;
        assert!(!done.stdout.contains("nothing fires"), "{done:?}");
        assert!(done.stderr.contains("has not looked at all"), "{done:?}");
    }
}

#[tokio::test]
async fn a_list_is_empty_only_where_the_server_has_looked_at_all() {
    let lists: [(&[&str], &str); 8] = [
        (&["task", "list"], "no tasks"),
        (&["task", "list", "--all"], "no tasks"),
        (&["run", "list"], "no runs"),
        (&["replicas"], "no replicas"),
        (&["backup", "list"], "no restore points"),
        (&["backup", "evidence"], "nothing was verified yet"),
        (&["backup", "policy", "list"], "no backup policies"),
        (&["backup", "sources"], "no sources"),
    ];
    let harness = Harness::start().await;
    for (args, none) in lists {
        let done = harness.run(args).await;
        assert_eq!(done.stdout, format!("{none}\n"), "{args:?}: {done:?}");
        assert_eq!(done.stderr, "", "{args:?}");
    }
    // It hands out the same token again.
    harness.script().unseen = "again".to_owned();
    for (args, _) in lists {
        let done = harness.run(args).await;
        assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{args:?}");
        assert!(done.stderr.contains("has not looked at all"), "{done:?}");
        assert!(!done.stderr.contains("there are more"), "{done:?}");
        let json = harness.run(&[args, &["-o", "json"]].concat()).await;
        assert!(json.stdout.contains("\"again\""), "{args:?}: {json:?}");
    }
}

#[tokio::test]
async fn nothing_fires_is_said_of_a_whole_span_alone() {
    let harness = Harness::start().await;
    let spans: [&[&str]; 2] = [&[], &["--until", "+2h"]];
    // The server's answers have no fire, and always a token of more.
    for until in spans {
        let preview = ["schedule", "preview", "--task", "a"];
        let done = harness.run(&[&preview[..], until].concat()).await;
        assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{done:?}");
        assert!(done.stderr.contains("has not looked at all"), "{done:?}");
        assert!(!done.stderr.contains("--count"), "{done:?}");
    }
}

#[tokio::test]
async fn nothing_is_due_while_everything_is_paused() {
    let harness = Harness::start().await;
    let due = Task {
        next_due_time: Some(prost_types::Timestamp {
            seconds: 4_000_000_000,
            nanos: 0,
        }),
        ..task("a")
    };
    harness.script().tasks = vec![due];
    let shows: [&[&str]; 3] = [&["task", "list"], &["task", "show", "a"], &["status"]];
    harness.script().status.scheduler = Some(SchedulerFigures {
        next_due_time: Some(prost_types::Timestamp {
            seconds: 4_000_000_000,
            nanos: 0,
        }),
        ..SchedulerFigures::default()
    });
    for args in shows {
        let done = harness.run(args).await;
        assert!(done.stdout.contains("2096-10-02"), "{args:?}: {done:?}");
    }
    harness.script().status.pause = Some(Pause {
        principal: "watchbell restore".into(),
        reason: "the original may still live".into(),
        pause_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        until_time: None,
        ended_count: None,
    });
    for args in shows {
        let done = harness.run(args).await;
        assert!(!done.stdout.contains("2096"), "{args:?}: {done:?}");
        for text in [
            "everything is paused by watchbell restore since 2023-11-14",
            "until it is resumed: the original may still live",
        ] {
            assert!(done.stdout.contains(text), "{args:?}: {done:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_list_says_so() {
    let harness = Harness::start().await;
    let table = harness
        .run(&["run", "list", "--state", "failed", "--since", "-2h"])
        .await;
    assert_eq!((table.code, table.stdout.as_str()), (0, "no runs\n"));
    let json = harness.run(&["run", "list", "-o", "json"]).await;
    assert_eq!(json.stdout, "{\"runs\":[]}\n");
    let script = harness.script();
    assert_eq!(script.listed[0].states, [5]);
    assert!(script.listed[0].queued_since_time.is_some());
}

#[tokio::test]
async fn a_preview_of_an_unsaved_schedule_is_canonical_json() {
    let harness = Harness::start().await;
    harness.script().fires = vec![Fire {
        nominal_time: Some(prost_types::Timestamp {
            seconds: 1_772_953_200,
            nanos: 0,
        }),
        ..Fire::default()
    }];
    let line = "schedule preview --time-zone America/New_York --after 2026-03-08T00:00 --until \
                2026-03-09 --count 1 -o json --cron @daily";
    let args: Vec<&str> = line.split_whitespace().collect();
    let done = harness.run(&args).await;
    assert_eq!(
        done.stdout,
        "{\"fires\":[{\"nominalTime\":\"2026-03-08T07:00:00Z\"}]}\n"
    );
    let asked = harness.script().previewed[0].clone();
    let schedule = asked.schedule.unwrap();
    assert_eq!(schedule.cron, "@daily");
    assert_eq!(schedule.time_zone, "America/New_York");
    // Midnight in New York, before and after daylight saving begins.
    assert_eq!(asked.after_time.unwrap().seconds, 1_772_946_000);
    assert_eq!(
        asked.until_time.unwrap().seconds,
        1_772_946_000 + 23 * 3_600
    );
    assert_eq!(asked.page_size, 1);
}

#[tokio::test]
async fn a_saved_schedule_is_asked_for_by_its_task() {
    let harness = Harness::start().await;
    let done = harness.run(&["schedule", "preview", "--task", "a"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let asked = harness.script().previewed[0].clone();
    assert_eq!((asked.schedule, asked.task.as_str()), (None, "tasks/a"));
    let nothing = harness.run(&["schedule", "preview"]).await;
    assert_eq!(nothing.code, 2);
    assert!(nothing.stderr.contains("--cron"), "{nothing:?}");
}

#[tokio::test]
async fn the_status_exits_as_monitors_expect() {
    let harness = Harness::start().await;
    for (overall, code) in [
        (Severity::Ok, 0),
        (Severity::Warning, 1),
        (Severity::Critical, 2),
        (Severity::Unspecified, 3),
    ] {
        harness.script().status = Status {
            overall: overall.into(),
            problems: vec![Problem {
                message: "disk is full".into(),
                action: "make room".into(),
                ..Problem::default()
            }],
            ..Status::default()
        };
        let done = harness.run(&["status"]).await;
        assert_eq!(done.code, code, "{done:?}");
        assert!(done.stdout.contains("make room"), "{done:?}");
    }
    let token = harness.file("wrong", "wrong");
    let refused = harness
        .run(&["status", "--token-file", token.to_str().unwrap()])
        .await;
    assert_eq!(refused.code, 3);
    assert!(refused.stdout.starts_with("UNKNOWN: "), "{refused:?}");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let harness = Harness::start().await;
    harness.script().tasks = vec![task("a"); 50];
    let mut child = harness.command(&["task", "list", "--all"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
