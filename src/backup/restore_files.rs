//! Entries of a snapshot into a new directory: files hashed against the manifest, with all that they are besides;
//! links last, and never followed. What is damaged, or cannot be made here, is named, and everything else comes back.

mod beneath;
mod compare;
mod files;
mod lacks;
mod look;
mod lost;
mod marks;
mod sparse;
mod tally;

use std::{
    collections::{HashMap, HashSet},
    os::fd::AsFd as _,
    path::Path,
};

use anyhow::{Context as _, bail};
use rustix::fs::{AtFlags, linkat, symlinkat};

pub use self::tally::{Restored, Tally};
pub(super) use self::{
    beneath::Beneath,
    compare::{Compared, compare},
    look::{Looked, look},
};
use self::{
    beneath::parts,
    files::{Files, Task, is_of_one},
    look::SAME,
    lost::{Lost, pass},
};
use super::{
    configuration,
    manifests::{Beside, Stored},
    occupied::is_occupied,
    repository::{EachRecord, Entry, EntryKind, Hand, Met, RepositoryError, SnapshotReader},
    work::make_directory,
};
use crate::domain::backup::manifest::{FileRecord, Manifest, SnapshotPath};

/// What of a snapshot is to come back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// What begins with one of these; everything where there are none.
    Beginning(&'a [SnapshotPath]),
    /// These files, and of directories and links so many.
    Sample(&'a HashSet<&'a SnapshotPath>, u64),
}

/// Opens a new directory, or an empty one, for a restore.
///
/// # Errors
/// Where it holds anything, or cannot be made.
pub(super) fn fresh(directory: &Path) -> anyhow::Result<Beneath> {
    if is_occupied(directory) {
        bail!(
            "{} is there and not empty: a restore never writes over anything",
            directory.display()
        );
    }
    make_directory(directory)?;
    Beneath::at(directory).with_context(|| format!("could not open {}", directory.display()))
}

/// Restores what is wanted beneath a directory that is empty.
///
/// # Errors
/// What is not about single entries: those are in the answer.
pub(super) fn restore(
    reader: &dyn SnapshotReader,
    stored: &Stored,
    wanted: Wanted<'_>,
    into: &Beneath,
    hand: &Hand,
) -> anyhow::Result<Restored> {
    let is_wanted = |file: &anyhow::Result<FileRecord>| match file {
        Ok(file) => wanted.has_file(file),
        Err(_) => true,
    };
    let mut walk = Walk {
        wanted,
        records: Beside::new(Box::new(stored.files()?.filter(is_wanted))),
        own: own_roots(&stored.manifest),
        into,
        restored: Restored::default(),
        directories: Vec::new(),
        links: Vec::new(),
        first_names: HashMap::new(),
        more_names: Vec::new(),
        lost: Vec::new(),
    };
    let files = Files::new(reader, into, hand, wanted.is_sample());
    let walked = files.attend(|send| {
        reader.walk(&mut |met| {
            if hand.cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            walk.meet(met, send)
        })
    });
    if hand.cancel.is_cancelled() {
        return Err(RepositoryError::Cancelled.into());
    }
    files.broken()?;
    walked?;
    walk.pass_the_rest()?;
    walk.name_lost();
    walk.join_names(&files)?;
    walk.make_links()?;
    walk.finish_directories();
    files.broken()?;
    let mut restored = walk.restored;
    files.add_to(&mut restored);
    for tally in [
        &mut restored.damaged,
        &mut restored.refused,
        &mut restored.unset,
    ] {
        tally.lines.sort();
    }
    Ok(restored)
}

impl Wanted<'_> {
    fn is_sample(&self) -> bool {
        matches!(self, Self::Sample(..))
    }

    fn has_file(&self, file: &FileRecord) -> bool {
        match self {
            Self::Beginning(paths) => file.path.begins_with_any(paths),
            Self::Sample(files, _) => files.contains(&file.path),
        }
    }

    /// `taken`: directories and links of the sample so far.
    fn has(&self, path: &SnapshotPath, taken: u64) -> bool {
        match self {
            Self::Beginning(paths) => path.begins_with_any(paths),
            Self::Sample(_, most) => taken < *most,
        }
    }
}

/// What is the server's own in a snapshot: whoever restores it is its owner.
pub(super) fn own_roots(manifest: &Manifest) -> Vec<SnapshotPath> {
    let own = manifest.sources.iter().filter(|one| one.kind != "paths");
    let mut roots: Vec<SnapshotPath> = own.clone().map(|one| one.root.clone()).collect();
    let dumps = own.filter_map(|one| one.dump.as_ref());
    roots.extend(dumps.map(|dump| dump.path.clone()));
    roots.push(configuration::ROOT.into());
    roots
}

/// Whether something is to have the owner that it had.
fn is_owned(own: &[SnapshotPath], path: &SnapshotPath) -> bool {
    !own.iter().any(|root| root.contains(path))
}

/// What the walk through a snapshot has met, and is done about it afterwards.
struct Walk<'a> {
    wanted: Wanted<'a>,
    /// Files that are wanted and were not met yet.
    records: Beside<EachRecord<'a>>,
    own: Vec<SnapshotPath>,
    into: &'a Beneath,
    restored: Restored,
    directories: Vec<Entry>,
    links: Vec<Entry>,
    /// Files of several names, by what tells them apart.
    first_names: HashMap<Shared, SnapshotPath>,
    more_names: Vec<(Task, SnapshotPath)>,
    /// Directories that cannot be read, in the order of the walk.
    lost: Vec<Lost>,
}

/// Device, inode and SHA-256: a number that was given anew is no other name of the same file.
type Shared = (u64, u64, String);

impl Walk<'_> {
    fn meet(
        &mut self,
        met: Met,
        send: &mut dyn FnMut(Task) -> Result<(), RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let entry = match met {
            Met::Damaged(path, what) => {
                self.lost.push(Lost {
                    path,
                    what,
                    files: 0,
                });
                return Ok(());
            }
            Met::Entry(entry) => entry,
        };
        let taken = self.restored.directories + self.links.len() as u64;
        let wanted = self.wanted.has(&entry.path, taken);
        match entry.kind {
            EntryKind::File => match self.record_of(&entry.path)? {
                Some(record) => return self.meet_file(entry, record, send),
                None if wanted && matches!(self.wanted, Wanted::Beginning(_)) => {
                    let line = format!("{}: it is not in the manifest", entry.path);
                    self.restored.left_out.add(line);
                }
                None => {}
            },
            EntryKind::Directory if wanted => self.make_directory(entry)?,
            EntryKind::Link(_) if wanted => self.links.push(entry),
            EntryKind::Special(_) if wanted => self.make_special(&entry),
            EntryKind::Directory | EntryKind::Link(_) | EntryKind::Special(_) => {}
        }
        Ok(())
    }

    fn meet_file(
        &mut self,
        entry: Entry,
        record: FileRecord,
        send: &mut dyn FnMut(Task) -> Result<(), RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let task = Task {
            owned: self.is_owned(&entry.path),
            entry,
            record,
        };
        if let Some((device, inode)) = task.entry.shared {
            let key = (device, inode, task.record.sha256.clone());
            match self.first_names.get(&key) {
                Some(first) => {
                    self.more_names.push((task, first.clone()));
                    return Ok(());
                }
                None => drop(self.first_names.insert(key, task.entry.path.clone())),
            }
        }
        send(task)
    }

    fn is_owned(&self, path: &SnapshotPath) -> bool {
        is_owned(&self.own, path)
    }

    fn make_directory(&mut self, entry: Entry) -> Result<(), RepositoryError> {
        let Some(parts) = parts(&entry.path) else {
            self.restored.refused.add(leads_out(&entry.path));
            return Ok(());
        };
        match self.into.make(&parts) {
            Ok(_) => {
                self.restored.directories += 1;
                self.directories.push(entry);
            }
            Err(error) if is_of_one(&error) => {
                self.restored
                    .refused
                    .add(format!("{}: {error}", entry.path));
            }
            Err(error) => return Err(not_made(&entry.path, error)),
        }
        Ok(())
    }

    /// What stands for a device, or for a program that listens, is made anew by whoever needs it.
    fn make_special(&mut self, entry: &Entry) {
        let line = format!("{}: a device, socket or fifo", entry.path);
        self.restored.left_out.add(line);
    }

    /// What the manifest says of a file that was met. Those before it that were not are named.
    fn record_of(&mut self, path: &SnapshotPath) -> Result<Option<FileRecord>, RepositoryError> {
        let (lost, restored) = (&mut self.lost, &mut self.restored);
        self.records
            .meet(path, |record| pass(&record.path, lost, restored))
    }

    /// Names what is left once nothing more is met.
    fn pass_the_rest(&mut self) -> Result<(), RepositoryError> {
        let (lost, restored) = (&mut self.lost, &mut self.restored);
        self.records
            .rest(|record| pass(&record.path, lost, restored))
    }

    /// Names directories that cannot be read: each stands for all that is in it.
    fn name_lost(&mut self) {
        for lost in std::mem::take(&mut self.lost) {
            let path = &lost.path;
            let is_wanted = match self.wanted {
                Wanted::Beginning(paths) => {
                    path.begins_with_any(paths) || paths.iter().any(|wanted| path.contains(wanted))
                }
                Wanted::Sample(..) => true,
            };
            if is_wanted {
                lost.name(&mut self.restored);
            }
        }
    }

    /// Further names of files that are there by their first one.
    fn join_names(&mut self, files: &Files<'_>) -> anyhow::Result<()> {
        for (task, first) in std::mem::take(&mut self.more_names) {
            if !self.join(&task.entry.path, &first) {
                // As a file of its own it has all that it had but this.
                let path = task.entry.path.clone();
                if !files.restore(task) {
                    continue;
                }
                let lack = format!("{SAME} {first}, and is its copy now");
                self.restored
                    .lacks(&path, vec![lack], self.wanted.is_sample());
                continue;
            }
            files.count_one(task.record.size);
        }
        files.broken()
    }

    fn join(&self, path: &SnapshotPath, first: &SnapshotPath) -> bool {
        let (Some(to), Some(from)) = (parts(path), parts(first)) else {
            return false;
        };
        let (Some((to, above_to)), Some((from, above_from))) = (to.split_last(), from.split_last())
        else {
            return false;
        };
        let (Ok(above_to), Ok(above_from)) = (self.into.make(above_to), self.into.open(above_from))
        else {
            return false;
        };
        linkat(above_from, *from, above_to, *to, AtFlags::empty()).is_ok()
    }

    fn make_links(&mut self) -> anyhow::Result<()> {
        for entry in std::mem::take(&mut self.links) {
            let owned = self.is_owned(&entry.path);
            match make_link(self.into, &entry, owned) {
                Ok(lacks) => {
                    self.restored.links += 1;
                    let kept = self.wanted.is_sample();
                    self.restored.lacks(&entry.path, lacks, kept);
                }
                Err(error) if is_of_one(&error) => {
                    self.restored
                        .refused
                        .add(format!("{}: {error}", entry.path));
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("could not make {}", entry.path));
                }
            }
        }
        Ok(())
    }

    /// The deepest first: a directory's time is that of what is made in it, and what may not be written to is done.
    fn finish_directories(&mut self) {
        let kept = self.wanted.is_sample();
        for entry in std::mem::take(&mut self.directories).iter().rev() {
            let owned = self.is_owned(&entry.path);
            let parts = parts(&entry.path).unwrap_or_default();
            let lacks = match self.into.open(&parts) {
                Ok(directory) => marks::set(directory.as_fd(), entry, owned),
                Err(error) => vec![error.to_string()],
            };
            self.restored.lacks(&entry.path, lacks, kept);
        }
    }
}

fn make_link(into: &Beneath, entry: &Entry, owned: bool) -> std::io::Result<Vec<String>> {
    let EntryKind::Link(target) = &entry.kind else {
        return Ok(Vec::new());
    };
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    let parts = parts(&entry.path).ok_or_else(invalid)?;
    let (name, above) = parts.split_last().ok_or_else(invalid)?;
    let directory = into.make(above)?;
    symlinkat(target.as_slice(), &directory, *name)?;
    Ok(marks::set_of_link(directory.as_fd(), name, entry, owned))
}

fn leads_out(path: &SnapshotPath) -> String {
    format!("{path} leads out of the directory: the snapshot is not to be trusted")
}

fn not_made(path: &SnapshotPath, error: std::io::Error) -> RepositoryError {
    RepositoryError::Other {
        what: format!("could not make {path}"),
        source: Some(Box::new(error)),
    }
}

#[cfg(test)]
mod tests;
