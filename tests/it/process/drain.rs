//! `watchbell drain`: waits until nothing runs, and stops nothing.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    crash::{WAITING, under_way},
    harness::{Done, Place, Written, ended, eventually, finish},
    server::Server,
};

fn drain(server: &Server<'_>, flags: &[&str]) -> std::process::Command {
    let mut all = vec!["--listen", server.address()];
    all.extend(flags);
    server.place.watchbell("drain", &all)
}

fn drained(server: &Server<'_>, flags: &[&str]) -> Done {
    finish(drain(server, flags))
}

/// The exit code of the status, once it is this one.
#[track_caller]
fn status_becomes(server: &Server<'_>, code: i32) -> String {
    let told = eventually(|| {
        let status = server.bellctl(&["status"]);
        (status.code() == code).then_some(status.stdout)
    });
    told.unwrap_or_else(|| panic!("the status never exited with {code}"))
}

#[test]
fn a_server_on_which_nothing_runs_is_drained_at_once() {
    let place = Place::new(WAITING);
    let server = place.serve();
    let done = drained(&server, &["--reason", "upgrade"]);
    done.assert_good();
    assert!(done.stdout.contains("nothing runs"), "{done:?}");
    let told = status_becomes(&server, 1);
    for text in ["WARNING: replicas/", "drained by admin", "upgrade"] {
        assert!(told.contains(text), "{told}");
    }
    drained(&server, &["--end"]).assert_good();
    status_becomes(&server, 0);
}

#[test]
fn a_drain_waits_for_what_runs_and_names_what_does_not_end() {
    let place = Place::new(WAITING);
    let server = place.serve();
    let run = under_way(&server, "waiting");
    let late = drained(&server, &["--at-most", "1s"]);
    late.assert_failed(124, &[&run, "still", "runs are taken again"]);
    status_becomes(&server, 0);
    drained(&server, &["--at-most", "0s", "--stay"]).assert_failed(124, &[&run, "stays"]);
    status_becomes(&server, 1);

    let mut child = drain(&server, &["--at-most", "10m"]).spawn().unwrap();
    let remarks = Written::by(child.stderr.take().unwrap());
    remarks.says("1 runs are under way");
    place.write("go", "");
    let status = ended(&mut child).unwrap();
    assert_eq!(status.code(), Some(0), "{}", remarks.text());
    let ended = server.run(&run);
    assert_eq!(ended["state"], "RUN_STATE_SUCCEEDED", "{ended}");
    server.stop();
}

#[test]
fn a_drain_whose_connection_is_lost_is_taken_back() {
    let place = Place::new(WAITING);
    let server = place.serve();
    under_way(&server, "waiting");
    for signal in [Signal::SIGHUP, Signal::SIGINT] {
        let mut child = drain(&server, &["--at-most", "10m"]).spawn().unwrap();
        let remarks = Written::by(child.stderr.take().unwrap());
        remarks.says("1 runs are under way");
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let status = ended(&mut child).unwrap();
        assert_eq!(status.code(), Some(130), "{}", remarks.text());
        remarks.says("runs are taken again");
        status_becomes(&server, 0);
    }
}

#[test]
fn a_server_that_was_started_anew_meanwhile_is_not_taken_for_drained() {
    let place = Place::new(WAITING);
    let server = place.serve();
    under_way(&server, "waiting");
    let mut child = drain(&server, &["--at-most", "10m"]).spawn().unwrap();
    let remarks = Written::by(child.stderr.take().unwrap());
    remarks.says("1 runs are under way");
    let address = server.address().to_owned();
    server.crash();

    let server = place.serve_by(place.watchbell("serve", &["--listen", &address]), "data");

    let status = ended(&mut child).unwrap();
    assert_eq!(status.code(), Some(1), "{}", remarks.text());
    remarks.says("another server answers than the one that was drained");
    remarks.says("is gone, and its drain with it");
    let told = server.bellctl(&["status"]);
    assert!(!told.stdout.contains("drained by"), "{told:?}");
}

#[test]
fn a_wait_is_as_long_as_the_longest_drain_and_no_longer() {
    let place = Place::new("");
    let server = place.serve();
    drained(&server, &["--at-most", "7d"]).assert_good();
    drained(&server, &["--at-most", "8d"]).assert_failed(2, &["--at-most", "at most 7d"]);
}

#[test]
fn a_drain_of_no_server_says_what_is_missing() {
    let place = Place::new("");
    let no_token = place.run("drain", &["--listen", "127.0.0.1:1"]);
    no_token.assert_failed(1, &["could not read the token", "--data"]);
    place.serve().stop();
    let no_server = place.run("drain", &["--listen", "127.0.0.1:1"]);
    no_server.assert_failed(1, &["no server answers at 127.0.0.1:1"]);
}
