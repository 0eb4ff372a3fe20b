//! What `bellctl` says, and how it exits, when it is told the wrong thing.

use std::fs;

use super::harness::{Place, finish};

const TASKS: &str = "[tasks.backup-daily]\nkind = \"prune-history\"\n";

#[test]
fn a_task_that_is_not_known_lists_those_with_names_like_it() {
    let place = Place::new(TASKS);
    let server = place.serve();
    let wrong = server.bellctl(&["task", "trigger", "backup-dayly"]);
    wrong.assert_failed(
        6,
        &["backup-dayly", "not found", "did you mean", "backup-daily"],
    );
    let runs = server.json(&["run", "list", "--task", "backup-daily"]);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 0, "{runs}");
}

#[test]
fn a_token_file_that_is_not_there_is_named() {
    let place = Place::new("");
    let server = place.serve();
    let wrong = server.bellctl(&["task", "list", "--token-file", "no-token"]);
    wrong.assert_failed(9, &["no-token", "<data directory>/token", "--token-file"]);
}

#[test]
fn a_wrong_token_is_refused_with_where_the_right_one_is() {
    let place = Place::new("");
    let server = place.serve();
    let token = fs::read_to_string(&server.token_file).unwrap();
    place.write("wrong", &token.replace(|_: char| true, "0"));
    let wrong = server.bellctl(&["task", "list", "--token-file", "wrong"]);
    wrong.assert_failed(9, &["the token is wrong", "data directory", "--token-file"]);
    let status = server.bellctl(&["status", "--token-file", "wrong"]);
    assert_eq!(status.code(), 3, "not known, to a monitor: {status:?}");
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let place = Place::new("");
    let server = place.serve();
    let address = server.address().to_owned();
    let list = server.bellctl_command(&["task", "list"]);
    server.stop();
    let done = finish(list);
    done.assert_failed(3, &["cannot reach a server", &address, "watchbell serve"]);
}

#[test]
fn a_task_that_would_never_fire_is_not_created() {
    let place = Place::new(TASKS);
    let server = place.serve();
    let create = |cron| {
        server.bellctl(&[
            "task",
            "create",
            "late",
            "--kind",
            "prune-history",
            "--cron",
            cron,
        ])
    };
    create("0 0 31 2 *").assert_failed(7, &["schedule.cron", "never fires"]);
    create("61 * * * *").assert_failed(7, &["schedule.cron", "minute", "0 to 59"]);
    let shown = server.bellctl(&["task", "show", "late"]);
    shown.assert_failed(6, &["late", "not found"]);
}

#[test]
fn a_task_of_the_configuration_is_not_deleted() {
    let place = Place::new(TASKS);
    let server = place.serve();
    let deleted = server.bellctl(&["task", "delete", "backup-daily"]);
    deleted.assert_failed(
        8,
        &[
            "tasks/backup-daily",
            "configuration file",
            "remove it there",
        ],
    );
    server
        .bellctl(&["task", "show", "backup-daily"])
        .assert_good();
}
