//! What was restored, as it lies there, beside what the snapshot says of it: files with their content, directories and
//! links, and all that each is besides.

use std::{collections::HashMap, fs::File, io, os::fd::AsFd as _, os::fd::OwnedFd};

use anyhow::Context as _;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat},
    io::Errno,
};

use super::{
    Shared, Wanted,
    beneath::{Beneath, parts},
    files::is_of_one,
    is_owned, lacks, own_roots,
    tally::Tally,
};
use crate::{
    backup::{
        child::Stopped,
        manifests::{Beside, Stored},
        read_back::Hashing,
        removing::DIRECTORY,
        repository::{Entry, EntryKind, Hand, Met, Progress, RepositoryError, SnapshotReader},
    },
    domain::backup::manifest::{FileRecord, SnapshotPath},
};

/// Result of a look at what was restored.
#[derive(Clone, Debug, Default)]
pub(in crate::backup) struct Compared {
    /// Number of files that have the content which the manifest says.
    pub(in crate::backup) files: u64,
    pub(in crate::backup) bytes: u64,
    pub(in crate::backup) directories: u64,
    /// Number of symbolic links that lead to where they did.
    pub(in crate::backup) links: u64,
    /// What is not there, is something else, or could not be looked at.
    pub(in crate::backup) differing: Tally,
    /// What the server's user may not look at, such as for the permissions that it came back with; and how many of those
    /// are files.
    pub(in crate::backup) unseen: Tally,
    pub(in crate::backup) unseen_files: u64,
    /// What is there, but for its owner, permissions, time, an attribute, or that it is another name of a file.
    pub(in crate::backup) unset: Tally,
}

/// Compares every file, directory and link that was wanted.
///
/// # Errors
/// Where the snapshot, the manifest or the disk cannot be read, and where it was asked to stop.
pub(in crate::backup) fn compare(
    beneath: &Beneath,
    reader: &dyn SnapshotReader,
    stored: &Stored,
    wanted: Wanted<'_>,
    hand: &Hand,
) -> anyhow::Result<Compared> {
    let is_wanted = |file: &anyhow::Result<FileRecord>| match file {
        Ok(file) => wanted.has_file(file),
        Err(_) => true,
    };
    let mut records = Beside::new(stored.files()?.filter(is_wanted));
    let mut look = Look {
        beneath,
        hand,
        own: own_roots(&stored.manifest),
        first_names: HashMap::new(),
        compared: Compared::default(),
    };
    // Those of a sample are the first that the walk meets, as they were when it was restored.
    let mut taken = 0;
    let mut broken = None;
    let walked = reader.walk(&mut |met| {
        if hand.cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        // A directory that is lost: what is in it is named as what is not in the snapshot.
        let Met::Entry(entry) = met else {
            return Ok(());
        };
        let record = match entry.kind {
            EntryKind::File => {
                let differing = &mut look.compared.differing;
                match records.meet(&entry.path, |file| differing.add(not_met(file)))? {
                    Some(record) => Some(record),
                    None => return Ok(()),
                }
            }
            EntryKind::Directory | EntryKind::Link(_) if wanted.has(&entry.path, taken) => {
                taken += 1;
                None
            }
            EntryKind::Directory | EntryKind::Link(_) | EntryKind::Special(_) => return Ok(()),
        };
        look.at(&entry, record.as_ref()).map_err(|error| {
            broken = Some(error);
            RepositoryError::Cancelled
        })
    });
    if let Some(error) = broken {
        return Err(error);
    }
    walked?;
    let differing = &mut look.compared.differing;
    records.rest(|file| differing.add(not_met(file)))?;
    Ok(look.compared)
}

fn not_met(file: &FileRecord) -> String {
    format!(
        "{}: it is in the manifest, and not in the snapshot",
        file.path
    )
}

struct Look<'a> {
    beneath: &'a Beneath,
    hand: &'a Hand,
    own: Vec<SnapshotPath>,
    /// Files of several names, by what tells them apart.
    first_names: HashMap<Shared, First>,
    compared: Compared,
}

/// The first name of a file of several.
struct First {
    path: SnapshotPath,
    /// Device and inode of what has the name, where that is what it was.
    same: Option<(u64, u64)>,
}

impl Look<'_> {
    /// # Errors
    /// What is not about this one.
    fn at(&mut self, entry: &Entry, record: Option<&FileRecord>) -> anyhow::Result<()> {
        let path = &entry.path;
        let owned = is_owned(&self.own, path);
        let about = || format!("could not look at what was restored of {path}");
        let looked = match (&entry.kind, record) {
            (EntryKind::File, Some(record)) => self.at_file(entry, record, owned),
            (EntryKind::Directory, _) => self.at_directory(entry, owned),
            (EntryKind::Link(target), _) => self.at_link(entry, target, owned),
            (EntryKind::File | EntryKind::Special(_), _) => return Ok(()),
        };
        match looked {
            Ok(lacks) if lacks.is_empty() => {}
            Ok(lacks) => {
                let line = format!("{path}: {}", lacks.join(", "));
                self.compared.unset.add(line);
            }
            Err(Unlike::Other(what)) => self.compared.differing.add(format!("{path} {what}")),
            Err(Unlike::Unread(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                let unseen = &mut self.compared.unseen;
                unseen.add(format!("{path} could not be looked at: {error}"));
                self.compared.unseen_files += u64::from(entry.kind == EntryKind::File);
            }
            Err(Unlike::Unread(error)) if is_of_it(&error) => {
                let line = format!("{path} could not be looked at: {error}");
                self.compared.differing.add(line);
            }
            Err(Unlike::Unread(error)) => return Err(error).with_context(about),
            Err(Unlike::Stopped) => return Err(Stopped.into()),
        }
        Ok(())
    }

    fn at_file(&mut self, entry: &Entry, record: &FileRecord, owned: bool) -> Looked {
        let key = entry
            .shared
            .map(|(device, inode)| (device, inode, record.sha256.clone()));
        let opened = open_file(self.beneath, &entry.path);
        let same = opened.and_then(|(file, stat)| {
            let number = (stat.st_dev, stat.st_ino);
            let known = key.as_ref().and_then(|key| self.first_names.get(key));
            if known.is_none_or(|first| first.same != Some(number))
                && let Some(what) = content_differs(&file, record, self.hand)?
            {
                return Err(Unlike::Other(what));
            }
            Ok((file, number))
        });
        let mut further = None;
        if let Some(key) = key {
            let number = same.as_ref().ok().map(|(_, number)| *number);
            match self.first_names.get(&key) {
                Some(first) if first.same == number => {}
                Some(first) => further = Some(format!("it was the same file as {}", first.path)),
                None => {
                    let path = entry.path.clone();
                    let first = First { path, same: number };
                    self.first_names.insert(key, first);
                }
            }
        }
        let (file, _) = same?;
        let compared = &mut self.compared;
        (compared.files, compared.bytes) = (compared.files + 1, compared.bytes + record.size);
        (self.hand.progress)(Progress {
            files: compared.files,
            bytes: compared.bytes,
        });
        let lacks = lacks::lacks_of(file.as_fd(), entry, owned);
        Ok(further.into_iter().chain(lacks).collect())
    }

    fn at_directory(&mut self, entry: &Entry, owned: bool) -> Looked {
        let (above, name) = above(self.beneath, &entry.path)?;
        let stat = stat_of(&above, name)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Unlike::Other("is no directory any more".to_owned()));
        }
        let lacks = match openat(&above, name, DIRECTORY, Mode::empty()) {
            // As it was, perhaps: what is in it is named for itself.
            Err(Errno::ACCESS) => lacks::lacks_of_named(above.as_fd(), name, &stat, entry, owned),
            opened => {
                let opened = opened.map_err(io::Error::from)?;
                lacks::lacks_of(opened.as_fd(), entry, owned)
            }
        };
        self.compared.directories += 1;
        Ok(lacks)
    }

    fn at_link(&mut self, entry: &Entry, target: &[u8], owned: bool) -> Looked {
        let (above, name) = above(self.beneath, &entry.path)?;
        let stat = stat_of(&above, name)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Err(Unlike::Other("is no link any more".to_owned()));
        }
        let leads = readlinkat(&above, name, Vec::new()).map_err(io::Error::from)?;
        if leads.as_bytes() != target {
            let (leads, led) = (leads.to_string_lossy(), String::from_utf8_lossy(target));
            return Err(Unlike::Other(format!(
                "leads to {leads:?}, and led to {led:?}"
            )));
        }
        self.compared.links += 1;
        Ok(lacks::lacks_of_named(
            above.as_fd(),
            name,
            &stat,
            entry,
            owned,
        ))
    }
}

/// What of it is not as it was, though it is there.
type Looked = Result<Vec<String>, Unlike>;

enum Unlike {
    /// It is gone, or something else.
    Other(String),
    Unread(io::Error),
    Stopped,
}

impl From<io::Error> for Unlike {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Other("did not come back".to_owned()),
            _ => Self::Unread(error),
        }
    }
}

/// Whether an error says that something else is in its place, or that it may not be looked at; not that the disk fails.
fn is_of_it(error: &io::Error) -> bool {
    let odd = [Errno::NXIO, Errno::NODEV].map(|errno| Some(errno.raw_os_error()));
    is_of_one(error) || odd.contains(&error.raw_os_error())
}

fn above<'a>(beneath: &Beneath, path: &'a SnapshotPath) -> Result<(OwnedFd, &'a [u8]), Unlike> {
    let parts = parts(path).unwrap_or_default();
    match parts.split_last() {
        Some((name, above)) => Ok((beneath.open(above)?, *name)),
        None => Err(Unlike::Other("is no path".to_owned())),
    }
}

fn stat_of(above: &OwnedFd, name: &[u8]) -> Result<Stat, Unlike> {
    let stat = statat(above, name, AtFlags::SYMLINK_NOFOLLOW);
    Ok(stat.map_err(io::Error::from)?)
}

fn open_file(beneath: &Beneath, path: &SnapshotPath) -> Result<(File, Stat), Unlike> {
    let (above, name) = above(beneath, path)?;
    // What may stand in its place by now must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = openat(&above, name, flags, Mode::empty()).map_err(io::Error::from)?;
    let stat = fstat(&opened).map_err(io::Error::from)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok((File::from(opened), stat)),
        _ => Err(Unlike::Other("is no file any more".to_owned())),
    }
}

fn content_differs(
    file: &File,
    record: &FileRecord,
    hand: &Hand,
) -> Result<Option<String>, Unlike> {
    if hand.cancel.is_cancelled() {
        return Err(Unlike::Stopped);
    }
    let mut hashed = Hashing::new(io::sink());
    io::copy(&mut &*file, &mut hashed)?;
    let (_, sha256, bytes) = hashed.into_all();
    Ok((bytes != record.size || sha256 != record.sha256).then(|| {
        format!(
            "has {bytes} bytes and the SHA-256 {sha256} where it was restored; it had {} and {}",
            record.size, record.sha256
        )
    }))
}

/// Says how the content of a file that was restored differs from what it was.
///
/// # Errors
/// As [`compare`], and where it may not be read.
pub(super) fn differs(
    beneath: &Beneath,
    file: &FileRecord,
    hand: &Hand,
) -> anyhow::Result<Option<String>> {
    let path = &file.path;
    let opened = open_file(beneath, path);
    match opened.and_then(|(opened, _)| content_differs(&opened, file, hand)) {
        Ok(same) => Ok(same.map(|what| format!("{path} {what}"))),
        Err(Unlike::Other(what)) => Ok(Some(format!("{path} {what}"))),
        Err(Unlike::Unread(error)) => {
            let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
            match is_of_it(&error) && !is_denied {
                true => Ok(Some(format!("{path} could not be looked at: {error}"))),
                false => Err(error)
                    .with_context(|| format!("could not read what was restored of {path}")),
            }
        }
        Err(Unlike::Stopped) => Err(Stopped.into()),
    }
}
