//! The bytes of a manifest while it is used: in memory where they are few, else in a file without a name.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use anyhow::bail;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::BYTES_MAX;
use crate::backup::{
    read_back::Hashing,
    repository::{Entry, SnapshotReader},
    work::make_folder,
};

/// Bytes that are held in memory.
const SMALL: u64 = 1 << 20;

/// See the file's beginning.
#[derive(Debug)]
pub(super) enum Spool {
    Memory(Vec<u8>),
    File(File),
}

impl Spool {
    /// Reads a file of a snapshot; says its hash.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn of(
        reader: &dyn SnapshotReader,
        entry: &Entry,
        beside: Option<&Path>,
    ) -> anyhow::Result<(Self, String)> {
        let never = CancellationToken::new();
        if let Some(beside) = beside.filter(|_| SMALL < entry.size)
            && let Ok(file) = without_name(beside)
        {
            let mut noting = Hashing::new(Noting {
                file,
                failed: false,
            });
            let read = reader.read(entry, &mut noting, &never);
            let (noted, sha256) = noting.into_parts();
            if !noted.failed {
                read?;
                return Ok((Self::File(noted.file), sha256));
            }
        }
        // A disk that is full keeps nothing from being restored.
        let mut bytes = Hashing::new(Vec::new());
        reader.read(entry, &mut bytes, &never)?;
        let (bytes, sha256) = bytes.into_parts();
        Ok((Self::Memory(bytes), sha256))
    }

    /// Reads as many bytes as come; says their hash.
    ///
    /// # Errors
    /// Where they cannot be read, or written.
    pub(super) fn from(
        mut from: impl Read,
        size: u64,
        beside: Option<&Path>,
    ) -> anyhow::Result<(Self, String)> {
        if BYTES_MAX < size {
            bail!("a manifest has {size} bytes, which is too much");
        }
        let beside = beside.filter(|_| SMALL < size);
        if let Some(Ok(file)) = beside.map(without_name) {
            let mut hashed = Hashing::new(file);
            io::copy(&mut from, &mut hashed)?;
            let (file, sha256) = hashed.into_parts();
            return Ok((Self::File(file), sha256));
        }
        let mut hashed = Hashing::new(Vec::new());
        io::copy(&mut from, &mut hashed)?;
        let (bytes, sha256) = hashed.into_parts();
        Ok((Self::Memory(bytes), sha256))
    }
}

/// Makes a file that is gone with whoever holds it.
pub(super) fn without_name(folder: &Path) -> io::Result<File> {
    make_folder(folder)?;
    let path = folder.join(Uuid::now_v7().to_string());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Writes on, and notes whether it was this that failed.
struct Noting {
    file: File,
    failed: bool,
}

impl Write for Noting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.failed |= written.is_err();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads a spool from its beginning; several may at once.
#[derive(Debug)]
pub(in crate::backup) struct At {
    spool: Arc<Spool>,
    at: u64,
}

impl At {
    pub(super) fn beginning(spool: &Arc<Spool>) -> Self {
        Self {
            spool: spool.clone(),
            at: 0,
        }
    }
}

impl Read for At {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match &*self.spool {
            Spool::File(file) => file.read_at(into, self.at)?,
            Spool::Memory(bytes) => {
                let from = usize::try_from(self.at).unwrap_or(usize::MAX);
                let mut rest = bytes.get(from..).unwrap_or_default();
                rest.read(into)?
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}
