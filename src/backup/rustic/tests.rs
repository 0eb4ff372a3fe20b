//! What takes an error of the disk, a version of the future, or a broken tree to be seen.

mod breaking;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use jiff::Timestamp;
use rustic_core::{
    BytesList, Credentials, ErrorKind, FileType, Id, KeyOptions, ReadBackend, RusticError,
    RusticResult, WriteBackend,
    repofile::{ConfigFile, MasterKey},
};
use tokio_util::sync::CancellationToken;

use super::{
    gate::{Commit, Gate, Operation},
    key, session,
    source::node,
};
use crate::backup::repository::{RepositoryError, Result};

/// A disk on which a number of writes succeed.
#[derive(Debug)]
struct Disk {
    room: AtomicU64,
    then: io::ErrorKind,
}

impl ReadBackend for Disk {
    fn location(&self) -> String {
        "disk".to_owned()
    }

    fn list_with_size(&self, _: FileType) -> RusticResult<Vec<(Id, u32)>> {
        Ok(Vec::new())
    }

    fn read_full(&self, _: FileType, _: &Id) -> RusticResult<Bytes> {
        Ok(Bytes::new())
    }

    fn read_partial(&self, _: FileType, _: &Id, _: bool, _: u32, _: u32) -> RusticResult<Bytes> {
        Ok(Bytes::new())
    }

    fn warmup_path(&self, _: FileType, _: &Id) -> String {
        String::new()
    }
}

impl WriteBackend for Disk {
    fn write_bytes(&self, _: FileType, _: &Id, _: bool, _: BytesList) -> RusticResult<()> {
        let one_less = |room: u64| room.checked_sub(1);
        match self
            .room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(RusticError::with_source(
                ErrorKind::InputOutput,
                "could not write",
                io::Error::from(self.then),
            )),
        }
    }

    fn remove(&self, _: FileType, _: &Id, _: bool) -> RusticResult<()> {
        Ok(())
    }
}

struct Fixture {
    gate: Gate,
    operation: Arc<Operation>,
    cancel: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new(room: u64, then: io::ErrorKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["data/00", "index", "snapshots"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let cancel = CancellationToken::new();
        let operation = Operation::new(folder.path(), &cancel);
        let room = AtomicU64::new(room);
        Self {
            gate: Gate::new(Arc::new(Disk { room, then }), &operation),
            operation,
            cancel,
            _folder: folder,
        }
    }

    fn write(&self, kind: FileType) -> Result<()> {
        let content = BytesList::from(vec![1, 2, 3]);
        let written = self.gate.write_bytes(kind, &Id::default(), false, content);
        written.map_err(|error| self.operation.explain(&error))
    }
}

#[test]
fn after_an_error_no_snapshot_is_written() {
    for (kind, is_full) in [
        (io::ErrorKind::StorageFull, true),
        (io::ErrorKind::QuotaExceeded, true),
        (io::ErrorKind::ConnectionReset, false),
    ] {
        let fixture = Fixture::new(1, kind);
        fixture.write(FileType::Pack).unwrap();
        let content = BytesList::from(vec![1]);
        let failed = fixture
            .gate
            .write_bytes(FileType::Pack, &Id::default(), false, content);
        failed.unwrap_err();
        let refused = fixture.write(FileType::Snapshot).unwrap_err();
        assert_eq!(
            matches!(refused, RepositoryError::Full { .. }),
            is_full,
            "{refused}"
        );
    }
}

#[test]
fn after_a_cancel_packs_are_written_to_the_end_and_no_snapshot() {
    let fixture = Fixture::new(9, io::ErrorKind::Other);
    fixture.write(FileType::Pack).unwrap();
    fixture.cancel.cancel();
    fixture.write(FileType::Pack).unwrap();
    fixture.write(FileType::Index).unwrap();
    let refused = fixture.write(FileType::Snapshot);
    assert!(
        matches!(refused, Err(RepositoryError::Cancelled)),
        "{refused:?}"
    );
    fixture.operation.close();
    fixture.write(FileType::Pack).unwrap_err();
}

#[test]
fn a_snapshot_is_written_where_all_is_as_it_should_be() {
    let fixture = Fixture::new(9, io::ErrorKind::Other);
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    fixture.operation.commit_only_if(Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Commit::Write)
    }));
    fixture.write(FileType::Pack).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    fixture.write(FileType::Snapshot).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_snapshot_is_not_written_where_the_last_question_is_denied() {
    let fixture = Fixture::new(9, io::ErrorKind::Other);
    let denied = || Err(super::error::other("a file is missing"));
    fixture.operation.commit_only_if(Arc::new(denied));
    let refused = fixture.write(FileType::Snapshot).unwrap_err();
    assert_eq!(refused.to_string(), "a file is missing");
}

#[test]
fn a_version_that_is_not_known_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("repository");
    let operation = Operation::new(&place, &CancellationToken::new());
    let (closed, _) = session::closed(&place, &operation).unwrap();
    let config = ConfigFile::new(3, Id::random().into(), 0x003d_a335_8b4d_c173);
    let credentials = Credentials::Password("password".to_owned());
    // It is written, and then not understood.
    let _ = closed.init_with_config(&credentials, &KeyOptions::default(), config);
    let unlocked = key::unlock(&place, "password".to_owned());
    let Err(RepositoryError::Foreign { why, .. }) = unlocked else {
        panic!("{:?}", unlocked.map(drop))
    };
    assert!(why.contains("version `3`"), "{why}");
}

#[test]
fn a_key_of_another_repository_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("repository");
    drop(key::create(&place, "password".to_owned()).unwrap());
    let operation = Operation::new(&place, &CancellationToken::new());
    let other = session::open(&place, &MasterKey::new(), &operation);
    other.map(drop).unwrap_err();
}

#[test]
fn a_file_that_has_changed_just_before_gets_a_time_that_it_will_not_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "content").unwrap();
    let stat = rustix::fs::stat(&path).unwrap();
    let real = Timestamp::new(stat.st_ctime, i32::try_from(stat.st_ctime_nsec).unwrap()).unwrap();
    let stored = |fresh| {
        node::file(Path::new("file").as_os_str(), &stat, fresh)
            .meta
            .ctime
    };
    assert_ne!(stored(true), Some(real));
    assert_eq!(stored(false), Some(real));
}
