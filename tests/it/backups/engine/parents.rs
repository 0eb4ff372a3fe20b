//! What is unchanged is not read again, and still has its hash.

use std::{
    fs::{self, File},
    sync::Arc,
    time::{Duration, SystemTime},
};

use watchbell::{
    backup::repository::{Job, Parent},
    domain::backup::table::Table,
};

use super::stage::{Stage, job, later, noise, parent, recorded, sha256, source};

#[test]
fn hashes_of_what_is_unchanged_are_carried_forward() {
    let stage = Stage::new();
    stage.write("same", noise(1, 3 << 20));
    stage.write("changed", "before");
    stage.write("removed", "content");
    let first = stage.archive();
    stage.write("changed", "after it");
    stage.write("new", "content");
    fs::remove_file(stage.source().join("removed")).unwrap();
    let mut told = parent(&first);
    // What is carried is the parent's word, and not a hash of what is on the disk.
    let mut files = first.files.clone();
    let same = files.iter().position(|file| file.path == b"/files/same");
    files.set_hash(same.unwrap(), [7; 32]);
    told.files = Arc::new(files);
    let second = stage
        .archive_with(Job {
            parent: Some(told),
            time: later(1),
            ..stage.job()
        })
        .unwrap();
    let counts = (
        second.new_files,
        second.changed_files,
        second.unchanged_files,
    );
    assert_eq!(counts, (1, 1, 1));
    let hashes: Vec<_> = recorded(&second)
        .into_iter()
        .map(|file| (file.path.to_string(), file.sha256))
        .collect();
    let expected = [
        ("/files/changed", sha256(b"after it")),
        ("/files/new", sha256(b"content")),
        ("/files/same", "07".repeat(32)),
    ];
    assert_eq!(hashes, expected.map(|(path, hash)| (path.to_owned(), hash)));
    assert!(second.added_bytes < 1 << 20);
    stage.comes_back(&second.snapshot);
}

#[test]
fn what_is_unchanged_and_has_no_hash_is_read_for_it() {
    let stage = Stage::new();
    for number in 0..40 {
        stage.write(format!("{number}"), noise(number, 5000));
    }
    stage.write("large", noise(99, 9 << 20));
    let first = stage.archive();
    let second = stage
        .archive_with(Job {
            parent: Some(Parent {
                snapshot: first.snapshot.clone(),
                files: Arc::new(Table::default()),
            }),
            time: later(1),
            ..stage.job()
        })
        .unwrap();
    assert_eq!(second.unchanged_files, 41);
    assert_eq!(recorded(&second), recorded(&first));
    stage.comes_back(&second.snapshot);
}

#[test]
fn a_dump_of_the_same_size_with_other_content_is_stored_anew() {
    let stage = Stage::new();
    let dump = stage.source().join("dump");
    let jobs = || {
        let mut source = source(&dump, "/database/dump");
        source.all_or_nothing = true;
        job(vec![source])
    };
    fs::write(&dump, noise(1, 2 << 20)).unwrap();
    let first = stage.archive_with(jobs()).unwrap();
    // It is staged anew each time, so it is another file with a time of its own.
    fs::remove_file(&dump).unwrap();
    fs::write(&dump, noise(2, 2 << 20)).unwrap();
    let second = stage
        .archive_with(Job {
            parent: Some(parent(&first)),
            ..jobs()
        })
        .unwrap();
    assert_eq!((second.changed_files, second.unchanged_files), (1, 0));
    assert!(stage.read(&second.snapshot, "/database/dump") == noise(2, 2 << 20));
    let Some(restic) = stage.restic() else { return };
    restic.finds_it_sound();
    let restored = restic.restore(&second.snapshot.0);
    let restored = fs::read(restored.path().join("database/dump")).unwrap();
    assert!(
        restored == noise(2, 2 << 20),
        "restic brings it back, and it is not empty"
    );
}

#[test]
fn what_is_set_back_to_an_old_time_is_read_again() {
    let stage = Stage::new();
    stage.write("file", "before");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let set = || {
        let file = File::options()
            .write(true)
            .open(stage.source().join("file"));
        file.unwrap().set_modified(old).unwrap();
    };
    set();
    let first = stage.archive();
    stage.write("file", "behind");
    set();
    let second = stage.archive_after(&first);
    assert_eq!(second.changed_files, 1);
    assert_eq!(stage.read(&second.snapshot, "/files/file"), b"behind");
}

#[test]
fn what_has_another_inode_is_read_again() {
    let stage = Stage::new();
    stage.write("file", "content");
    let first = stage.archive();
    fs::copy(stage.source().join("file"), stage.path().join("copy")).unwrap();
    fs::rename(stage.path().join("copy"), stage.source().join("file")).unwrap();
    let second = stage.archive_after(&first);
    assert_eq!(second.changed_files, 1);
}

#[test]
fn nothing_of_the_parent_is_held_once_it_is_over() {
    let stage = Stage::new();
    stage.write("file", "content");
    let first = stage.archive();
    let told = parent(&first);
    stage
        .archive_with(Job {
            parent: Some(told.clone()),
            time: later(1),
            ..stage.job()
        })
        .unwrap();
    // Its records may lie in a file without a name, which takes up room until nobody has it.
    assert_eq!(Arc::strong_count(&told.files), 1);
}
