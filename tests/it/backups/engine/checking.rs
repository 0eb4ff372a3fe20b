//! Damage is found, by whoever looks for it, and is an error of the files that it is in.

use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use watchbell::backup::repository::{EntryKind, ReadData, RepositoryError};

use super::stage::{Stage, content, hand, noise, recorded, sha256};
use crate::backups::restic::everything_in;

/// The repository's packs, the largest first.
fn packs(place: &Path) -> Vec<PathBuf> {
    let data = place.join("data");
    let found = everything_in(&data);
    let mut packs: Vec<_> = found
        .into_keys()
        .map(|path| data.join(path))
        .filter(|path| path.is_file())
        .collect();
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().size()));
    packs
}

fn flip(path: &Path, at: u64) {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

fn damage(stage: &Stage, read: ReadData) -> Vec<String> {
    stage.repository.check(read, &hand()).unwrap().damage
}

#[test]
fn a_flipped_byte_is_found_where_data_is_read_and_costs_one_file() {
    let stage = Stage::new();
    for number in 0..20 {
        stage.write(format!("{number:02}"), noise(number, 400 << 10));
    }
    let archived = stage.archive();
    assert_eq!(damage(&stage, ReadData::All), [""; 0]);
    flip(&packs(&stage.place())[0], 3 << 20);
    assert_eq!(damage(&stage, ReadData::None), [""; 0]);
    assert_ne!(damage(&stage, ReadData::All), [""; 0]);

    let reader = stage.reader(&archived.snapshot);
    let mut damaged = Vec::new();
    for file in recorded(&archived) {
        let entry = reader.entry(&file.path).unwrap().unwrap();
        match content(&*reader, &entry) {
            Ok(bytes) => assert_eq!(sha256(&bytes), file.sha256),
            Err(RepositoryError::Damaged { what }) => {
                assert!(what.contains(&file.path.to_string()), "{what}");
                damaged.push(file.path.clone());
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(damaged.len(), 1, "{damaged:?}");
}

#[test]
fn the_parts_of_a_check_are_together_everything() {
    let stage = Stage::new();
    for number in 0..30 {
        stage.write(format!("{number}"), noise(number, 3 << 20));
    }
    stage.archive();
    let whole = stage.repository.check(ReadData::All, &hand()).unwrap();
    assert!(whole.packs >= 6);
    assert_eq!(
        (whole.packs_read, whole.bytes_read),
        (whole.packs, whole.bytes)
    );
    let (mut packs_read, mut bytes_read) = (0, 0);
    for part in 1..=4 {
        let read = ReadData::Part { part, of: 4 };
        let checked = stage.repository.check(read, &hand()).unwrap();
        assert_eq!(checked.damage, [""; 0]);
        assert_eq!((checked.packs, checked.bytes), (whole.packs, whole.bytes));
        packs_read += checked.packs_read;
        bytes_read += checked.bytes_read;
    }
    assert_eq!((packs_read, bytes_read), (whole.packs, whole.bytes));
    let structure = stage.repository.check(ReadData::None, &hand()).unwrap();
    assert_eq!(structure.bytes_read, 0);

    flip(&packs(&stage.place())[0], 1000);
    let red = (1..=4).filter(|part| {
        let read = ReadData::Part { part: *part, of: 4 };
        !damage(&stage, read).is_empty()
    });
    assert_eq!(red.count(), 1);
    for (part, of) in [(0, 4), (5, 4)] {
        stage
            .repository
            .check(ReadData::Part { part, of }, &hand())
            .unwrap_err();
    }
}

#[test]
fn what_is_missing_or_cut_off_is_damage_of_the_structure() {
    let stage = Stage::new();
    stage.write("a", noise(1, 2 << 20));
    let archived = stage.archive();
    let pack = packs(&stage.place()).remove(0);
    let whole = fs::read(&pack).unwrap();
    fs::write(&pack, &whole[..whole.len() - 1]).unwrap();
    assert_ne!(damage(&stage, ReadData::None), [""; 0]);
    fs::remove_file(&pack).unwrap();
    assert_ne!(damage(&stage, ReadData::None), [""; 0]);
    let reader = stage.reader(&archived.snapshot);
    let entry = reader.entry(&"/files/a".into()).unwrap().unwrap();
    let read = content(&*reader, &entry);
    assert!(
        matches!(read, Err(RepositoryError::Damaged { .. })),
        "{read:?}"
    );
    fs::write(&pack, &whole).unwrap();
    assert_eq!(damage(&stage, ReadData::All), [""; 0]);

    for folder in ["index", "snapshots"] {
        let folder = stage.place().join(folder);
        let file = fs::read_dir(folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let whole = fs::read(&file).unwrap();
        flip(&file, 40);
        assert_ne!(
            damage(&stage, ReadData::None),
            [""; 0],
            "{}",
            file.display()
        );
        fs::write(&file, whole).unwrap();
    }
    assert_eq!(damage(&stage, ReadData::All), [""; 0]);
}

#[test]
fn damage_in_what_is_unchanged_is_named_when_its_hash_is_asked_for() {
    let stage = Stage::new();
    for number in 0..4 {
        stage.write(format!("{number}"), noise(number, 1 << 20));
    }
    let first = stage.archive();
    flip(&packs(&stage.place())[0], 1 << 20);
    let second = stage
        .archive_with(watchbell::backup::repository::Job {
            parent: Some(watchbell::backup::repository::Parent {
                snapshot: first.snapshot,
                files: std::sync::Arc::new(watchbell::domain::backup::table::Table::default()),
            }),
            ..stage.job()
        })
        .unwrap();
    assert_eq!(second.errors.len(), 1, "{:?}", second.errors);
    assert!(
        second.errors[0].message.contains("damaged"),
        "{:?}",
        second.errors
    );
    assert_eq!(second.files.len(), 3);
}

#[test]
fn several_threads_read_one_snapshot() {
    let stage = Stage::new();
    for number in 0..200 {
        stage.write(format!("{}/{number}", number % 7), noise(number, 30 << 10));
    }
    let archived = stage.archive();
    let reader = stage.reader(&archived.snapshot);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (reader, files) = (&reader, recorded(&archived));
            scope.spawn(move || {
                for file in files.iter().skip(worker).step_by(4) {
                    let entry = reader.entry(&file.path).unwrap().unwrap();
                    assert_eq!(entry.kind, EntryKind::File);
                    assert_eq!(sha256(&content(&**reader, &entry).unwrap()), file.sha256);
                }
            });
        }
    });
}
