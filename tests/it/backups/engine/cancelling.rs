//! Whoever asks an operation to stop is heard at once, and the repository is as clean as before.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use watchbell::{
    backup::repository::{Hand, Job, ReadData, RepositoryError},
    clock::Stopwatch,
};

use super::stage::{Stage, hand, later, noise};

/// How soon an operation ends.
const AT_MOST: Duration = Duration::from_millis(250);
/// How often it is stopped until it has ended so soon once: other tests have the processor, too.
const TRIES: usize = 5;

/// A hand that asks for a stop once so many bytes are done.
struct Stopping {
    hand: Hand,
    asked: Arc<Mutex<Option<Stopwatch>>>,
}

impl Stopping {
    fn after(bytes: u64) -> Self {
        let cancel = CancellationToken::new();
        let asked = Arc::new(Mutex::new(None));
        let (token, time) = (cancel.clone(), Arc::clone(&asked));
        let progress = Arc::new(move |progress: watchbell::backup::repository::Progress| {
            if progress.bytes >= bytes && !token.is_cancelled() {
                *time.lock().unwrap() = Some(Stopwatch::start());
                token.cancel();
            }
        });
        Self {
            hand: Hand { cancel, progress },
            asked,
        }
    }

    #[track_caller]
    fn took(&self) -> Duration {
        self.asked
            .lock()
            .unwrap()
            .expect("it was stopped")
            .elapsed()
    }
}

/// That what is begun and stopped ends soon.
#[track_caller]
fn stops_soon(mut stopped: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    while times.len() < TRIES {
        let took = stopped();
        if took < AT_MOST {
            return;
        }
        times.push(took);
    }
    panic!("it never ended soon: {times:?}");
}

#[test]
fn an_archive_stops_and_what_it_has_stored_is_used_by_the_next() {
    let stage = Stage::new();
    for number in 0..60 {
        stage.write(format!("{number}"), noise(number, 2 << 20));
    }
    for bytes in [1, 20 << 20, 50 << 20, 80 << 20, 110 << 20] {
        stops_soon(|| {
            let stopping = Stopping::after(bytes);
            let stopped = stage.repository.archive(&stage.job(), &stopping.hand);
            let took = stopping.took();
            assert!(
                matches!(stopped, Err(RepositoryError::Cancelled)),
                "{stopped:?}"
            );
            assert_eq!(stage.snapshots(), []);
            took
        });
    }
    stage.is_sound();
    let archived = stage.archive();
    assert!(archived.added_bytes < 60 << 20, "most was stored before");
    stage.comes_back(&archived.snapshot);
}

#[test]
fn an_archive_stops_while_it_reads_hashes() {
    let stage = Stage::new();
    for number in 0..30 {
        stage.write(format!("{number}"), noise(number, 2 << 20));
    }
    let first = stage.archive();
    let job = Job {
        parent: Some(watchbell::backup::repository::Parent {
            snapshot: first.snapshot,
            files: Arc::new(watchbell::domain::backup::table::Table::default()),
        }),
        time: later(1),
        ..stage.job()
    };
    stops_soon(|| {
        let stopping = Stopping::after(1);
        let stopped = stage.repository.archive(&job, &stopping.hand);
        let took = stopping.took();
        assert!(
            matches!(stopped, Err(RepositoryError::Cancelled)),
            "{stopped:?}"
        );
        took
    });
    assert_eq!(stage.snapshots().len(), 1);
    stage.is_sound();
}

#[test]
fn a_check_stops_and_takes_that_for_no_damage() {
    let stage = Stage::new();
    for number in 0..30 {
        stage.write(format!("{number}"), noise(number, 2 << 20));
    }
    stage.archive();
    for bytes in [1, 10 << 20, 30 << 20] {
        stops_soon(|| {
            let stopping = Stopping::after(bytes);
            let stopped = stage.repository.check(ReadData::All, &stopping.hand);
            let took = stopping.took();
            assert!(
                matches!(stopped, Err(RepositoryError::Cancelled)),
                "{stopped:?}"
            );
            took
        });
    }
    assert_eq!(
        stage
            .repository
            .check(ReadData::All, &hand())
            .unwrap()
            .damage,
        [""; 0]
    );
}

#[test]
fn a_copy_stops_and_the_other_repository_has_no_snapshot() {
    let stage = Stage::new();
    for number in 0..30 {
        stage.write(format!("{number}"), noise(number, 2 << 20));
    }
    let snapshots = [stage.archive().snapshot];
    stops_soon(|| {
        // What another has by now is not copied again.
        let other = Stage::new();
        let stopping = Stopping::after(20 << 20);
        let stopped = stage
            .repository
            .copy_to(&snapshots, &*other.repository, &stopping.hand);
        let took = stopping.took();
        assert!(
            matches!(stopped, Err(RepositoryError::Cancelled)),
            "{stopped:?}"
        );
        assert_eq!(other.snapshots(), []);
        other.is_sound();
        took
    });
}

#[test]
fn what_is_stopped_before_it_begins_does_nothing() {
    let stage = Stage::new();
    stage.write("a", "content");
    let hand = Hand {
        cancel: CancellationToken::new(),
        progress: Arc::new(|_| {}),
    };
    hand.cancel.cancel();
    let repository = &stage.repository;
    let now = later(0);
    let results = [
        repository.archive(&stage.job(), &hand).map(drop),
        repository.check(ReadData::None, &hand).map(drop),
        repository
            .prune(Duration::ZERO, false, now, &hand)
            .map(drop),
        repository.prune(Duration::ZERO, true, now, &hand).map(drop),
    ];
    for result in results {
        assert!(
            matches!(result, Err(RepositoryError::Cancelled)),
            "{result:?}"
        );
    }
    let archived = stage.archive();
    let reader = stage.reader(&archived.snapshot);
    let entry = reader.entry(&"/files/a".into()).unwrap().unwrap();
    let read = reader.read(&entry, &mut Vec::new(), &hand.cancel);
    assert!(matches!(read, Err(RepositoryError::Cancelled)), "{read:?}");
    drop(reader);
    stage.is_sound();
}
