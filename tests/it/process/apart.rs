//! What a backup takes of memory, and an abort in it, is not the server's.

use std::fs;

use super::{
    harness::{Place, eventually},
    server::Server,
};
use crate::backups::{apart::workers, engine::stage::noise};

/// Small files, and bytes of each.
const FILES: u64 = 20_000;
const FILE_BYTES: usize = 4 << 10;

/// By how much a server may grow: what its manifest is made of, and room for what else it does meanwhile.
const GROWS_AT_MOST: u64 = 24 << 20;

/// A place with many files, in folders of a thousand, and a policy for them.
fn with_files() -> Place {
    let place = Place::new("");
    let source = place.path("source");
    place.configure(&format!(
        "[backups.sources.many]\npaths = [{:?}]\n",
        source.display().to_string()
    ));
    for number in 0..FILES {
        let folder = source.join((number / 1000).to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), noise(number, FILE_BYTES)).unwrap();
    }
    place
}

fn with_policy(server: &Server<'_>) {
    let policy = ["backup", "policy", "create", "many", "--source", "many"];
    let made = server.bellctl(&[&policy[..], &["--keep-last", "3"]].concat());
    assert_eq!(made.code(), 0, "{made:?}");
}

/// The most that a process has had in memory since that was last asked, in bytes.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    // From now on it is counted anew.
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
    kib.parse::<u64>().unwrap() << 10
}

#[test]
fn a_backup_of_many_files_does_not_make_the_server_grow() {
    let place = with_files();
    let server = place.serve();
    with_policy(&server);
    // What is held from the first backup on.
    let small = server.bellctl(&["backup", "run", "daily-full", "--wait"]);
    assert_eq!(small.code(), 0, "{small:?}");
    peak(server.id());
    let before = peak(server.id());
    let run = server.bellctl(&["backup", "run", "many", "--wait"]);
    assert_eq!(run.code(), 0, "{run:?}");
    let grown = peak(server.id()).saturating_sub(before);
    assert!(grown < GROWS_AT_MOST, "{} KiB more", grown >> 10);
}

#[test]
fn who_works_ends_with_the_server_and_holds_up_nobody() {
    let place = with_files();
    let server = place.serve();
    with_policy(&server);
    let repository = place.data().join("backups/repository");
    let begun = server.bellctl(&["backup", "run", "many"]);
    assert_eq!(begun.code(), 0, "{begun:?}");
    let is_at_work = || (!workers(&repository).is_empty()).then_some(());
    eventually(is_at_work).expect("a process at work");
    drop(server);
    let has_ended = || workers(&repository).is_empty().then_some(());
    eventually(has_ended).expect("it to end with the server");

    let server = place.serve();
    let run = server.bellctl(&["backup", "run", "daily-full", "--wait"]);
    assert_eq!(run.code(), 0, "{run:?}");
    let has_gone = || {
        let left = fs::read_dir(repository.join("locks")).unwrap().count();
        (left == 0).then_some(())
    };
    eventually(has_gone).expect("the lock of the server that was killed to be gone, too");
}
