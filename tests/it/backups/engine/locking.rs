//! Locks: ours among the processes of this host, and restic's.

use std::{
    fs,
    io::Write as _,
    process::{Child, Stdio},
    time::Duration,
};

use jiff::SignedDuration;
use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio_util::sync::CancellationToken;
use watchbell::{
    backup::repository::{ForeignLock, Hand, RepositoryError},
    clock::wall_now,
};

use super::stage::{Stage, hand, noise};
use crate::{backups::restic::Restic, support::until};

/// restic at work, until it is killed.
struct AtWork(Child);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// restic, waiting for the rest of what it is to store.
fn storing(restic: &Restic) -> AtWork {
    let mut command = restic.command(&["backup", "--stdin", "--stdin-filename", "endless"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"begun").unwrap();
    AtWork(child)
}

async fn locks(stage: &Stage) -> Vec<ForeignLock> {
    until("restic's lock", async || {
        let locks = stage.repository.foreign_locks(wall_now()).unwrap();
        (!locks.is_empty()).then_some(locks)
    })
    .await
}

#[tokio::test]
async fn a_lock_of_restics_is_told_and_keeps_us_from_removing() {
    let stage = Stage::new();
    let Some(restic) = stage.restic() else { return };
    stage.write("file", "content");
    let snapshot = stage.archive().snapshot;
    assert_eq!(stage.repository.foreign_locks(wall_now()).unwrap(), []);
    let at_work = storing(&restic);
    let [lock] = &locks(&stage).await[..] else {
        panic!("one lock")
    };
    assert!(
        lock.by.contains(&format!("process {}", at_work.0.id())),
        "{lock:?}"
    );
    assert!(!lock.stale);
    let refused = stage
        .repository
        .forget(std::slice::from_ref(&snapshot))
        .unwrap_err();
    let RepositoryError::Locked { by, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(by, &lock.by);
    let pruned = stage
        .repository
        .prune(Duration::ZERO, false, wall_now(), &hand());
    assert!(
        matches!(pruned, Err(RepositoryError::Locked { .. })),
        "{pruned:?}"
    );
    // Two may store at the same time.
    stage.archive();

    drop(at_work);
    let later = wall_now() + SignedDuration::from_mins(31);
    let left = stage.repository.foreign_locks(later).unwrap();
    assert!(left[0].stale, "{left:?}");
    restic.must(&["unlock", "--remove-all"]);
    stage.repository.forget(&[snapshot]).unwrap();
    stage.is_sound();
}

#[tokio::test]
async fn a_lock_of_restics_for_one_alone_keeps_us_out() {
    let stage = Stage::new();
    let Some(restic) = stage.restic() else { return };
    stage.write("file", "content");
    stage.archive();
    // There restic waits for ever, once it has its lock.
    let endless = stage.place().join("index").join("ab".repeat(32));
    mkfifo(&endless, Mode::S_IRWXU).unwrap();
    // Where there is another's lock restic does not wait, and ends.
    stage.is_left();
    let mut command = restic.command(&["check"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let at_work = AtWork(child.unwrap());
    let locks = locks(&stage).await;
    assert!(locks[0].by.contains("alone"), "{locks:?}");
    let refused = stage.repository.archive(&stage.job(), &hand()).unwrap_err();
    assert!(
        matches!(refused, RepositoryError::Locked { .. }),
        "{refused}"
    );
    drop(at_work);
    fs::remove_file(endless).unwrap();
    restic.must(&["unlock", "--remove-all"]);
    stage.archive();
    stage.is_sound();
}

#[test]
fn nothing_is_removed_while_a_snapshot_is_read() {
    let stage = Stage::new();
    stage.write("file", "content");
    let archived = stage.archive();
    let reader = stage.reader(&archived.snapshot);
    let refused = stage
        .repository
        .forget(std::slice::from_ref(&archived.snapshot));
    assert!(
        matches!(refused, Err(RepositoryError::Locked { .. })),
        "{refused:?}"
    );
    // Who waits can be told to stop.
    let stopped = Hand {
        cancel: CancellationToken::new(),
        ..hand()
    };
    stopped.cancel.cancel();
    let pruned = stage
        .repository
        .prune(Duration::ZERO, false, wall_now(), &stopped);
    assert!(
        matches!(pruned, Err(RepositoryError::Cancelled)),
        "{pruned:?}"
    );
    drop(reader);
    stage.repository.forget(&[archived.snapshot]).unwrap();
}

#[test]
fn two_who_store_at_once_take_turns() {
    let stage = Stage::new();
    for number in 0..10 {
        stage.write(format!("{number}"), noise(number, 1 << 20));
    }
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| stage.archive());
        }
    });
    assert_eq!(stage.snapshots().len(), 3);
    stage.is_sound();
}
