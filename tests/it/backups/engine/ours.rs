//! Our locks, as restic sees them.

use std::{fs, io::Write as _};

use watchbell::{backup::repository::RepositoryError, clock::wall_now};

use super::{
    nobody::as_nobody,
    stage::{Stage, becomes, hand, noise},
};
use crate::backups::restic::Restic;

/// Packs that are there in full.
fn packs(stage: &Stage) -> usize {
    let folders = fs::read_dir(stage.place().join("data")).unwrap();
    let packs = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let names = packs.map(|pack| pack.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.contains("tmp")).count()
}

#[tokio::test]
async fn restic_reads_our_lock_and_keeps_away_until_it_is_gone() {
    // By it restic asks whether a process lives; the server passes over it, too.
    let _heard = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).unwrap();
    let stage = Stage::new();
    let Some(restic) = stage.restic() else { return };
    stage.write("file", "content");
    stage.archive();
    let claimed = stage.repository.claim().unwrap();

    let id = restic.must(&["list", "locks", "--no-lock"]);
    let lock = restic.must(&["cat", "lock", id.trim(), "--no-lock"]);
    let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
    assert_eq!(lock["pid"], std::process::id());
    assert_eq!(lock["username"], "watchbell");
    assert_ne!(lock["exclusive"], true);
    for alone in [&["prune"][..], &["check"]] {
        let refused = restic.run(alone);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{alone:?}");
        assert!(said.contains("already locked by"), "{alone:?}: {said}");
    }
    // It lives, so that this removes nothing; and two may store at the same time.
    restic.must(&["unlock"]);
    assert_eq!(stage.locks(), 1);
    let source = stage.source().display().to_string();
    restic.must(&["backup", &source]);

    drop(claimed);
    stage.is_left();
    restic.must(&["prune"]);
    stage.is_sound();
}

#[test]
fn each_operation_has_its_lock_and_leaves_none() {
    let stage = Stage::new();
    stage.write("file", "content");
    let archived = stage.archive();
    stage.is_left();
    let reader = stage.reader(&archived.snapshot);
    assert_eq!(stage.locks(), 1);
    // They are ours, and keep us from nothing.
    assert_eq!(stage.repository.foreign_locks(wall_now()).unwrap(), []);
    stage.archive();
    drop(reader);
    stage.is_left();
    stage.repository.forget(&[archived.snapshot]).unwrap();
    stage.is_left();
}

#[test]
fn a_lock_of_a_process_of_this_host_that_was_killed_holds_up_nobody() {
    let stage = Stage::new();
    let Some(restic) = stage.restic() else { return };
    stage.write("file", "content");
    let archived = stage.archive();
    stage.is_left();
    let before = packs(&stage);
    let mut killed = restic
        .command(&["backup", "--stdin", "--stdin-filename", "endless"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = killed.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        let block = noise(7, 32 << 20);
        while input.write_all(&block).is_ok() {}
    });
    // It stores only once nobody else's lock has made it give way: of two that begin at once, it may be the one.
    becomes("restic to store", || before < packs(&stage));
    let refused = stage
        .repository
        .forget(std::slice::from_ref(&archived.snapshot));
    assert!(
        matches!(refused, Err(RepositoryError::Locked { .. })),
        "{refused:?}"
    );
    killed.kill().unwrap();
    killed.wait().unwrap();
    feeding.join().unwrap();

    stage.repository.forget(&[archived.snapshot]).unwrap();
    // The dead one's is gone with ours.
    stage.is_left();
}

#[test]
fn what_cannot_be_written_is_read_without_a_lock() {
    let stage = Stage::here();
    stage.write("file", "content");
    let archived = stage.archive();
    let read_only = || {
        let locks = stage.place().join("locks");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
        fs::set_permissions(locks, mode).unwrap();
    };
    as_nobody(stage.path(), || {
        read_only();
        assert_eq!(stage.read(&archived.snapshot, "/files/file"), b"content");
        let checked = stage
            .repository
            .check(watchbell::backup::repository::ReadData::All, &hand())
            .unwrap();
        assert!(checked.damage.is_empty(), "{checked:?}");
        stage
            .repository
            .forget(std::slice::from_ref(&archived.snapshot))
            .unwrap_err();
    });
}

#[test]
fn what_is_another_programs_key_is_no_lock_of_ours() {
    let stage = Stage::new();
    let Some(restic) = Restic::at(&stage.place(), super::stage::PASSWORD) else {
        return;
    };
    stage.write("file", "content");
    stage.archive();
    fs::write(stage.place().join("locks").join("ab".repeat(32)), "nothing").unwrap();
    let refused = stage.repository.archive(&stage.job(), &hand()).unwrap_err();
    assert!(
        matches!(refused, RepositoryError::Locked { .. }),
        "what nobody can read is taken for the worst: {refused}"
    );
    fs::remove_dir_all(stage.place().join("locks")).unwrap();
    stage.archive();
    restic.finds_it_sound();
}
