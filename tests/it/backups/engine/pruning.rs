//! Pruning in two phases, beside whoever stores.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use watchbell::{
    backup::{
        repository::{Hand, Pruned, Repository as _, SnapshotId},
        rustic::{Apart, Rustic},
    },
    clock::wall_now,
};

use super::stage::{PASSWORD, Stage, hand, helpers, never, noise};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn prune(stage: &Stage, grace: Duration) -> Pruned {
    stage
        .repository
        .prune(grace, false, wall_now(), &hand())
        .unwrap()
}

/// Two snapshots, of which the first was forgotten.
fn half_forgotten(stage: &Stage) -> SnapshotId {
    stage.write("old", noise(1, 20 << 20));
    let first = stage.archive();
    fs::remove_file(stage.source().join("old")).unwrap();
    stage.write("new", noise(2, 4 << 20));
    let second = stage.archive_after(&first);
    stage.repository.forget(&[first.snapshot]).unwrap();
    assert_eq!(stage.snapshots(), std::slice::from_ref(&second.snapshot));
    second.snapshot
}

#[test]
fn what_nobody_needs_is_marked_first_and_removed_after_the_grace() {
    let stage = Stage::new();
    let kept = half_forgotten(&stage);
    let size = || stage.repository.usage().unwrap().bytes;
    let before = size();

    let plan = stage
        .repository
        .prune(DAY, true, wall_now(), &hand())
        .unwrap();
    assert!(plan.marked_bytes > 15 << 20, "{plan:?}");
    assert_eq!(size(), before, "a dry run changes nothing");

    let marked = prune(&stage, DAY);
    assert_eq!(marked, plan, "and says what is done");
    assert!(size() > 20 << 20, "nothing is gone yet");
    let within = prune(&stage, DAY);
    assert_eq!((within.marked_bytes, within.removed_bytes), (0, 0));
    assert!(size() > 20 << 20);
    stage.is_sound();

    let removed = prune(&stage, Duration::ZERO);
    assert!(removed.removed_bytes > 15 << 20, "{removed:?}");
    assert!(size() < 10 << 20);
    stage.comes_back(&kept);
}

#[test]
fn what_was_marked_is_found_again_by_a_snapshot_of_the_same() {
    let stage = Stage::new();
    half_forgotten(&stage);
    prune(&stage, DAY);
    stage.write("old", noise(1, 20 << 20));
    let archived = stage.archive();
    prune(&stage, Duration::ZERO);
    prune(&stage, Duration::ZERO);
    stage.comes_back(&archived.snapshot);
}

/// As where a host has no part in the lock of another: the repository by another name.
#[test]
fn a_prune_in_the_middle_of_an_archive_takes_nothing_from_it() {
    let stage = Stage::new();
    for number in 0..20 {
        stage.write(format!("{number}"), noise(number, 2 << 20));
    }
    let first = stage.archive();
    stage.repository.forget(&[first.snapshot]).unwrap();
    let elsewhere = stage.path().join("elsewhere");
    symlink("repository", &elsewhere).unwrap();
    let elsewhere = Rustic::open(&elsewhere, PASSWORD, &helpers(), &never()).unwrap();
    let elsewhere = Apart::of(elsewhere, &helpers());
    // All is known to the archive when its packs are marked.
    let (pruner, done) = (Arc::clone(&stage.repository), AtomicBool::new(false));
    let hand_of_archive = Hand {
        cancel: never(),
        progress: Arc::new(move |_| {
            if !done.swap(true, Ordering::Relaxed) {
                let pruned = pruner.prune(DAY, false, wall_now(), &hand()).unwrap();
                assert!(pruned.marked_bytes > 30 << 20, "{pruned:?}");
            }
        }),
    };
    let archived = elsewhere.archive(&stage.job(), &hand_of_archive).unwrap();
    assert!(
        archived.added_bytes < 1 << 20,
        "it relies on what is marked"
    );
    prune(&stage, DAY);
    prune(&stage, Duration::ZERO);
    stage.comes_back(&archived.snapshot);
}

#[test]
fn what_killed_programs_have_left_is_swept_after_a_day() {
    let stage = Stage::new();
    stage.write("file", "content");
    let archived = stage.archive();
    let id = "0123456789abcdef".repeat(4);
    let leave = |path: &str, hours: u64| {
        let path = stage.place().join(path);
        fs::write(&path, "left over").unwrap();
        let at = SystemTime::from(wall_now()) - Duration::from_secs(hours * 3600);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(at)
            .unwrap();
        path
    };
    let old = leave(&format!("data/01/{id}-tmp-"), 25);
    let restics = leave(&format!("data/02/{id}-tmp-17"), 25);
    let new = leave(&format!("index/{id}-tmp-"), 23);
    let other = leave("data/notes-tmp-", 99);

    let dry = stage
        .repository
        .prune(DAY, true, wall_now(), &hand())
        .unwrap();
    assert_eq!((dry.leftovers, dry.leftover_bytes), (2, 18));
    assert!(old.exists());
    let swept = prune(&stage, DAY);
    assert_eq!((swept.leftovers, swept.leftover_bytes), (2, 18));
    assert!(!old.exists() && !restics.exists() && new.exists() && other.exists());
    fs::remove_file(other).unwrap();
    stage.comes_back(&archived.snapshot);
}

#[test]
fn what_is_forgotten_twice_is_forgotten() {
    let stage = Stage::new();
    stage.write("file", "content");
    let snapshot = stage.archive().snapshot;
    let ids = [snapshot.clone(), snapshot];
    stage.repository.forget(&ids).unwrap();
    stage.repository.forget(&ids).unwrap();
    stage.repository.forget(&[]).unwrap();
    assert_eq!(stage.snapshots(), []);
    let pruned = stage
        .repository
        .prune(DAY, false, Timestamp::UNIX_EPOCH + DAY * 400, &hand());
    assert!(pruned.unwrap().marked_bytes > 0);
    stage.is_sound();
}

#[test]
fn a_list_that_cannot_be_read_prunes_nothing() {
    let stage = Stage::new();
    stage.write("file", noise(1, 1 << 20));
    let archived = stage.archive();
    let snapshots = stage.place().join("snapshots");
    let aside = stage.place().join("aside");
    fs::rename(&snapshots, &aside).unwrap();
    fs::write(&snapshots, "no directory").unwrap();
    let refused = stage
        .repository
        .prune(Duration::ZERO, false, wall_now(), &hand());
    assert!(refused.is_err(), "{refused:?}");
    fs::remove_file(&snapshots).unwrap();
    fs::rename(&aside, &snapshots).unwrap();
    stage.comes_back(&archived.snapshot);
}
