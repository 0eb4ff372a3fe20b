//! Manifests in a repository: read whole once, so that what is wrong with one is known before anything is made of it, and
//! then gone through file by file as often as is wanted. What is held in memory does not grow with the number of files:
//! the lines lie in a file without a name meanwhile.

mod beside;
mod lines;
mod older;
mod spool;
#[cfg(test)]
pub(super) mod tests;

use std::{
    io::{BufReader, BufWriter, Read, Write as _},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, bail};

pub(super) use self::{
    beside::Beside,
    lines::{Fault, Written},
};
use self::{
    lines::{Lines, format_of},
    spool::{At, Spool},
};
use super::{
    full::{MANIFEST_PATH, snapshot_id},
    read_back::Hashing,
    repository::{EachRecord, Records, Repository, RepositoryError, SnapshotId, SnapshotReader},
    work::new_file,
};
use crate::domain::backup::{
    manifest::{FileRecord, MANIFEST_FORMAT_OLD, Manifest, SnapshotPath, Totals},
    point::RestorePoint,
    table::Table,
};

/// Bytes of a manifest that is read: some millions of files.
const BYTES_MAX: u64 = 4 << 30;
/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

/// A manifest that was read to its end.
#[derive(Clone, Debug)]
pub struct Stored {
    pub manifest: Manifest,
    pub totals: Totals,
    pub(super) sha256: String,
    kept: Kept,
}

/// Where its files are.
#[derive(Clone, Debug)]
enum Kept {
    Lines(Arc<Spool>),
    /// Of the older format.
    Table(Arc<Table>),
}

/// Files of a manifest, in the order of a walk.
#[derive(Debug)]
pub(super) enum Files {
    Lines(Box<Lines<BufReader<At>>>),
    Rows(Arc<Table>, usize),
}

impl Stored {
    /// Reads what a spool holds.
    ///
    /// # Errors
    /// What is wrong with it.
    fn of(spool: Spool, sha256: String) -> Result<Self, Fault> {
        let spool = Arc::new(spool);
        let (format, from) = format_of(At::beginning(&spool))?;
        let from = BufReader::with_capacity(BUFFER, from);
        if format == MANIFEST_FORMAT_OLD {
            let (manifest, table) = older::read(from)?;
            let mut totals = Totals::default();
            table.iter().for_each(|row| totals.add(row.size));
            let kept = Kept::Table(Arc::new(table));
            return Ok(Self {
                manifest,
                totals,
                sha256,
                kept,
            });
        }
        let (manifest, mut lines) = Lines::begin(from)?;
        while lines.next_file()?.is_some() {}
        Ok(Self {
            manifest,
            totals: lines.has(),
            sha256,
            kept: Kept::Lines(spool),
        })
    }

    /// Its files, from the first.
    ///
    /// # Errors
    /// Where they cannot be read again.
    pub(super) fn files(&self) -> anyhow::Result<Files> {
        match &self.kept {
            Kept::Table(table) => Ok(Files::Rows(table.clone(), 0)),
            Kept::Lines(spool) => {
                let from = BufReader::with_capacity(BUFFER, At::beginning(spool));
                let (_, lines) = Lines::begin(from).context("the manifest")?;
                Ok(Files::Lines(Box::new(lines)))
            }
        }
    }

    /// Counts those that begin with one of `paths`; all, where there are none.
    ///
    /// # Errors
    /// Where they cannot be read again.
    pub fn count(&self, paths: &[SnapshotPath]) -> anyhow::Result<Totals> {
        if paths.is_empty() {
            return Ok(self.totals);
        }
        let mut totals = Totals::default();
        for file in self.files()? {
            let file = file?;
            if file.path.begins_with_any(paths) {
                totals.add(file.size);
            }
        }
        Ok(totals)
    }

    /// What it says of a file; none where it is not in it.
    ///
    /// # Errors
    /// As [`Self::files`].
    pub(super) fn find(&self, path: &SnapshotPath) -> anyhow::Result<Option<FileRecord>> {
        let mut files = self.files()?;
        let is_it = |file: &anyhow::Result<FileRecord>| match file {
            Ok(file) => file.path == *path,
            Err(_) => true,
        };
        files.find(is_it).transpose()
    }
}

impl Records for Stored {
    fn all(&self) -> anyhow::Result<EachRecord<'_>> {
        Ok(Box::new(self.files()?))
    }
}

impl Iterator for Files {
    type Item = anyhow::Result<FileRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Lines(lines) => {
                let next = lines.next_file().transpose()?;
                Some(next.context("the manifest"))
            }
            Self::Rows(table, next) => {
                let row = table.get(*next)?;
                *next += 1;
                Some(Ok(row.record()))
            }
        }
    }
}

/// Writes a manifest of files that are in the order of a walk; says its hash.
pub(super) fn write(file: &Path, manifest: &Manifest, files: &Table) -> anyhow::Result<String> {
    let about = || format!("could not write {}", file.display());
    let opened = new_file(file).with_context(about)?;
    let mut hashed = Hashing::new(BufWriter::with_capacity(BUFFER, opened));
    for line in Written::new(manifest, files.records().map(Ok)) {
        hashed.write_all(&line?).with_context(about)?;
    }
    hashed.flush().with_context(about)?;
    Ok(hashed.into_parts().1)
}

/// The manifest in a snapshot. What lies in a file meanwhile does so in the folder `beside`, where one is given.
pub(super) fn manifest_in(
    repository: &dyn Repository,
    snapshot: &SnapshotId,
    beside: Option<&Path>,
) -> anyhow::Result<Stored> {
    manifest_by(&*repository.open(snapshot)?, snapshot, beside)
}

/// Reads the manifest in a snapshot that is open.
pub(super) fn manifest_by(
    reader: &dyn SnapshotReader,
    snapshot: &SnapshotId,
    beside: Option<&Path>,
) -> anyhow::Result<Stored> {
    let id = &snapshot.0;
    let path = SnapshotPath::from(MANIFEST_PATH);
    let entry = reader
        .entry(&path)?
        .with_context(|| format!("snapshot {id} holds no manifest"))?;
    if BYTES_MAX < entry.size {
        bail!(
            "the manifest in snapshot {id} has {} bytes, which is too much",
            entry.size
        );
    }
    let (spool, sha256) = Spool::of(reader, &entry, beside)?;
    Stored::of(spool, sha256).map_err(|fault| {
        let what = format!("the manifest in snapshot {id}: {fault}");
        match fault {
            Fault::Newer(_) | Fault::Read(_) => anyhow::Error::msg(what),
            // It is what was stored, and that was wrong: nothing comes back by it.
            Fault::CutOff
            | Fault::GoesOn
            | Fault::Line { .. }
            | Fault::Order(_)
            | Fault::Counts { .. }
            | Fault::None => RepositoryError::Damaged { what }.into(),
        }
    })
}

/// The manifest of a point, which must be the one that was stored.
pub(super) fn manifest_of(
    repository: &dyn Repository,
    point: &RestorePoint,
    beside: &Path,
) -> anyhow::Result<Stored> {
    let id = snapshot_id(&point.manifest_snapshot);
    let stored = manifest_in(repository, &id, Some(beside))?;
    if !point.manifest_sha256.is_empty() && point.manifest_sha256 != stored.sha256 {
        let name = point.resource_name();
        return Err(RepositoryError::Damaged {
            what: format!("the manifest of {name} is not the one that was stored"),
        }
        .into());
    }
    Ok(stored)
}

/// Reads a manifest of so many bytes that comes from elsewhere, such as an export.
///
/// # Errors
/// What is wrong with it.
pub(super) fn manifest_from(
    from: impl Read,
    size: u64,
    beside: Option<&Path>,
) -> anyhow::Result<Stored> {
    let (spool, sha256) = Spool::from(from, size, beside)?;
    Ok(Stored::of(spool, sha256)?)
}
