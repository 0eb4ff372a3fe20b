//! Messages between the server and a process that works on a repository: a line of JSON each, and bytes of files behind
//! one that says how many they are.

use std::{
    error::Error,
    fmt,
    io::{self, BufRead as _, BufReader, Read, Write},
    time::Duration,
};

use jiff::Timestamp;
use rustic_core::repofile::MasterKey;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::listed::Listed;
use crate::{
    backup::repository::{
        Checked, Lacking, Progress, Pruned, ReadData, RepositoryError, SnapshotId,
    },
    config::OwnFolder,
    domain::backup::manifest::{FileError, FileRecord, SnapshotPath},
    process::Word,
};

/// Bytes of a line at most.
const LINE_MAX: usize = 16 << 20;
/// Bytes of a file that come at once, at most: a piece is a few MiB.
pub(super) const PIECE_MAX: usize = 64 << 20;

/// What is to be done; the first line. It holds a secret, and is shown by nobody.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) place: Word,
    pub(super) key: MasterKey,
    pub(super) what: What,
}

#[derive(Serialize, Deserialize)]
pub(super) enum What {
    Archive(Task),
    Check(ReadData),
    Forget(Vec<SnapshotId>),
    Prune {
        grace: Duration,
        dry_run: bool,
        now: Timestamp,
    },
    Copy {
        snapshots: Vec<SnapshotId>,
        to: Word,
        key: MasterKey,
    },
    Read {
        snapshot: SnapshotId,
        anew: bool,
    },
}

/// A job; the parent's files are asked for when they are wanted.
#[derive(Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) time: Timestamp,
    pub(super) hostname: String,
    pub(super) tags: Vec<String>,
    pub(super) sources: Vec<Root>,
    pub(super) parent: Option<SnapshotId>,
}

/// A source of a job.
#[derive(Serialize, Deserialize)]
pub(super) struct Root {
    pub(super) from: Word,
    pub(super) to: SnapshotPath,
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) all_or_nothing: bool,
    pub(super) name_special: bool,
    pub(super) own: Vec<OwnFolder>,
}

/// What the working process says.
#[derive(Serialize, Deserialize)]
pub(super) enum Said {
    Progress(Progress),
    /// Asks whether the lock of the repository with this number holds.
    Settle(usize),
    /// Asks whether what it does there may be seen.
    Commit(usize),
    /// Asks for the parent's files.
    Records,
    Files(Vec<FileRecord>),
    Missing(Vec<FileError>),
    Special(Vec<SnapshotPath>),
    Damage(Vec<String>),
    Spoiled(Vec<u32>),
    /// Its names follow.
    Lacking(Lacking),
    Names(Vec<FileError>),
    Done(Answer),
    Failed(Fault),
}

/// What was done; the last line.
#[derive(Serialize, Deserialize)]
pub(super) enum Answer {
    Archived(Summary),
    Checked(Found),
    Forgotten,
    Pruned(Pruned),
    Copied(Vec<SnapshotId>),
}

/// What was archived; its files were told before.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) snapshot: SnapshotId,
    pub(super) files: u64,
    pub(super) errors: u64,
    pub(super) new_files: u64,
    pub(super) changed_files: u64,
    pub(super) unchanged_files: u64,
    pub(super) added_bytes: u64,
    pub(super) others: u64,
    /// Of its devices, sockets and fifos, those that were told.
    pub(super) special: u64,
    pub(super) special_count: u64,
}

/// What a check has found: how much was told before, and the rest of it.
#[derive(Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) damage: u64,
    pub(super) spoiled: u64,
    pub(super) lacking: u64,
    /// Names of all of these.
    pub(super) named: u64,
    pub(super) rest: Checked,
}

/// What the server says.
#[derive(Serialize, Deserialize)]
pub(super) enum Told {
    Stop,
    /// The lock of the repository with this number is lost.
    Lost(usize, Fault),
    /// The answer to a question.
    Answer(Result<(), Fault>),
    Records(Vec<FileRecord>),
    /// No more come; whether these were all.
    RecordsEnd {
        whole: bool,
    },
}

/// What is asked of a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) enum Question {
    Entry(SnapshotPath),
    List {
        path: SnapshotPath,
        after: Option<SnapshotPath>,
        most: usize,
    },
    Piece {
        path: SnapshotPath,
        number: u64,
    },
}

/// A question with its number.
#[derive(Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) question: Question,
}

/// What a question was answered with. The first that comes, with the number 0, says that the snapshot is open.
#[derive(Serialize, Deserialize)]
pub(super) struct Replied {
    pub(super) number: u64,
    pub(super) reply: Result<Reply, Fault>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum Reply {
    Open,
    Entry(Option<Listed>),
    /// Of a directory; none where there is no such. There may be more.
    List(Option<Vec<Listed>>, bool),
    /// So many bytes follow; whether there is another piece behind it.
    Piece(usize, bool),
}

/// [`RepositoryError`] as it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Fault {
    Cancelled,
    Missing { place: String },
    Foreign { place: String, why: String },
    WrongPassword { place: String },
    Locked { place: String, by: String },
    Damaged { what: String },
    Full { place: String },
    Died { place: String, how: String },
    Source { what: String, why: String },
    Other { what: String, causes: Vec<String> },
}

impl From<RepositoryError> for Fault {
    fn from(error: RepositoryError) -> Self {
        use RepositoryError as Is;
        match error {
            Is::Cancelled => Self::Cancelled,
            Is::Missing { place } => Self::Missing { place },
            Is::Foreign { place, why } => Self::Foreign { place, why },
            Is::WrongPassword { place } => Self::WrongPassword { place },
            Is::Locked { place, by } => Self::Locked { place, by },
            Is::Damaged { what } => Self::Damaged { what },
            Is::Full { place } => Self::Full { place },
            Is::Died { place, how } => Self::Died { place, how },
            Is::Source { what, why } => Self::Source { what, why },
            Is::Other { what, source } => {
                let mut causes = Vec::new();
                let mut cause = source.as_deref().map(|cause| cause as &dyn Error);
                while let Some(error) = cause {
                    causes.push(error.to_string());
                    cause = error.source();
                }
                Self::Other { what, causes }
            }
        }
    }
}

impl From<Fault> for RepositoryError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Cancelled => Self::Cancelled,
            Fault::Missing { place } => Self::Missing { place },
            Fault::Foreign { place, why } => Self::Foreign { place, why },
            Fault::WrongPassword { place } => Self::WrongPassword { place },
            Fault::Locked { place, by } => Self::Locked { place, by },
            Fault::Damaged { what } => Self::Damaged { what },
            Fault::Full { place } => Self::Full { place },
            Fault::Died { place, how } => Self::Died { place, how },
            Fault::Source { what, why } => Self::Source { what, why },
            Fault::Other { what, causes } => Self::Other {
                what,
                source: Cause::of(causes).map(|cause| cause as _),
            },
        }
    }
}

/// A cause that was told.
#[derive(Debug)]
struct Cause {
    said: String,
    next: Option<Box<Self>>,
}

impl Cause {
    /// The first, which the others are the causes of.
    fn of(told: Vec<String>) -> Option<Box<Self>> {
        let causes = told.into_iter().rev();
        causes.fold(None, |next, said| Some(Box::new(Self { said, next })))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.next.as_deref().map(|next| next as _)
    }
}

/// A line, with its end.
///
/// # Errors
/// Where it would be too long.
pub(super) fn line(what: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    if LINE_MAX < line.len() {
        return Err(io::Error::other("it is too long to be told"));
    }
    Ok(line)
}

/// Says something, to whoever waits for it.
///
/// # Errors
/// Where it cannot be told.
pub(super) fn say(to: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    to.write_all(&line(what)?)?;
    to.flush()
}

/// What the other side says.
pub(super) struct Heard<From> {
    from: BufReader<From>,
    /// Of a line that has not come to its end.
    begun: Vec<u8>,
}

impl<From: Read> Heard<From> {
    pub(super) fn new(from: From) -> Self {
        Self {
            from: BufReader::with_capacity(64 << 10, from),
            begun: Vec::new(),
        }
    }

    /// The next line; none at the end. May be called again after a time that has run out.
    ///
    /// # Errors
    /// Where it cannot be read, or is none.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let room = (LINE_MAX - self.begun.len()) as u64;
        let read = (&mut self.from)
            .take(room)
            .read_until(b'\n', &mut self.begun)?;
        if self.begun.last() == Some(&b'\n') {
            let told = serde_json::from_slice(&self.begun)?;
            self.begun.clear();
            return Ok(Some(told));
        }
        match (read, self.begun.len()) {
            (_, LINE_MAX) => Err(io::Error::other("a line does not end")),
            (0, 0) => Ok(None),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// So many bytes that follow.
    ///
    /// # Errors
    /// Where they do not, or are too many.
    pub(super) fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        if PIECE_MAX < count {
            return Err(io::Error::other("a piece is too large"));
        }
        let mut bytes = vec![0; count];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_arrives_with_its_causes() {
        let sent = RepositoryError::Other {
            what: "could not read /a".to_owned(),
            source: Some(Box::new(io::Error::other("the disk is away"))),
        };
        let line = line(&Fault::from(sent)).unwrap();
        let fault: Fault = Heard::new(line.as_slice()).next().unwrap().unwrap();
        let error = anyhow::Error::from(RepositoryError::from(fault));
        assert_eq!(format!("{error:#}"), "could not read /a: the disk is away");
    }

    #[test]
    fn what_is_cut_off_or_does_not_end_is_no_line() {
        let cut = Heard::new(&b"\"Stop"[..]).next::<Told>();
        assert_eq!(cut.err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
        assert!(Heard::new(&b""[..]).next::<Told>().unwrap().is_none());
        let endless = io::repeat(b'7').take(LINE_MAX as u64 + 9);
        Heard::new(endless).next::<u64>().unwrap_err();
        let mut heard = Heard::new(&b"\"Stop\"\nabc\"Stop\"\n"[..]);
        assert!(matches!(heard.next::<Told>().unwrap(), Some(Told::Stop)));
        assert_eq!(heard.bytes(3).unwrap(), b"abc");
        assert!(matches!(heard.next::<Told>().unwrap(), Some(Told::Stop)));
        heard.bytes(PIECE_MAX + 1).unwrap_err();
    }

    #[test]
    fn what_is_too_long_is_not_told() {
        let long = "x".repeat(LINE_MAX);
        say(&mut Vec::new(), &long).unwrap_err();
    }
}
