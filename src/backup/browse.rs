//! Looking into a restore point: what is in a directory, and single files.

use std::{io, sync::Arc};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Backups,
    full::snapshot_id,
    manifests::{Stored, manifest_of},
    places::Place,
    read_back::Hashing,
    repository::{Entry, EntryKind, RepositoryError, SnapshotReader},
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
        let (reader, _) = self.look_into(point, None, &turn).await?;
        let shown = path.to_text();
        let listed = blocking("entries", move || {
            let _turn = turn;
            reader.children(&path, after.as_deref(), most)
        });
        let listed = listed.await.map_err(unreadable)?.map_err(unreadable)?;
        listed.ok_or_else(|| Error::not_found(Thing::RestorePointEntry, shown))
    }

    /// Reads a file of a restore point.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such file; [`Error::Invalid`] for one that comes back by restores alone.
    pub async fn read_entry(&self, point: &RestorePoint, path: SnapshotPath) -> Result<Read> {
        let turn = self.inner.turns.files.enter().await?;
        let (reader, described) = self.look_into(point, Some(&path), &turn).await?;
        let described = described.unwrap_or_default();
        if !described.is_readable {
            let what = format!(
                "{path} is neither of documents' content nor of a source of paths: it comes back by a restore alone"
            );
            return Err(Error::invalid("path", what));
        }
        let none = || Error::not_found(Thing::RestorePointEntry, path.to_text());
        let looked = {
            let (reader, path, turn) = (Arc::clone(&reader), path.clone(), turn.clone());
            blocking("entry", move || {
                let _turn = turn;
                reader.entry(&path)
            })
        };
        let entry = looked.await.map_err(unreadable)?.map_err(unreadable)?;
        let entry = entry
            .filter(|entry| entry.kind == EntryKind::File)
            .ok_or_else(none)?;
        let record = described.record.ok_or_else(none)?;
        let (pieces, taken) = mpsc::channel(PIECES);
        let reading = entry.clone();
        let thread = std::thread::Builder::new().name("backup-cat".to_owned());
        thread
            .spawn(move || {
                let _turn = turn;
                send(&*reader, &reading, &record, &pieces);
            })
            .map_err(|error| Error::unavailable("a thread", error))?;
        Ok(Read {
            entry,
            pieces: taken,
        })
    }

    async fn look_into(
        &self,
        point: &RestorePoint,
        file: Option<&SnapshotPath>,
        turn: &Turn,
    ) -> Result<(Arc<dyn SnapshotReader>, Option<Described>)> {
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
        let (point, turn, beside) = (point.clone(), turn.clone(), self.beside());
        let file = file.cloned();
        let opened = blocking("look", move || {
            let _turn = turn;
            let described = match file {
                Some(file) => {
                    let stored = manifest_of(&*repository, &point, &beside)?;
                    Some(Described::of(&stored, &file)?)
                }
                None => None,
            };
            let reader = repository.open(&snapshot_id(&point.snapshot))?;
            Ok::<_, anyhow::Error>((reader, described))
        });
        opened.await.and_then(|opened| opened).map_err(away)
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
