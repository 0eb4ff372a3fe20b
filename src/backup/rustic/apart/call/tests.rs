//! Calls: what they grant, how they tell of ends, and that a stop is told.

use std::io::Read as _;

use tokio_util::sync::CancellationToken;

use super::{super::wire::Summary, *};
use crate::backup::repository::SnapshotId;

#[test]
fn a_snapshot_that_nobody_has_granted_is_none() {
    let operation = Operation::new(Path::new("/repository"), &CancellationToken::new());
    let archived = || {
        Answer::Archived(Summary {
            snapshot: SnapshotId("0".repeat(64)),
            files: 0,
            errors: 0,
            new_files: 0,
            changed_files: 0,
            unchanged_files: 0,
            added_bytes: 0,
            others: 0,
            special: 0,
            special_count: 0,
        })
    };
    assert!(expect_granted(archived(), &operation).is_err());
    assert!(expect_granted(Answer::Copied(Vec::new()), &operation).is_ok());
    operation.commit().unwrap();
    assert!(expect_granted(archived(), &operation).is_ok());
}

#[test]
fn an_end_is_told_in_words() {
    let told = |raw| in_words(ExitStatus::from_raw(raw));
    assert_eq!(told(9), "was killed (signal 9): perhaps out of memory");
    assert_eq!(told(6), "gave up (signal 6): perhaps out of memory");
    assert_eq!(told(11), "was ended by signal 11");
    assert_eq!(told(3 << 8), "ended with code 3 before it had answered");
    assert_eq!(told(0), "ended with code 0 before it had answered");
}

/// Whoever is told nothing of it is abandoned, as if it did not listen.
#[test]
fn a_stop_that_comes_while_a_line_is_written_is_told_after_it() {
    let cancel = CancellationToken::new();
    let (to, mut theirs) = UnixStream::pair().unwrap();
    to.set_write_timeout(Some(LOOK_EVERY)).unwrap();
    let mut call = Call {
        worker: Worker {
            place: String::new(),
            attended: None,
            heard: Heard::new(to.try_clone().unwrap()),
            to,
            complaint: None,
        },
        told_lost: vec![false],
        guarded: vec![Guarded {
            operation: Operation::new(Path::new("/repository"), &cancel),
            _held: None,
        }],
        stopping: None,
        told_stop: false,
        records: None,
        kept: Vec::new(),
    };
    // As long as nobody reads there is no room for more.
    let mut filled = 0;
    while let Ok(count) = call.worker.to.write(&[b' '; 4096]) {
        filled += count;
    }
    cancel.cancel();
    let reads = thread::spawn(move || {
        thread::sleep(5 * LOOK_EVERY);
        let mut read = String::new();
        theirs.read_to_string(&mut read).unwrap();
        read
    });
    call.tell(&Told::RecordsEnd { whole: true }).unwrap();
    call.watch().unwrap();
    drop(call);
    let read = reads.join().unwrap();
    let told: Vec<&str> = read[filled..].lines().collect();
    assert_eq!(told, [r#"{"RecordsEnd":{"whole":true}}"#, r#""Stop""#]);
}
