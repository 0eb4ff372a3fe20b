//! Looking into a restore point: what is in a directory, and single files.

use std::{io, path::Path, sync::Arc};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Backups,
    full::snapshot_id,
    manifests::{Stored, manifest_of},
    places::Place,
    read_back::Hashing,
    repository::{Entry, EntryKind, Repository, RepositoryError, SnapshotReader},
    turns::Turn,
    work::blocking,
};
use crate::{
    domain::backup::{
        manifest::{FileRecord, SnapshotPath},
        point::RestorePoint,
    },
    error::{Error, Reason, Result, Thing},
};

/// Bytes of a file that are sent at once.
const PIECE: usize = 64 << 10;
/// Pieces that wait for whoever takes them.
const PIECES: usize = 8;

/// A file that is being read: what it is, and its bytes. The last piece is followed by nothing where all of it was as it
/// was stored, and by an error else.
#[derive(Debug)]
pub struct Read {
    pub entry: Entry,
    pub pieces: mpsc::Receiver<Result<Vec<u8>>>,
}

impl Backups {
    /// What is in a directory of a restore point, by name: at most `most`, of which the first comes after `after`.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such directory; [`Error::Conflict`] for a point that cannot be looked into.
    pub async fn entries_in(
        &self,
        point: &RestorePoint,
        path: SnapshotPath,
        after: Option<Vec<u8>>,
        most: usize,
    ) -> Result<Vec<Entry>> {
        let turn = self.inner.turns.lists.enter().await?;
        let shown = path.to_text();
        let look = move |repository: &dyn Repository,
                         point: &RestorePoint,
                         _: &Path|
              -> anyhow::Result<_> {
            let _turn = turn;
            let reader = repository.open(&snapshot_id(&point.snapshot))?;
            Ok(reader.children(&path, after.as_deref(), most))
        };
        let listed = self.look_into(point, look).await?.map_err(unreadable)?;
        listed.ok_or_else(|| Error::not_found(Thing::RestorePointEntry, shown))
    }

    /// Reads a file of a restore point.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such file; [`Error::Invalid`] for one that comes back by restores alone, and
    /// for what is no file.
    pub async fn read_entry(&self, point: &RestorePoint, path: SnapshotPath) -> Result<Read> {
        let turn = self.inner.turns.files.enter().await?;
        let shown = path.clone();
        let look = move |repository: &dyn Repository,
                         point: &RestorePoint,
                         beside: &Path|
              -> anyhow::Result<_> {
            let stored = manifest_of(repository, point, beside)?;
            let described = Described::of(&stored, &path)?;
            if !described.is_readable {
                return Ok(Looked::Closed);
            }
            let reader = repository.open(&snapshot_id(&point.snapshot))?;
            let entry = match reader.entry(&path) {
                Ok(entry) => entry,
                Err(error) => return Ok(Looked::Failed(unreadable(error))),
            };
            let what = match entry.as_ref().map(|entry| &entry.kind) {
                Some(EntryKind::Directory) => "a directory",
                Some(EntryKind::Link(_)) => "a link",
                Some(EntryKind::Special(_)) => "a device, socket or fifo",
                Some(EntryKind::File) | None => {
                    return Ok(match (entry, described.record) {
                        (Some(entry), Some(record)) => begin(reader, entry, record, turn),
                        _ => Looked::Nothing,
                    });
                }
            };
            Ok(Looked::Failed(Error::invalid(
                "path",
                format!("{path} is {what}, and no file that could be read"),
            )))
        };
        match self.look_into(point, look).await? {
            Looked::Begun(read) => Ok(read),
            Looked::Failed(error) => Err(error),
            Looked::Nothing => Err(Error::not_found(Thing::RestorePointEntry, shown.to_text())),
            Looked::Closed => {
                let what = format!(
                    "{shown} is neither of documents' content nor of a source of paths: it comes back by a restore alone"
                );
                Err(Error::invalid("path", what))
            }
        }
    }

    /// Has a repository looked into on a thread of its own, on which what was opened is closed as well: that is the end of a
    /// process, which no thread of the runtime waits for.
    async fn look_into<T: Send + 'static>(
        &self,
        point: &RestorePoint,
        look: impl FnOnce(&dyn Repository, &RestorePoint, &Path) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T> {
        point.expect_there()?;
        let Some(place) = Place::of(point.kind) else {
            let name = point.resource_name();
            let message = format!("{name} is an export: `tar` lists {}", point.file);
            return Err(Error::conflict(Reason::IsExport, name, message));
        };
        let away =
            |error: anyhow::Error| Error::unavailable("the repository", format!("{error:#}"));
        let cancel = CancellationToken::new();
        let repository = self.repository(place, &cancel).await.map_err(away)?;
        let (point, beside) = (point.clone(), self.beside());
        let looked = blocking("look", move || look(&*repository, &point, &beside));
        looked.await.and_then(|looked| looked).map_err(away)
    }
}

/// What a look for a file has come to.
enum Looked {
    Begun(Read),
    /// It is not there.
    Nothing,
    /// It is not read file by file.
    Closed,
    Failed(Error),
}

/// Begins to read a file, on a thread that closes what it is read from.
fn begin(reader: Arc<dyn SnapshotReader>, entry: Entry, record: FileRecord, turn: Turn) -> Looked {
    let (pieces, taken) = mpsc::channel(PIECES);
    let reading = entry.clone();
    let thread = std::thread::Builder::new().name("backup-cat".to_owned());
    let begun = thread.spawn(move || {
        let _turn = turn;
        send(&*reader, &reading, &record, &pieces);
        // Whoever takes them is not to wait for the end of a process.
        drop(pieces);
        drop(reader);
    });
    match begun {
        Ok(_) => Looked::Begun(Read {
            entry,
            pieces: taken,
        }),
        Err(error) => Looked::Failed(Error::unavailable("a thread", error)),
    }
}

/// What a manifest says of a file that is to be read.
#[derive(Debug, Default)]
struct Described {
    /// Whether it is of what is read file by file. Dumps, and what else is of the server, hold more than whoever may look
    /// is told.
    is_readable: bool,
    /// None where it is not in the manifest.
    record: Option<FileRecord>,
}

impl Described {
    fn of(stored: &Stored, file: &SnapshotPath) -> anyhow::Result<Self> {
        let sources = stored.manifest.sources.iter();
        let mut readable =
            sources.filter(|source| matches!(source.kind.as_str(), "paths" | "content"));
        let is_readable = readable.any(|source| source.root.contains(file));
        Ok(Self {
            is_readable,
            record: match is_readable {
                true => stored.find(file)?,
                false => None,
            },
        })
    }
}

fn unreadable(error: impl Into<anyhow::Error>) -> Error {
    Error::unavailable("the restore point", format!("{:#}", error.into()))
}

/// Reads a file to whoever takes it, and says in the end whether it was as it was stored.
fn send(
    reader: &dyn SnapshotReader,
    entry: &Entry,
    record: &FileRecord,
    pieces: &mpsc::Sender<Result<Vec<u8>>>,
) {
    super::rustic::lower_priority();
    let mut hashed = Hashing::new(Pieces { pieces });
    let read = reader.read(entry, &mut hashed, &CancellationToken::new());
    let (_, sha256, bytes) = hashed.into_all();
    let why = match read {
        Ok(()) if bytes == record.size && sha256 == record.sha256 => return,
        Ok(()) => format!("{}: what came is not what was stored", entry.path),
        Err(RepositoryError::Damaged { what }) => what,
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    };
    // Where nobody takes it any more, nobody has to know.
    drop(pieces.blocking_send(Err(Error::unavailable("the restore point", why))));
}

struct Pieces<'a> {
    pieces: &'a mpsc::Sender<Result<Vec<u8>>>,
}

impl io::Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        let sent = self.pieces.blocking_send(Ok(piece.to_vec()));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
