//! `bellctl` against a server: exit codes for monitors, JSON for programs, and streams.

use serde_json::Value;

use super::{
    crash::{WAITING, under_way},
    harness::{Place, Written, ended, eventually},
};

const TASKS: &str = r#"
[commands.good]
argv = ["/bin/true"]
[commands.bad]
argv = ["/bin/false"]
[tasks.good]
kind = "command"
parameters = { command = "good" }
[tasks.bad]
kind = "command"
parameters = { command = "bad" }
"#;

#[test]
fn the_status_exits_as_monitors_expect() {
    let place = Place::new(TASKS);
    let server = place.serve();
    // It may be as old as a quarter of a second.
    let becomes = |code: i32, says: &[&str]| {
        let told = eventually(|| {
            let status = server.bellctl(&["status"]);
            (status.code() == code).then_some(status.stdout)
        });
        let told = told.unwrap_or_else(|| panic!("the status never exited with {code}"));
        assert!(says.iter().all(|text| told.contains(text)), "{told}");
    };
    becomes(0, &["OK: no problems"]);
    let trigger = ["task", "trigger", "bad", "--wait"];
    assert_eq!(server.bellctl(&trigger).code(), 1);
    becomes(
        1,
        &["WARNING: tasks/bad: its last run has failed", "tasks/bad"],
    );
    server.bellctl(&trigger);
    server.bellctl(&trigger);
    becomes(
        2,
        &[
            "CRITICAL: tasks/bad: 3 runs in a row have failed",
            "tasks/bad",
        ],
    );

    let elsewhere = server.bellctl(&["status", "--endpoint", "127.0.0.1:1"]);
    assert_eq!(elsewhere.code(), 3, "{elsewhere:?}");
    assert!(elsewhere.stdout.starts_with("UNKNOWN: "), "{elsewhere:?}");
}

#[test]
fn a_run_that_was_waited_for_exits_with_what_it_became() {
    let place = Place::new(TASKS);
    let server = place.serve();
    let wait = |task| server.bellctl(&["task", "trigger", task, "--wait"]);
    wait("good").assert_good();
    let failed = wait("bad");
    assert_eq!(failed.code(), 1, "{failed:?}");
    assert!(failed.stdout.contains("exit code 1"), "{failed:?}");
}

#[test]
fn lists_are_json_under_the_name_of_what_they_list() {
    let place = Place::new(TASKS);
    let server = place.serve();
    // The server's own tasks run by the clock.
    let list = ["run", "list", "--task", "good"];
    let none = server.json(&list);
    assert_eq!(none["runs"], Value::Array(Vec::new()), "{none}");

    let run = server.trigger("good");
    server.waited(&run);
    let runs = server.json(&list);
    assert_eq!(runs["runs"][0]["name"], run, "{runs}");
    assert_eq!(runs["runs"][0]["state"], "RUN_STATE_SUCCEEDED", "{runs}");
    assert_eq!(runs["runs"][0]["trigger"], "RUN_TRIGGER_MANUAL", "{runs}");

    let tasks = server.json(&["task", "list"]);
    let names: Vec<_> = tasks["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["name"].as_str().unwrap())
        .collect();
    let expected = [
        "backup-cleanup",
        "backup-daily-full",
        "backup-monthly-archive",
        "backup-pre-deployment",
        "backup-weekly-export",
        "bad",
        "good",
        "perform-system-health-check",
        "process-document-effective-dates",
        "process-document-obsoletion-dates",
        "prune-history",
        "restore-backup",
        "sweep-content",
        "verify-backups",
    ];
    assert_eq!(names, expected.map(|name| format!("tasks/{name}")));
}

#[test]
fn a_preview_crosses_the_clock_change() {
    let place = Place::new("");
    let server = place.serve();
    let preview = server.json(&[
        "schedule",
        "preview",
        "--cron",
        "0 2 * * *",
        "--time-zone",
        "America/New_York",
        "--after",
        "2026-03-07T08:00:00Z",
        "--until",
        "2026-03-10T00:00:00Z",
    ]);
    let fires = preview["fires"].as_array().unwrap();
    let times: Vec<_> = fires.iter().map(|fire| &fire["nominalTime"]).collect();
    assert_eq!(times, ["2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"]);
    let reason = fires[0]["reasons"][0].as_str().unwrap();
    assert!(reason.contains("02:00 does not exist"), "{reason}");
}

#[test]
fn a_run_is_watched_and_its_log_followed_to_their_ends() {
    let place = Place::new(&WAITING.replace("done'''", "done; echo over'''"));
    let server = place.serve();
    let run = under_way(&server, "waiting");
    let follow = |args: &[&str]| {
        let mut child = server.bellctl_command(args).spawn().unwrap();
        let written = Written::by(child.stdout.take().unwrap());
        (child, written)
    };
    let (mut watch, events) = follow(&["run", "watch", "--run", &run, "--output", "json"]);
    let (mut logs, lines) = follow(&["run", "logs", &run, "--follow"]);
    events.says("snapshotEnd");
    place.write("go", "");
    events.says("RUN_STATE_SUCCEEDED");
    lines.says("over\n");
    for child in [&mut watch, &mut logs] {
        assert_eq!(ended(child).unwrap().code(), Some(0));
    }
    let first = events.text();
    let first: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(first["snapshot"]["name"], run, "{first}");
    assert_eq!(first["snapshot"]["state"], "RUN_STATE_RUNNING", "{first}");
    assert!(first["resumeToken"].is_string(), "{first}");
}
