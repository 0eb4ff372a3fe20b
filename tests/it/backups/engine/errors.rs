//! What cannot be read is named, or is the end of all: never left out without a word.

use std::{
    fs::{self, OpenOptions, Permissions},
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use watchbell::backup::repository::{Hand, Job, RepositoryError};

use super::{
    nobody::as_nobody,
    stage::{Stage, hand, job, never, noise, recorded, source},
};

/// Does something once, when the archive has told of its first bytes.
fn in_the_middle(act: impl Fn() + Send + Sync + 'static) -> Hand {
    let done = AtomicBool::new(false);
    Hand {
        cancel: never(),
        progress: Arc::new(move |_| {
            if !done.swap(true, Ordering::Relaxed) {
                act();
            }
        }),
    }
}

#[test]
fn a_file_that_may_not_be_read_is_named_and_the_others_are_stored() {
    let stage = Stage::here();
    stage.write("open", "content");
    stage.write("secret", "content");
    stage.write("locked/inside", "content");
    let none = Permissions::from_mode(0o000);
    fs::set_permissions(stage.source().join("secret"), none.clone()).unwrap();
    fs::set_permissions(stage.source().join("locked"), none).unwrap();
    let archived = as_nobody(stage.path(), || {
        stage.repository.archive(&stage.job(), &hand()).unwrap()
    });
    let named: Vec<_> = archived
        .errors
        .iter()
        .map(|error| error.path.to_string())
        .collect();
    assert_eq!(named, ["/files/locked", "/files/secret"]);
    assert!(
        archived.errors[1].message.contains("denied"),
        "{:?}",
        archived.errors
    );
    assert_eq!(archived.files.len(), 1);
    assert_eq!(stage.read(&archived.snapshot, "/files/open"), b"content");
    stage.is_sound();
}

#[test]
fn a_dump_that_cannot_be_read_leaves_no_snapshot() {
    let stage = Stage::here();
    stage.write("dump", noise(1, 3 << 20));
    stage.write("other", "content");
    let dump = stage.source().join("dump");
    fs::set_permissions(&dump, Permissions::from_mode(0o000)).unwrap();
    let mut sources = vec![
        source(dump, "/database/dump"),
        source(stage.source().join("other"), "/other"),
    ];
    sources[0].all_or_nothing = true;
    let refused = as_nobody(stage.path(), || {
        stage
            .repository
            .archive(&job(sources), &hand())
            .unwrap_err()
    });
    let RepositoryError::Source { what, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(what, "/database/dump");
    assert_eq!(stage.snapshots(), []);
    stage.is_sound();
}

#[test]
fn a_dump_that_is_cut_off_in_the_middle_leaves_no_snapshot() {
    let stage = Stage::here();
    stage.write("dump", noise(1, 30 << 20));
    let path = stage.source().join("dump");
    let dump = path.clone();
    let hand = in_the_middle(move || {
        let file = OpenOptions::new().write(true).open(&dump).unwrap();
        file.set_len(20 << 20).unwrap();
    });
    let mut sources = vec![source(path, "/database/dump")];
    sources[0].all_or_nothing = true;
    let refused = stage.repository.archive(&job(sources), &hand).unwrap_err();
    assert!(
        matches!(refused, RepositoryError::Source { .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("cut off"), "{refused}");
    assert_eq!(stage.snapshots(), []);
    stage.is_sound();
}

#[test]
fn a_file_that_is_cut_off_in_the_middle_is_read_once_more() {
    let stage = Stage::here();
    stage.write("a", noise(1, 30 << 20));
    stage.write("b", "content");
    let path = stage.source().join("a");
    let hand = in_the_middle(move || fs::write(&path, "short").unwrap());
    let archived = stage.repository.archive(&stage.job(), &hand).unwrap();
    assert_eq!(archived.errors, []);
    assert_eq!(archived.files.len(), 2);
    assert_eq!(stage.read(&archived.snapshot, "/files/a"), b"short");
    stage.comes_back(&archived.snapshot);
}

#[test]
fn a_file_that_grows_is_read_once_more() {
    let stage = Stage::here();
    let before = noise(1, 20 << 20);
    stage.write("log", &before);
    let path = stage.source().join("log");
    let hand = in_the_middle(move || {
        use std::io::Write as _;
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&noise(2, 1 << 20)).unwrap();
    });
    let archived = stage.repository.archive(&stage.job(), &hand).unwrap();
    assert_eq!(archived.errors, []);
    let files = recorded(&archived);
    let [file] = &files[..] else {
        panic!("{files:?}")
    };
    let stored = stage.read(&archived.snapshot, "/files/log");
    assert!(stored == [before, noise(2, 1 << 20)].concat());
    assert_eq!(file.size, stored.len() as u64);
    assert_eq!(file.sha256, super::stage::sha256(&stored));
    stage.is_sound();
}

#[test]
fn a_source_that_disappears_in_the_middle_is_named() {
    let stage = Stage::here();
    for number in 0..400 {
        stage.write(format!("{:03}/file", number), noise(number, 200 << 10));
    }
    let gone = stage.source();
    let hand = in_the_middle(move || fs::remove_dir_all(&gone).unwrap());
    let archived = stage.repository.archive(&stage.job(), &hand).unwrap();
    assert!(archived.files.len() < 400);
    let root = archived
        .errors
        .iter()
        .find(|error| error.path.to_string() == "/files");
    assert!(root.unwrap().message.contains("disappeared"), "{root:?}");
    stage.is_sound();
}

#[test]
fn a_source_that_is_not_there_is_the_end() {
    let stage = Stage::here();
    stage.write("a", "content");
    let gone = stage.path().join("gone");
    let sources = vec![source(stage.source(), "/files"), source(gone, "/more")];
    let refused = stage.archive_with(job(sources)).unwrap_err();
    let RepositoryError::Source { what, .. } = &refused else {
        panic!("{refused}")
    };
    assert!(what.ends_with("/gone"), "{what}");
    assert_eq!(stage.snapshots(), []);
}

#[test]
fn jobs_that_make_no_sense_are_refused() {
    let stage = Stage::here();
    let at = |places: &[&str]| {
        let sources = places.iter().map(|place| source(stage.source(), place));
        stage.archive_with(job(sources.collect())).unwrap_err()
    };
    for places in [
        &[][..],
        &["/"],
        &["files"],
        &["/a/../b"],
        &["/a", "/a"],
        &["/a", "/a/b"],
        &["/a/b", "/c", "/a/"],
    ] {
        let refused = at(places);
        let expected = matches!(
            refused,
            RepositoryError::Source { .. } | RepositoryError::Other { .. }
        );
        assert!(expected, "{places:?}: {refused}");
    }
    let mut bad = source(stage.source(), "/files");
    bad.exclude = vec!["a{b".to_owned()];
    let refused = stage.archive_with(job(vec![bad])).unwrap_err();
    assert!(refused.to_string().contains("a{b"), "{refused}");
    assert_eq!(stage.snapshots(), []);
}

#[test]
fn a_snapshot_that_is_not_there_is_named() {
    let stage = Stage::here();
    let none = watchbell::backup::repository::SnapshotId("ab".repeat(32));
    let error = stage.repository.open(&none).err().unwrap();
    assert!(error.to_string().contains("abab"), "{error}");
    // As a parent it is none, and all is read.
    stage.write("a", "content");
    let archived = stage.archive_with(Job {
        parent: Some(watchbell::backup::repository::Parent {
            snapshot: none,
            files: Arc::new(watchbell::domain::backup::table::Table::default()),
        }),
        ..stage.job()
    });
    assert_eq!(archived.unwrap().new_files, 1);
}
