//! What goes into a snapshot comes back from it, by us and by restic.

use std::{fs, os::unix::fs::symlink};

use watchbell::backup::repository::EntryKind;

use super::stage::{Stage, content, entries, noise, recorded, sha256};
use crate::support::noon;

#[test]
fn what_is_stored_comes_back() {
    let stage = Stage::new();
    stage.write("letter.txt", "dear");
    stage.write("empty", "");
    stage.write("deep/er/large", noise(1, 5 << 20));
    fs::create_dir(stage.source().join("hollow")).unwrap();
    symlink("../letter.txt", stage.source().join("deep/link")).unwrap();

    let archived = stage.archive();
    assert_eq!(archived.errors, []);
    assert_eq!(archived.new_files, 3);
    // The folders files, deep, er and hollow, and the link.
    assert_eq!(archived.others, 5);
    let letter = recorded(&archived)
        .into_iter()
        .find(|file| file.path.to_string() == "/files/letter.txt")
        .unwrap();
    assert_eq!(
        (letter.size, letter.sha256.as_str()),
        (4, sha256(b"dear").as_str())
    );

    let [snapshot] = &stage.repository.snapshots().unwrap()[..] else {
        panic!("one snapshot")
    };
    assert_eq!(snapshot.id, archived.snapshot);
    assert_eq!(snapshot.time, noon());
    assert_eq!(snapshot.hostname, "office");
    assert_eq!(snapshot.tags, ["policy=daily-full", "watchbell"]);

    let reader = stage.reader(&archived.snapshot);
    let found = entries(&*reader);
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/files",
            "/files/deep",
            "/files/deep/er",
            "/files/deep/er/large",
            "/files/deep/link",
            "/files/empty",
            "/files/hollow",
            "/files/letter.txt",
        ]
    );
    assert_eq!(found[4].1, EntryKind::Link(b"../letter.txt".to_vec()));
    for file in recorded(&archived) {
        let entry = reader.entry(&file.path).unwrap().unwrap();
        let bytes = content(&*reader, &entry).unwrap();
        assert_eq!(
            (bytes.len() as u64, sha256(&bytes)),
            (file.size, file.sha256.clone())
        );
        assert_eq!((entry.size, entry.mtime), (file.size, file.mtime));
    }
    assert_eq!(reader.entry(&"/files/none".into()).unwrap(), None);
    drop(reader);
    stage.comes_back(&archived.snapshot);
}
