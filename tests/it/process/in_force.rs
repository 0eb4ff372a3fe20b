//! A start without the configuration that this data had is refused, unless that is what is meant.

use std::process::Command;

use super::harness::{Place, finish};

const FILE: &str =
    "[tasks.nightly]\nkind = \"prune-history\"\nschedule = { cron = \"0 3 * * *\" }\n";

/// A server on this place's data, without a configuration file.
fn without(place: &Place, flags: &[&str]) -> Command {
    let mut command = place.program(env!("CARGO_BIN_EXE_watchbell"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(place.data())
        .args(flags);
    command
}

#[test]
fn a_start_without_the_file_that_was_in_force_is_refused() {
    let place = Place::new(FILE);
    let server = place.serve();
    let before = server.json(&["task", "show", "nightly"]);
    server.stop();

    let file = place.path("watchbell.toml");
    let file = file.to_string_lossy();
    let says = [&*file, "1 tasks", "--config", "--without-configuration"];
    finish(without(&place, &[])).assert_failed(3, &says);
    // No more by another way to no file.
    let mut emptied = without(&place, &["--without-configuration"]);
    emptied.env("WATCHBELL_CONFIG", &*file);
    finish(emptied).assert_failed(3, &["WATCHBELL_CONFIG", &file]);

    let server = place.serve();
    let after = server.json(&["task", "show", "nightly"]);
    assert_eq!(before["task"]["etag"], after["task"]["etag"], "untouched");
    server.stop();
}

#[test]
fn a_start_without_a_file_that_is_meant_ends_its_tasks_and_they_may_come_back() {
    let place = Place::new(FILE);
    let server = place.serve();
    let before = server.json(&["task", "show", "nightly"]);
    server.stop();

    let server = place.serve_by(without(&place, &["--without-configuration"]), "data");
    server.logs("have ended: nightly");
    assert_ne!(server.bellctl(&["task", "show", "nightly"]).code(), 0);
    server.stop();
    // What has none need not say so again.
    place.serve_by(without(&place, &[]), "data").stop();

    let server = place.serve();
    let after = server.json(&["task", "show", "nightly"]);
    assert_eq!(before["task"]["uid"], after["task"]["uid"]);
    server.stop();
}

#[test]
fn the_flag_and_a_file_are_wrong_usage() {
    let place = Place::new("");
    let done = place.refused(&["--without-configuration"]);
    done.assert_failed(2, &["--without-configuration", "--config"]);
}
