//! Commands whose program ends while something that it started lives: nothing of that is hidden, and nothing that is
//! to go on is killed.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    harness::{Place, becomes},
    server::{lives, process_of},
};

/// Each leaves a process that lives until `go` is there, and then writes `mark`; in a session of its own, or not.
const LEAVING: &str = r#"
[commands.waits]
argv = ["/bin/sh", "-c", "(until [ -e go ] || [ ! -e watchbell.toml ]; do sleep 0.05; done; echo afterwards; touch mark) & echo $! > left; echo at once"]
[commands.gives-up]
argv = ["/bin/sh", "-c", "(until [ -e go ] || [ ! -e watchbell.toml ]; do sleep 0.05; done; echo afterwards; touch mark) & echo $! > left"]
leftovers_for = "1s"
[commands.leaves]
argv = ["/bin/sh", "-c", "setsid sh -c 'echo $$ > left; until [ -e go ] || [ ! -e watchbell.toml ]; do sleep 0.05; done; echo afterwards; touch mark' & until [ -e left ]; do sleep 0.01; done"]
leftovers = "leave"
[commands.kills]
argv = ["/bin/sh", "-c", "setsid sh -c 'echo $$ > left; sleep 600' & until [ -e left ]; do sleep 0.01; done"]
leftovers = "kill"
[commands.fails]
argv = ["/bin/sh", "-c", "sleep 600 & echo $! > left; exit 7"]
leftovers = "kill"
[tasks.waits]
kind = "command"
parameters = { command = "waits" }
[tasks.gives-up]
kind = "command"
parameters = { command = "gives-up" }
[tasks.leaves]
kind = "command"
parameters = { command = "leaves" }
[tasks.kills]
kind = "command"
parameters = { command = "kills" }
[tasks.fails]
kind = "command"
parameters = { command = "fails" }
[tasks.times-out]
kind = "command"
parameters = { command = "waits" }
attempt_timeout = "1s"
"#;

/// Ends what a test has let go on.
struct Ends(Pid);

impl Drop for Ends {
    fn drop(&mut self) {
        // It has ended where this fails.
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

#[test]
fn a_run_waits_for_what_its_command_left_in_the_background() {
    let place = Place::new(LEAVING);
    let server = place.serve();
    let run = server.trigger("waits");
    let left = process_of(&place, "left");
    becomes("the wait is told", || {
        let log = server.bellctl(&["run", "logs", &run]).stdout;
        log.contains("waiting up to 1m for what it has left") && log.contains(&left.to_string())
    });
    assert_eq!(server.run(&run)["state"], "RUN_STATE_RUNNING");
    place.write("go", "");

    let ended = server.waited(&run);
    assert_eq!(ended["outcome"], "RUN_OUTCOME_WORKED", "{ended}");
    assert!(place.path("mark").exists());
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    assert!(
        log.contains("at once\n") && log.contains("afterwards\n"),
        "{log}"
    );
}

#[test]
fn what_outlives_the_wait_goes_on_is_named_and_makes_the_run_partial() {
    let place = Place::new(LEAVING);
    for task in ["gives-up", "times-out"] {
        let _ = fs::remove_file(place.path("mark"));
        let _ = fs::remove_file(place.path("go"));
        let _ = fs::remove_file(place.path("left"));
        let server = place.serve();
        let run = server.trigger(task);
        let left = process_of(&place, "left");
        let _ends = Ends(left);

        let ended = server.waited(&run);
        assert_eq!(ended["state"], "RUN_STATE_SUCCEEDED", "{ended}");
        assert_eq!(ended["outcome"], "RUN_OUTCOME_PARTIAL", "{ended}");
        let message = ended["message"].as_str().unwrap();
        let named = format!("go on: {left} (/bin/sh -c (until");
        assert!(message.contains(&named), "{message}");
        let log = server.bellctl(&["run", "logs", &run]).stdout;
        assert!(log.contains(&format!("goes on: {left} (")), "{log}");
        assert!(lives(left));

        // Neither a stop, nor a crash, nor a start ends it, nor that nobody reads what it writes.
        server.stop();
        assert!(lives(left));
        let server = place.serve();
        assert!(lives(left));
        place.write("go", "");
        becomes("it has done its work", || place.path("mark").exists());
        server.stop();
    }
}

#[test]
fn leftovers_may_be_left_without_a_word() {
    let place = Place::new(LEAVING);
    let server = place.serve();
    let run = server.trigger("leaves");
    let ended = server.waited(&run);
    let left = process_of(&place, "left");
    let _ends = Ends(left);
    assert_eq!(ended["outcome"], "RUN_OUTCOME_WORKED", "{ended}");
    assert_eq!(ended["message"], "exit code 0");
    server.crash();
    let server = place.serve();
    assert!(lives(left), "it was left on purpose");
    place.write("go", "");
    becomes("it has done its work", || place.path("mark").exists());
    server.stop();
}

#[test]
fn leftovers_may_be_killed_which_is_told() {
    let place = Place::new(LEAVING);
    let server = place.serve();
    let run = server.trigger("kills");
    let ended = server.waited(&run);
    let left = process_of(&place, "left");
    assert!(!lives(left), "also out of its group and session");
    assert_eq!(ended["outcome"], "RUN_OUTCOME_PARTIAL", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("were ended: {left} (")),
        "{message}"
    );

    fs::remove_file(place.path("left")).unwrap();
    let run = server.trigger("fails");
    let ended = server.waited(&run);
    assert!(!lives(process_of(&place, "left")));
    assert_eq!(ended["state"], "RUN_STATE_FAILED", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains("exit code 7") && message.contains("were ended"),
        "{message}"
    );
}

#[test]
fn a_cancel_after_the_program_has_ended_ends_what_it_left_and_is_no_end_of_the_run() {
    let place = Place::new(LEAVING);
    let server = place.serve();
    let run = server.trigger("waits");
    let left = process_of(&place, "left");
    becomes("the wait is told", || {
        let log = server.bellctl(&["run", "logs", &run]).stdout;
        log.contains("waiting up to")
    });
    server.bellctl(&["run", "cancel", &run]).assert_good();

    let ended = server.waited(&run);
    assert!(!lives(left));
    assert_eq!(ended["state"], "RUN_STATE_SUCCEEDED", "{ended}");
    assert_eq!(ended["outcome"], "RUN_OUTCOME_PARTIAL", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("were ended: {left} (")),
        "{message}"
    );
    assert!(!place.path("mark").exists());
}
