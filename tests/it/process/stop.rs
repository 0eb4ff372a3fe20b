//! SIGTERM: a stop in order, within the grace, over it, and twice.

use nix::sys::signal::Signal;

use super::{
    crash::{WAITING, under_way},
    harness::{Place, becomes},
    server::{Server, lives, process_of},
    sqlite::Sqlite,
};

/// The runs as the stopped server left them, but those of its own tasks, which run by the clock: task, state, reason,
/// attempts and how many count.
#[track_caller]
fn left(place: &Place) -> Vec<String> {
    let mut sqlite = Sqlite::open(&place.database());
    sqlite.texts(
        "SELECT task || ' ' || state || ' ' || reason || ' ' || attempt || ' ' || attempts_charged \
         FROM runs WHERE task LIKE 'waiting%' ORDER BY task",
    )
}

#[track_caller]
fn terminate(server: &Server<'_>) {
    server.signal(Signal::SIGTERM);
    server.logs("stopping: no new slots, claims or calls");
}

#[test]
fn a_run_that_ends_within_the_grace_has_succeeded() {
    let place = Place::new(&WAITING.replace("\"1s\"", "\"1m\""));
    let mut server = place.serve();
    under_way(&server, "waiting");
    terminate(&server);
    let refused = server.bellctl(&["task", "trigger", "waiting-twice"]);
    refused.assert_failed(3, &["draining", "no new calls", "try again"]);
    assert!(!refused.stderr.contains("hint:"), "it runs: {refused:?}");
    assert_eq!(server.bellctl(&["status"]).code(), 3);
    place.write("go", "");
    assert_eq!(server.ended().code(), Some(0), "{}", server.log());
    assert_eq!(left(&place), ["waiting succeeded  1 1"]);
}

#[test]
fn a_run_that_outlasts_the_grace_is_queued_again_and_its_attempt_does_not_count() {
    let place = Place::new(WAITING);
    let mut server = place.serve();
    let run = under_way(&server, "waiting");
    under_way(&server, "waiting-once");
    let process = process_of(&place, "waiting.pid");
    terminate(&server);
    assert_eq!(server.ended().code(), Some(0), "{}", server.log());
    becomes("the command has ended with its server", || !lives(process));
    assert_eq!(
        left(&place),
        [
            "waiting queued DRAINED 1 0",
            "waiting-once abandoned DRAINED 1 1"
        ]
    );
    let server = place.serve();
    let run = server.waited(&run);
    assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
    assert_eq!(run["attempt"], 2, "{run}");
}

#[test]
fn a_second_signal_cuts_at_once() {
    let place = Place::new(&WAITING.replace("\"1s\"", "\"1h\""));
    let mut server = place.serve();
    under_way(&server, "waiting");
    terminate(&server);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ended().code(), Some(0), "{}", server.log());
    assert_eq!(left(&place), ["waiting queued DRAINED 1 0"]);
}

#[test]
fn an_interrupt_stops_as_a_termination_does() {
    let place = Place::new("");
    let mut server = place.serve();
    server.signal(Signal::SIGINT);
    assert_eq!(server.ended().code(), Some(0), "{}", server.log());
    assert!(server.log().ends_with("stopped\n"), "{}", server.log());
}

/// A terminal that closes, and whoever means "read your files again", must not cut off what runs.
#[test]
fn a_signal_to_reload_is_told_and_ends_nothing() {
    let place = Place::new(&WAITING.replace("\"1s\"", "\"1m\""));
    let mut server = place.serve();
    under_way(&server, "waiting");
    for (signal, name) in [
        (Signal::SIGHUP, "SIGHUP"),
        (Signal::SIGUSR1, "SIGUSR1"),
        (Signal::SIGUSR2, "SIGUSR2"),
        (Signal::SIGHUP, "SIGHUP"),
    ] {
        server.signal(signal);
        server.logs(&format!("{name}: there is nothing to reload"));
    }
    becomes("the status to be good", || {
        server.bellctl(&["status"]).code() == 0
    });
    terminate(&server);
    place.write("go", "");
    assert_eq!(server.ended().code(), Some(0), "{}", server.log());
    assert_eq!(left(&place), ["waiting succeeded  1 1"]);
}
