//! One process for a data directory, a database and a port; and the token in it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
};

use super::harness::Place;
use crate::support::skip;

#[test]
fn a_data_directory_in_use_is_refused_with_the_process_that_has_it() {
    let place = Place::new("");
    let server = place.serve();
    let process = format!("process {}", server.id());
    let says = ["data directory", "in use", &process, "--data"];
    place.refused(&[]).assert_failed(1, &says);
    place.run("migrate", &[]).assert_failed(1, &says);
    assert_eq!(server.bellctl(&["task", "list"]).code(), 0);
}

#[test]
fn a_data_directory_is_free_once_its_server_was_killed() {
    let place = Place::new("");
    place.serve().crash();
    place.serve().stop();
}

#[test]
fn a_database_in_use_is_refused_from_another_data_directory() {
    let place = Place::new("");
    let server = place.serve();
    let url = format!("sqlite://{}", place.database().display());
    let other = place.path("other");
    let flags = ["--database", &url, "--data", &other.to_string_lossy()];
    let process = format!("process {}", server.id());
    let says = ["watchbell.db", "in use", &process, "--database"];
    place.refused(&flags).assert_failed(1, &says);
}

#[test]
fn a_data_directory_of_another_cluster_is_refused() {
    let place = Place::new("");
    place.serve().stop();
    let other = Place::new("");
    other.serve().stop();
    let id = fs::read_to_string(other.path("data/cluster-id")).unwrap();
    let url = format!("sqlite://{}", place.database().display());
    let says = ["belongs to cluster", id.trim(), "--data", "--database"];
    other.refused(&["--database", &url]).assert_failed(1, &says);
    assert_eq!(
        fs::read_to_string(other.path("data/cluster-id")).unwrap(),
        id
    );
}

#[test]
fn a_port_that_is_taken_is_refused_and_nothing_is_made() {
    let place = Place::new("");
    let server = place.serve();
    let other = Place::new("");
    let says = [server.address(), "--listen", "in use"];
    other
        .refused(&["--listen", server.address()])
        .assert_failed(4, &says);
    assert!(!other.data().exists(), "{:?}", other.data_names());
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let place = Place::new("");
    let file = place.write("data", "something of mine");
    let says = [&*file.to_string_lossy(), "--data"];
    place.refused(&[]).assert_failed(1, &says);
    assert_eq!(fs::read_to_string(file).unwrap(), "something of mine");
}

#[test]
fn the_token_is_made_once_and_only_its_owner_can_read_it() {
    let place = Place::new("");
    let server = place.serve();
    let token = fs::read_to_string(&server.token_file).unwrap();
    let mode = fs::metadata(&server.token_file)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fs::metadata(place.data()).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert!(!server.log().contains(token.trim()));
    server.stop();
    let server = place.serve();
    assert_eq!(fs::read_to_string(&server.token_file).unwrap(), token);
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    let place = Place::new("");
    place.serve().stop();
    let token = place.path("data/token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let says = [&*token.to_string_lossy(), "chmod 600"];
    place.refused(&[]).assert_failed(1, &says);
}

#[test]
fn a_data_directory_of_another_user_is_refused_with_whose_it_is() {
    if !nix::unistd::geteuid().is_root() {
        skip("a directory of another user", "only root may give it away");
        return;
    }
    let place = Place::new("");
    fs::create_dir(place.data()).unwrap();
    let token = place.path("data/token");
    fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    chown(place.data(), Some(12_345), None).unwrap();
    let says = ["data directory", "owned by 12345", "runs as root", "chown"];
    place.refused(&[]).assert_failed(1, &says);
    chown(place.data(), Some(0), None).unwrap();
    chown(&token, Some(12_345), None).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let says = ["token file", "owned by 12345", "runs as root"];
    place.refused(&[]).assert_failed(1, &says);
}
