//! Panics of the library: each is damage of that one thing, or ends the one operation.

use std::{fs, path::Path, sync::mpsc};

use rustic_core::repofile::MasterKey;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::super::{
    Rustic,
    error::guarded,
    gate::Operation,
    key,
    quiet::quietly,
    sealed::{open, seal},
};
use crate::{
    backup::repository::{
        Hand, Job, ReadData, Repository as _, RepositoryError, SnapshotId, Source,
    },
    clock::wall_now,
    domain::backup::table::hex,
};

fn hand() -> Hand {
    Hand {
        cancel: CancellationToken::new(),
        progress: std::sync::Arc::new(|_| {}),
    }
}

fn archive(rustic: &Rustic, file: &Path) -> SnapshotId {
    let job = Job {
        time: wall_now(),
        hostname: "office".to_owned(),
        tags: Vec::new(),
        sources: vec![Source::file(file.to_owned(), "/file".into())],
        parent: None,
    };
    rustic.archive(&job, &hand()).unwrap().snapshot
}

fn read(rustic: &Rustic, snapshot: &SnapshotId) -> Result<Vec<u8>, RepositoryError> {
    let reader = rustic.open(snapshot)?;
    let entry = reader.entry(&"/file".into())?.unwrap();
    let mut bytes = Vec::new();
    reader.read(&entry, &mut bytes, &CancellationToken::new())?;
    Ok(bytes)
}

/// Has the index say of a content that it is compressed, which it is not: in a pack of its own, which is what was written.
fn say_that_it_is_compressed(place: &Path, key: &MasterKey, content: &[u8]) {
    let blob = seal(key, content).unwrap();
    let header = [0_u8; 41 + 32];
    let pack = [&blob[..], &header, &73_u32.to_le_bytes()].concat();
    let pack_id = hex(&Sha256::digest(&pack));
    let folder = place.join("data").join(&pack_id[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&pack_id), &pack).unwrap();
    let id = hex(&Sha256::digest(content));
    for file in fs::read_dir(place.join("index")).unwrap() {
        let path = file.unwrap().path();
        let text = open(key, &fs::read(&path).unwrap()).unwrap();
        let mut index: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let packs = index["packs"].as_array_mut().unwrap();
        let has_it = |pack: &&mut serde_json::Value| pack["blobs"][0]["id"] == id.as_str();
        let Some(found) = packs.iter_mut().find(has_it) else {
            continue;
        };
        found["id"] = pack_id.as_str().into();
        found["blobs"] = serde_json::json!([{
            "id": id, "type": "data", "offset": 0, "length": blob.len(),
            "uncompressed_length": content.len(),
        }]);
        let sealed = seal(key, &serde_json::to_vec(&index).unwrap()).unwrap();
        fs::remove_file(&path).unwrap();
        let name = hex(&Sha256::digest(&sealed));
        fs::write(place.join("index").join(name), sealed).unwrap();
        return;
    }
    panic!("no index has it");
}

#[test]
fn a_check_that_breaks_down_over_a_pack_reads_them_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("repository");
    let key = key::create(&place, "password".to_owned()).unwrap();
    let rustic = Rustic::with_key(&place, key.clone());
    let file = folder.path().join("file");
    fs::write(&file, "sound").unwrap();
    let sound = archive(&rustic, &file);
    fs::write(&file, "plain").unwrap();
    let other = archive(&rustic, &file);
    let before = rustic.check(ReadData::All, &hand()).unwrap();
    assert_eq!(before.damage, Vec::<String>::new());
    say_that_it_is_compressed(&place, &key, b"plain");

    let checked = rustic.check(ReadData::All, &hand()).unwrap();
    assert!(checked.damage[0].contains("broke down"), "{checked:?}");
    assert_eq!(checked.packs_read, before.packs, "{checked:?}");
    assert_eq!(read(&rustic, &sound).unwrap(), b"sound");
    let damaged = read(&rustic, &other).unwrap_err();
    assert!(
        matches!(damaged, RepositoryError::Damaged { .. }),
        "{damaged}"
    );
    let locks = fs::read_dir(place.join("locks")).unwrap();
    assert_eq!(locks.count(), 0, "no lock stays");
}

#[test]
fn what_the_library_breaks_down_over_is_damage_of_that() {
    let index = Vec::<u8>::new();
    let broken = guarded(&"/files/a", || Ok(index[3])).unwrap_err();
    assert!(
        matches!(&broken, RepositoryError::Damaged { what } if what.starts_with("/files/a: ")),
        "{broken}"
    );
}

#[test]
fn a_thread_that_nobody_waits_for_ends_the_operation_and_not_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let operation = Operation::new(folder.path(), &CancellationToken::new());
    let at_work = std::sync::Arc::clone(&operation);
    let done = quietly(&operation, move || {
        let (ended, end) = mpsc::channel::<()>();
        rayon::spawn(move || {
            let _ended = ended;
            panic!("over an index");
        });
        end.recv().unwrap_err();
        while at_work.expect_unbroken().is_ok() {
            std::thread::yield_now();
        }
        Ok("a list that is short")
    });
    let why = done.unwrap_err().to_string();
    assert!(why.contains("over an index"), "{why}");
}
