//! What becomes of a lock of ours while it is held.

use std::path::Path;

use rustic_core::{BytesList, FileType, Id, WriteBackend as _};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::{
    backup::{
        repository::{Checked, Hand, ReadData},
        rustic::{check, files::pack_path, key, session},
    },
    domain::backup::table::hex,
};

fn count(place: &Path) -> usize {
    fs::read_dir(place.join("locks")).map_or(0, Iterator::count)
}

fn stage(pace: Pace) -> (tempfile::TempDir, Rustic) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("repository");
    let key = key::create(&place, "password".to_owned()).unwrap();
    let mut rustic = Rustic::with_key(&place, key);
    rustic.pace = pace;
    (folder, rustic)
}

const QUICK: Pace = Pace {
    settles_in: Duration::from_millis(1),
    renewed_every: Duration::from_millis(5),
    lost_after: Duration::from_secs(3600),
};

#[test]
fn a_lock_is_shared_renewed_by_a_new_file_and_gone_with_its_last_holder() {
    let (_folder, rustic) = stage(QUICK);
    let one = rustic.share().unwrap().unwrap();
    let other = rustic.share().unwrap().unwrap();
    assert!(Arc::ptr_eq(&one, &other));
    one.settle(&CancellationToken::new()).unwrap();
    let first = lock(&one.shared.state).path.clone();
    while lock(&one.shared.state).path == first {
        thread::yield_now();
    }
    drop(one);
    assert_eq!(count(&rustic.place), 1);
    assert!(other.trouble().is_none());
    drop(other);
    assert_eq!(count(&rustic.place), 0);
}

#[test]
fn a_lock_that_cannot_be_renewed_is_lost_and_so_is_one_that_was_removed() {
    let (_folder, rustic) = stage(Pace {
        lost_after: Duration::from_millis(50),
        ..QUICK
    });
    let holding = rustic.share().unwrap().unwrap();
    let locks = rustic.place.join("locks");
    fs::rename(&locks, rustic.place.join("away")).unwrap();
    fs::write(&locks, "no directory").unwrap();
    while holding.trouble().is_none() {
        thread::yield_now();
    }
    let why = holding.trouble().unwrap().to_string();
    assert!(why.contains("is lost"), "{why}");

    // What goes by it makes no snapshot any more.
    let operation = Operation::new(&rustic.place, &CancellationToken::new());
    operation.holds(&holding);
    let (_, gate) = session::closed(&rustic.place, &operation).unwrap();
    let content = BytesList::from(vec![1]);
    let id = Id::default();
    let written = gate.write_bytes(FileType::Snapshot, &id, false, content);
    let refused = operation.explain(&written.unwrap_err()).to_string();
    assert!(refused.contains("is lost"), "{refused}");

    let (_folder, rustic) = stage(QUICK);
    let holding = rustic.share().unwrap().unwrap();
    holding.settle(&CancellationToken::new()).unwrap();
    fs::remove_dir_all(rustic.place.join("locks")).unwrap();
    while holding.trouble().is_none() {
        thread::yield_now();
    }
    let why = holding.trouble().unwrap().to_string();
    assert!(why.contains("another has removed it"), "{why}");
}

#[test]
fn a_lock_gives_way_to_one_that_came_at_the_same_time() {
    for (ours, theirs) in [
        (Right::Shared, Right::Exclusive),
        (Right::Exclusive, Right::Shared),
    ] {
        // It is looked again when the test says so.
        let (_folder, rustic) = stage(Pace {
            settles_in: Duration::from_secs(3600),
            ..QUICK
        });
        let holding = Arc::new(rustic.take(ours, None).unwrap());
        assert!(holding.trouble().is_none());
        // Another process's, which has found none when it looked, as we have.
        let others = locks::write_by_another(&rustic.place, &rustic.key, theirs).unwrap();

        holding.shared.look_again();

        let trouble = holding.settle(&CancellationToken::new()).unwrap_err();
        let RepositoryError::Locked { by, .. } = &trouble else {
            panic!("{trouble}")
        };
        assert_eq!(by.contains("alone"), theirs == Right::Exclusive, "{by}");
        assert!(others.exists() && count(&rustic.place) == 1, "ours is gone");
        // What goes by it makes no snapshot, and is tried again.
        let operation = Operation::new(&rustic.place, &CancellationToken::new());
        operation.holds(&holding);
        let (_, gate) = session::closed(&rustic.place, &operation).unwrap();
        let content = BytesList::from(vec![1]);
        let written = gate.write_bytes(FileType::Snapshot, &Id::default(), false, content);
        let refused = operation.explain(&written.unwrap_err());
        assert!(
            matches!(refused, RepositoryError::Locked { .. }),
            "{refused}"
        );
        // And who comes next while the other is there is refused before it writes one.
        drop(holding);
        drop(operation);
        rustic.take(ours, None).unwrap_err();
        assert_eq!(count(&rustic.place), 1);
    }
    // Where both only add, neither gives way.
    let (_folder, rustic) = stage(QUICK);
    let holding = rustic.take(Right::Shared, None).unwrap();
    locks::write_by_another(&rustic.place, &rustic.key, Right::Shared).unwrap();
    holding.shared.look_again();
    holding.settle(&CancellationToken::new()).unwrap();
}

#[test]
fn what_is_read_once_the_lock_is_lost_is_not_counted() {
    let (_folder, rustic) = stage(QUICK);
    let holding = rustic.share().unwrap().unwrap();
    holding.settle(&CancellationToken::new()).unwrap();
    let operation = Operation::new(&rustic.place, &CancellationToken::new());
    operation.holds(&holding);
    let pack = b"a pack";
    let id: Id = hex(&Sha256::digest(pack)).parse().unwrap();
    let path = pack_path(&rustic.place, &id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, pack).unwrap();
    let packs = check::Packs::from([(id, 6)]);
    let read = |hand: &Hand| {
        let mut checked = Checked::default();
        let all = ReadData::All;
        check::read_packs(&rustic.place, &packs, all, &operation, hand, &mut checked)
            .map(|_| checked)
    };
    let hand = Hand {
        cancel: CancellationToken::new(),
        progress: Arc::new(|_| {}),
    };
    assert_eq!(read(&hand).unwrap().packs_read, 1);

    fs::remove_dir_all(rustic.place.join("locks")).unwrap();
    while holding.trouble().is_none() {
        thread::yield_now();
    }
    let why = read(&hand).unwrap_err().to_string();
    assert!(why.contains("is lost"), "{why}");
}

#[test]
fn a_lock_whose_renewal_comes_too_late_is_lost_and_leaves_none() {
    let (_folder, rustic) = stage(Pace {
        renewed_every: Duration::from_secs(3600),
        ..QUICK
    });
    let holding = rustic.share().unwrap().unwrap();
    holding.settle(&CancellationToken::new()).unwrap();
    let write = || locks::write(&rustic.place, &rustic.key, Right::Shared).unwrap();
    let path = || lock(&holding.shared.state).path.clone();
    let (old, new) = (path(), write());
    holding.shared.replace(&old, &new);
    assert!(holding.trouble().is_none() && !old.exists());
    assert_eq!(path(), new);

    // Writing the next one hung while the machine slept.
    let (old, new) = (path(), write());
    lock(&holding.shared.state).renewed.1 = wall_now() - jiff::SignedDuration::from_hours(2);
    holding.shared.replace(&old, &new);
    let why = holding.trouble().unwrap().to_string();
    assert!(why.contains("could not be renewed"), "{why}");
    assert!(!new.exists());
}
