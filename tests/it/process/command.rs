//! Tasks of kind `command`: real programs, their output, exit codes, environment and end.

use std::collections::BTreeSet;

use super::{
    harness::{Place, becomes},
    server::{Server, lives, process_of},
};

const FAMILY: &str = r#"
[commands.family]
argv = ["/bin/sh", "-c", '''
sh -c 'trap "" TERM; echo $$ > grandchild; while [ -e watchbell.toml ]; do sleep 0.05; done' &
echo "waiting for it"
echo $$ > child
wait''']
[tasks.family]
kind = "command"
parameters = { command = "family" }
cancel_grace = "1s"
"#;

const CODES: &str = r#"
[commands.good]
argv = ["/bin/sh", "-c", "echo to stdout; echo to stderr >&2"]
[commands.nothing]
argv = ["/bin/sh", "-c", "exit 3"]
nothing_to_do_exit_codes = [3]
[commands.partial]
argv = ["/bin/sh", "-c", "exit 4"]
partial_exit_codes = [4]
[commands.bad]
argv = ["/bin/sh", "-c", "exit 7"]
[commands.final]
argv = ["/bin/sh", "-c", "exit 9"]
no_retry_exit_codes = [9]
[tasks.good]
kind = "command"
parameters = { command = "good" }
[tasks.nothing]
kind = "command"
parameters = { command = "nothing" }
[tasks.partial]
kind = "command"
parameters = { command = "partial" }
[tasks.bad]
kind = "command"
parameters = { command = "bad" }
retry = { max_attempts = 2, initial_backoff = "100ms", max_backoff = "100ms" }
[tasks.final]
kind = "command"
parameters = { command = "final" }
retry = { max_attempts = 2, initial_backoff = "100ms", max_backoff = "100ms" }
"#;

#[test]
fn a_cancelled_command_ends_with_all_its_children() {
    let place = Place::new(FAMILY);
    let server = place.serve();
    let run = server.trigger("family");
    let family = [
        process_of(&place, "child"),
        process_of(&place, "grandchild"),
    ];
    assert!(family.into_iter().all(lives));
    let cancelled = server.bellctl(&["run", "cancel", &run, "--wait", "--reason", "enough"]);
    cancelled.assert_good();
    for process in family {
        becomes("the process has ended", || !lives(process));
    }
    let ended = server.run(&run);
    assert_eq!(ended["state"], "RUN_STATE_CANCELLED", "{ended}");
    assert_eq!(ended["reason"], "CANCEL_FORCED", "{ended}");
    assert_eq!(server.bellctl(&["run", "wait", &run]).code(), 4);
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    assert!(log.contains("waiting for it\n"), "{log}");
    assert!(
        log.contains("sending SIGTERM to the command") && log.contains("sending SIGKILL to all"),
        "{log}"
    );
}

/// What a triggered run of the task comes to: bellctl's code, outcome or reason, and attempts.
#[track_caller]
fn comes_to(server: &Server<'_>, task: &str) -> (i32, String, i64) {
    let done = server.bellctl(&["task", "trigger", task, "--wait", "--output", "json"]);
    let run: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let run = &run["run"];
    let what = run["outcome"].as_str().or(run["reason"].as_str());
    (
        done.code(),
        what.unwrap_or_default().to_owned(),
        run["attempt"].as_i64().unwrap_or_default(),
    )
}

#[test]
fn an_exit_code_becomes_an_outcome() {
    let place = Place::new(CODES);
    let server = place.serve();
    for (task, code, what, attempts) in [
        ("good", 0, "RUN_OUTCOME_WORKED", 1),
        ("nothing", 0, "RUN_OUTCOME_NOTHING_TO_DO", 1),
        ("partial", 5, "RUN_OUTCOME_PARTIAL", 1),
        ("bad", 1, "ERROR", 2),
        ("final", 1, "ERROR", 1),
    ] {
        let expected = (code, what.to_owned(), attempts);
        assert_eq!(comes_to(&server, task), expected, "{task}");
    }
    let runs = server.json(&["run", "list", "--task", "partial"]);
    assert_eq!(runs["runs"][0]["counters"]["exit_code"], "4", "{runs}");
    let runs = server.json(&["run", "list", "--task", "bad"]);
    let message = runs["runs"][0]["message"].as_str().unwrap();
    assert!(message.contains("exit code 7"), "{message}");
    assert!(message.contains("run's log"), "{message}");
}

#[test]
fn what_a_command_writes_is_in_the_log_of_its_run() {
    let place = Place::new(CODES);
    let server = place.serve();
    let run = server.trigger("good");
    server.waited(&run);
    let logs = server.bellctl(&["run", "logs", &run, "--output", "json"]);
    logs.assert_good();
    let mut lines: Vec<(String, String)> = logs
        .stdout
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            (text("stream"), text("text"))
        })
        .collect();
    lines.sort();
    let line = |stream: &str, text: &str| (stream.to_owned(), text.to_owned());
    assert_eq!(
        lines,
        [
            line("LOG_STREAM_STDERR", "to stderr"),
            line("LOG_STREAM_STDOUT", "to stdout")
        ]
    );
}

#[test]
fn the_end_of_a_long_output_is_kept_and_its_last_error_told() {
    let place = Place::new(
        r#"
[commands.flood]
argv = ["/bin/sh", "-c", "echo begins; yes 'another line' | head -c 4000000; echo 'no space left' >&2; exit 2"]
[tasks.flood]
kind = "command"
parameters = { command = "flood" }
"#,
    );
    let server = place.serve();
    let run = server.trigger("flood");
    server.waited(&run);
    let ended = server.run(&run);
    assert_eq!(
        ended["message"],
        "the command failed with exit code 2: no space left"
    );
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    assert!(log.starts_with("begins\nanother line\n"), "{log:.80}");
    assert_eq!(log.matches(" lines left out …\n").count(), 1);
    let end = &log[log.len() - 200..];
    assert!(end.contains("another line\n"), "{end}");
    assert!(log.contains("no space left\n"), "the end of stderr is kept");
    assert!(log.len() < 2 << 20, "{}", log.len());
}

#[test]
fn a_command_sees_only_the_variables_it_was_given() {
    let place = Place::new(
        r#"
[commands.env]
argv = ["/usr/bin/env"]
environment = { SET = "by the file" }
inherit_environment = ["KEPT", "MISSING"]
[tasks.env]
kind = "command"
parameters = { command = "env" }
"#,
    );
    let mut serve = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
    serve
        .env("KEPT", "from the server")
        .env("HIDDEN", "hunter2");
    let server = place.serve_by(serve, "data");
    let run = server.trigger("env");
    server.waited(&run);
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    assert!(log.contains("SET=by the file\n"), "{log}");
    assert!(log.contains("KEPT=from the server\n"), "{log}");
    assert!(log.contains("WATCHBELL_TASK=env\n"), "{log}");
    let names: BTreeSet<&str> = log
        .lines()
        .map(|line| line.split_once('=').unwrap().0)
        .collect();
    let expected = [
        "HOME",
        "KEPT",
        "LOGNAME",
        "PATH",
        "SET",
        "SHELL",
        "USER",
        "WATCHBELL_ATTEMPT",
        "WATCHBELL_RUN",
        "WATCHBELL_TASK",
    ];
    assert_eq!(names, BTreeSet::from(expected));
}
