//! What the tests of the engine stand on: a repository, a folder that is backed up, and few words for both.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use watchbell::{
    backup::{
        child::Helpers,
        repository::{
            Archived, Entry, EntryKind, Hand, Job, Parent, Repository, Result, SnapshotId,
            SnapshotReader, Source,
        },
        rustic::{Apart, Rustic},
    },
    clock::Stopwatch,
    domain::backup::manifest::{FileRecord, SnapshotPath},
};

use crate::{
    backups::restic::{Restic, everything_in},
    support::{PATIENCE, noon, repository, rest},
};

pub(super) use crate::support::repository::PASSWORD;

pub(super) struct Stage {
    folder: TempDir,
    pub(super) repository: Arc<dyn Repository>,
}

impl Stage {
    /// A repository as the server has it: other processes work on it.
    pub(super) fn new() -> Self {
        Self::with(|opened| Arc::new(Apart::of(opened, &helpers())))
    }

    /// One that this process works on, with the rights of whichever thread does.
    pub(super) fn here() -> Self {
        Self::with(|opened| Arc::new(opened))
    }

    fn with(repository: impl FnOnce(Rustic) -> Arc<dyn Repository>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("source")).unwrap();
        let place = folder.path().join("repository");
        repository::lay(&place);
        let opened = Rustic::open(&place, PASSWORD, &helpers(), &never()).unwrap();
        Self {
            folder,
            repository: repository(opened),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn place(&self) -> PathBuf {
        self.path().join("repository")
    }

    pub(super) fn source(&self) -> PathBuf {
        self.path().join("source")
    }

    /// Writes a file of the source.
    pub(super) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A job that archives the source.
    pub(super) fn job(&self) -> Job {
        job(vec![source(self.source(), "/files")])
    }

    pub(super) fn archive(&self) -> Archived {
        self.archive_with(self.job()).unwrap()
    }

    /// Archives the source again, with what was archived before as the parent.
    pub(super) fn archive_after(&self, before: &Archived) -> Archived {
        self.archive_with(Job {
            parent: Some(parent(before)),
            time: noon() + SignedDuration::from_hours(1),
            ..self.job()
        })
        .unwrap()
    }

    pub(super) fn archive_with(&self, job: Job) -> Result<Archived> {
        settle();
        self.repository.archive(&job, &hand())
    }

    /// Waits until what was written is not written just now.
    pub(super) fn rest(&self) {
        settle();
    }

    pub(super) fn reader(&self, snapshot: &SnapshotId) -> Arc<dyn SnapshotReader> {
        self.repository.open(snapshot).unwrap()
    }

    pub(super) fn read(&self, snapshot: &SnapshotId, path: &str) -> Vec<u8> {
        let reader = self.reader(snapshot);
        let entry = reader.entry(&path.into()).unwrap().unwrap();
        content(&*reader, &entry).unwrap()
    }

    pub(super) fn restic(&self) -> Option<Restic> {
        Restic::at(&self.place(), PASSWORD)
    }

    /// Locks in the repository, ours and others'.
    pub(super) fn locks(&self) -> usize {
        let locks = self.place().join("locks");
        fs::read_dir(locks).into_iter().flatten().count()
    }

    /// Waits for what was told to stop, and still holds its lock, and for what takes its lock away beside its end.
    #[track_caller]
    pub(super) fn is_left(&self) {
        becomes("no lock to be left", || self.locks() == 0);
    }

    /// restic finds nothing wrong in the repository.
    #[track_caller]
    pub(super) fn is_sound(&self) {
        let Some(restic) = self.restic() else { return };
        self.is_left();
        restic.finds_it_sound();
    }

    /// restic brings back of a snapshot what is in the source now, below `/files`.
    #[track_caller]
    pub(super) fn comes_back(&self, snapshot: &SnapshotId) {
        let Some(restic) = self.restic() else { return };
        self.is_left();
        restic.finds_it_sound();
        let restored = restic.restore(&snapshot.0);
        let restored = everything_in(&restored.path().join("files"));
        assert_eq!(restored, everything_in(&self.source()));
    }

    pub(super) fn snapshots(&self) -> Vec<SnapshotId> {
        let snapshots = self.repository.snapshots().unwrap();
        snapshots.into_iter().map(|snapshot| snapshot.id).collect()
    }
}

/// Lets the kernel's clock tick: a file that has changed just before it is archived is not taken for unchanged.
fn settle() {
    rest(Duration::from_millis(15));
}

/// Waits until something is so that is brought about beside the story. It gives the processor away: what works on
/// repositories takes it last.
#[track_caller]
pub(super) fn becomes(what: &str, mut so: impl FnMut() -> bool) {
    let since = Stopwatch::start();
    while !so() {
        assert!(since.elapsed() < PATIENCE, "not: {what}");
        rest(Duration::from_millis(5));
    }
}

pub(super) fn helpers() -> Helpers {
    Helpers {
        program: PathBuf::from(env!("CARGO_BIN_EXE_watchbell")),
    }
}

pub(super) fn never() -> CancellationToken {
    CancellationToken::new()
}

pub(super) fn hand() -> Hand {
    hand_with(never())
}

pub(super) fn hand_with(cancel: CancellationToken) -> Hand {
    Hand {
        cancel,
        progress: Arc::new(|_| {}),
    }
}

pub(super) fn job(sources: Vec<Source>) -> Job {
    Job {
        time: noon(),
        hostname: "office".to_owned(),
        tags: vec!["watchbell".to_owned(), "policy=daily-full".to_owned()],
        sources,
        parent: None,
    }
}

pub(super) fn source(from: impl Into<PathBuf>, to: &str) -> Source {
    Source {
        from: from.into(),
        to: SnapshotPath::from(to),
        include: Vec::new(),
        exclude: Vec::new(),
        all_or_nothing: false,
        name_special: true,
        own: Vec::new(),
    }
}

pub(super) fn parent(before: &Archived) -> Parent {
    Parent {
        snapshot: before.snapshot.clone(),
        files: Arc::new(before.files.clone()),
    }
}

/// What is said of each file, in the order of a walk.
pub(super) fn recorded(archived: &Archived) -> Vec<FileRecord> {
    archived.files.records().collect()
}

pub(super) fn content(reader: &dyn SnapshotReader, entry: &Entry) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.read(entry, &mut bytes, &never())?;
    Ok(bytes)
}

/// Paths of all that is in a snapshot, with what each is.
pub(super) fn entries(reader: &dyn SnapshotReader) -> Vec<(String, EntryKind)> {
    let mut found = Vec::new();
    let each = &mut |entry: Entry| {
        found.push((entry.path.to_string(), entry.kind));
        Ok(())
    };
    reader.entries(each).unwrap();
    found
}

/// Bytes that cannot be compressed, and are the same each time.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn later(hours: i64) -> Timestamp {
    noon() + SignedDuration::from_hours(hours)
}
