//! The port: what a repository of snapshots must be able to do. All of it blocks, and is called on threads of its own.

use std::{collections::BTreeSet, io::Write, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::marker::word_of;
use crate::config::OwnFolder;
use crate::domain::backup::{
    manifest::{FileError, FileRecord, SnapshotPath},
    table::Table,
    verdict::Names,
};

/// How a caller stops an operation, and hears how far it is.
#[derive(Clone)]
pub struct Hand {
    /// Looked at often enough that an operation ends within 250 ms.
    pub cancel: CancellationToken,
    /// Told bytes and files done so far; must be quick.
    pub progress: Arc<dyn Fn(Progress) + Send + Sync>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub files: u64,
    pub bytes: u64,
}

/// Why an operation did not succeed: a variant for each thing that a caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// It was asked to stop. Nothing is half done: packs that were written are used by the next run.
    #[error("stopped")]
    Cancelled,
    /// There is nothing at this place.
    #[error("there is no repository at {place}")]
    Missing { place: String },
    /// There is something at this place, and it is not a repository, or of another format or version.
    #[error("{place} is not a repository that can be used: {why}")]
    Foreign { place: String, why: String },
    #[error("the password does not open the repository at {place}")]
    WrongPassword { place: String },
    /// Another program holds a lock of restic's kind.
    #[error("{place} is locked by another program: {by}; it is tried again")]
    Locked { place: String, by: String },
    /// Data is there, and is not what was written.
    #[error("damaged: {what}")]
    Damaged { what: String },
    /// The disk is full.
    #[error("the disk of {place} is full")]
    Full { place: String },
    /// The process that did it ended before it had answered.
    #[error("the process that works on {place} {how}")]
    Died { place: String, how: String },
    /// A dump or a source as a whole cannot be read; no snapshot was written.
    #[error("{what}: {why}")]
    Source { what: String, why: String },
    #[error("{what}")]
    Other {
        what: String,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

pub type Result<T> = std::result::Result<T, RepositoryError>;

/// A snapshot's id: 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SnapshotId(pub String);

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub time: Timestamp,
    /// Words such as `watchbell`, `policy=daily-full`, `run=…`, `manifest`; at most a dozen.
    pub tags: Vec<String>,
    pub hostname: String,
}

impl Snapshot {
    /// One of its words: the rest of the first that begins with `name=`.
    pub fn word(&self, name: &str) -> Option<&str> {
        word_of(&self.tags, name)
    }
}

/// What is to become a snapshot.
#[derive(Clone, Debug)]
pub struct Job {
    pub time: Timestamp,
    pub hostname: String,
    pub tags: Vec<String>,
    pub sources: Vec<Source>,
    /// The snapshot whose unchanged files (same path, size, mtime, ctime, inode) need not be read again, and the hash
    /// of each of its files. A file that is unchanged and has no hash here is read.
    pub parent: Option<Parent>,
}

/// See [`Job::parent`].
#[derive(Clone, Debug)]
pub struct Parent {
    pub snapshot: SnapshotId,
    pub files: Arc<dyn Records>,
}

/// Records of files, one after another; none follows one that cannot be read.
pub type EachRecord<'a> = Box<dyn Iterator<Item = anyhow::Result<FileRecord>> + 'a>;

/// Records of files, to be gone through as often as is wanted.
pub trait Records: std::fmt::Debug + Send + Sync {
    /// Each record, in the order of a walk.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn all(&self) -> anyhow::Result<EachRecord<'_>>;
}

impl Records for Table {
    fn all(&self) -> anyhow::Result<EachRecord<'_>> {
        Ok(Box::new(self.records().map(Ok)))
    }
}

/// A file or directory of the disk, and where it goes in the snapshot.
#[derive(Clone, Debug)]
pub struct Source {
    /// On the disk.
    pub from: PathBuf,
    /// In the snapshot, absolute: `/database/watchbell.db`, `/contents`, `/sources/intranet/srv/www`.
    pub to: SnapshotPath,
    /// Patterns as in a `.gitignore` that lies in `from`; empty: everything. What no include can reach is not entered.
    pub include: Vec<String>,
    /// Patterns as in a `.gitignore` that lies in `from`; over `include`.
    pub exclude: Vec<String>,
    /// Whether one unreadable file is the end of all (a dump), or is named in the errors (other files).
    pub all_or_nothing: bool,
    /// Whether devices, sockets and fifos are told of; they are never read, and nothing is missing where they are.
    pub name_special: bool,
    /// Folders that are not entered, under whatever name they are met: what backups make lies in them.
    pub own: Vec<OwnFolder>,
}

impl Source {
    /// A file that the server has made, without which there is no snapshot.
    pub fn file(from: PathBuf, to: SnapshotPath) -> Self {
        Self {
            from,
            to,
            include: Vec::new(),
            exclude: Vec::new(),
            all_or_nothing: true,
            name_special: true,
            own: Vec::new(),
        }
    }
}

/// What was archived.
#[derive(Clone, Debug)]
pub struct Archived {
    pub snapshot: SnapshotId,
    /// Every regular file with size, mtime and SHA-256, in the order of a walk: hashed in the archive's own reads, or
    /// carried forward from the parent.
    pub files: Table,
    /// What could not be read.
    pub errors: Vec<FileError>,
    pub new_files: u64,
    pub changed_files: u64,
    pub unchanged_files: u64,
    /// Bytes that the repository has grown by.
    pub added_bytes: u64,
    /// Directories, links and so on that are in it besides.
    pub others: u64,
    /// The first hundred of its devices, sockets and fifos, and how many there are, where they are told of: their names
    /// are in it.
    pub special: Vec<SnapshotPath>,
    pub special_count: u64,
}

/// What an entry of a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    File,
    Directory,
    /// A symbolic link, with its target.
    Link(Vec<u8>),
    Special(Special),
}

/// What neither a file nor a directory or link is. Devices have their number, as the system has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Special {
    Fifo,
    Character(u64),
    Block(u64),
    Socket,
}

/// A file or directory of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub path: SnapshotPath,
    pub kind: EntryKind,
    pub size: u64,
    /// Nanoseconds since the Unix epoch.
    pub mtime: i64,
    /// Unix permissions.
    pub mode: u32,
    /// User and group; none for what was on no disk.
    pub owner: Option<(u32, u32)>,
    /// Device and inode of a file that has several names.
    pub shared: Option<(u64, u64)>,
    /// Extended attributes, ACLs among them.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// What a walk through a snapshot meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    Entry(Entry),
    /// A directory that cannot be read, and why: nothing that is in it is met.
    Damaged(SnapshotPath, String),
}

/// How much of the data is read by a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadData {
    /// Structure only: index, trees, and that packs are there with their sizes.
    None,
    /// Subset `part` (1-based) of `of`: those of all parts are together everything.
    Part {
        part: u32,
        of: u32,
    },
    All,
}

/// What a check has found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Checked {
    /// Empty where all is well; at most 1,000 are told.
    pub damage: Vec<String>,
    /// Whether it was read to its end: all data that was to be read was, but for what is told.
    pub to_its_end: bool,
    /// Where there is damage: which snapshots refer to what is gone or does not come back.
    pub lacking: Vec<Lacking>,
    /// Of what is gone or damaged, that by which it falls into a part.
    pub spoiled: BTreeSet<u32>,
    pub packs_read: u64,
    pub bytes_read: u64,
    /// Packs that the index knows, and their bytes.
    pub packs: u64,
    pub bytes: u64,
}

impl Checked {
    /// Whether something of a part is gone or damaged.
    pub fn spoils(&self, part: u32, of: u32) -> bool {
        self.spoiled
            .iter()
            .any(|number| number % of.max(1) == part % of.max(1))
    }
}

/// A snapshot that refers to what cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    pub snapshot: SnapshotId,
    /// Files, and directories with all that is in them.
    pub names: Names,
}

/// What pruning has done, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Packs marked now, which go at the earliest after the grace; and those that are gone now.
    pub marked_bytes: u64,
    pub removed_bytes: u64,
    pub repacked_bytes: u64,
    /// Left by programs that were killed.
    pub leftovers: u64,
    pub leftover_bytes: u64,
}

/// What a repository takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub bytes: u64,
    pub packs: u64,
    pub snapshots: u64,
}

/// A lock that another program holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignLock {
    pub by: String,
    pub since: Timestamp,
    /// Older than 30 minutes, which is restic's own rule, or of a process of this host that is no more: reported, and
    /// ignored.
    pub stale: bool,
    /// Whether it is for one alone.
    pub exclusive: bool,
}

/// A repository that is open.
pub trait Repository: std::fmt::Debug + Send + Sync {
    /// Where it is, for messages: never a secret.
    fn place(&self) -> String;

    /// Makes a snapshot; it is there when this returns, and not before. After an error or a cancel there is none, unless
    /// whoever has stored it ended before it could say so; what was stored of it is used by the next.
    ///
    /// # Errors
    /// Whatever is not about a single file.
    fn archive(&self, job: &Job, hand: &Hand) -> Result<Archived>;

    /// Every snapshot, oldest first.
    fn snapshots(&self) -> Result<Vec<Snapshot>>;

    /// When each snapshot came to be in this repository, by its disk: what it is of may be long before.
    fn written(&self) -> Result<Vec<(SnapshotId, Timestamp)>>;

    /// A snapshot, to be read by several threads at once.
    fn open(&self, snapshot: &SnapshotId) -> Result<Arc<dyn SnapshotReader>>;

    /// The same, to look whether what was stored comes back: from the disk, and not from what the system remembers of it.
    fn open_anew(&self, snapshot: &SnapshotId) -> Result<Arc<dyn SnapshotReader>>;

    /// Damage is in the answer; an error means that it could not be looked for.
    fn check(&self, read: ReadData, hand: &Hand) -> Result<Checked>;

    /// Removes snapshots; what only they held goes when pruned. Only under the exclusive lease.
    fn forget(&self, snapshots: &[SnapshotId]) -> Result<()>;

    /// In two phases: what nobody refers to is marked, and removed by a later call after `grace`. Only under the
    /// exclusive lease. Sweeps leftovers of killed programs older than a day, too.
    fn prune(&self, grace: Duration, dry_run: bool, now: Timestamp, hand: &Hand) -> Result<Pruned>;

    /// Copies snapshots into another repository, with their tags and times; says under which ids they are there.
    /// Those that are there already are not copied again.
    fn copy_to(
        &self,
        snapshots: &[SnapshotId],
        other: &dyn Repository,
        hand: &Hand,
    ) -> Result<Vec<SnapshotId>>;

    fn usage(&self) -> Result<Usage>;

    /// Keeps a lock of restic's kind in the repository for as long as the answer lives, so that nobody prunes between the
    /// operations of a run. Where nothing can be written, there is none. [`RepositoryError::Locked`] says who has another.
    fn claim(&self) -> Result<Box<dyn std::any::Any + Send + Sync>>;

    /// Locks of other processes.
    fn foreign_locks(&self, now: Timestamp) -> Result<Vec<ForeignLock>>;

    /// For `copy_to`, which needs to know its own kind.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// Reads one snapshot.
pub trait SnapshotReader: Send + Sync {
    /// Every entry, directories before what is in them, names in the order of their bytes, and each directory that cannot
    /// be read. `each` may stop it by an error.
    fn walk(&self, each: &mut dyn FnMut(Met) -> Result<()>) -> Result<()>;

    /// As [`Self::walk`]; the first directory that cannot be read is an error.
    fn entries(&self, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.walk(&mut |met| match met {
            Met::Entry(entry) => each(entry),
            Met::Damaged(_, what) => Err(RepositoryError::Damaged { what }),
        })
    }

    /// One entry by its path; none where there is none.
    fn entry(&self, path: &SnapshotPath) -> Result<Option<Entry>>;

    /// What is in a directory, by name: at most `most`, the first of them after `after`; none where there is none.
    fn children(
        &self,
        path: &SnapshotPath,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Option<Vec<Entry>>>;

    /// Writes a file's bytes, in pieces. Damage in it is an error of this file alone.
    fn read(&self, file: &Entry, into: &mut dyn Write, cancel: &CancellationToken) -> Result<()>;
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}
