//! A look at what a drill has restored: all that each entry is, beside what the snapshot says. What the restore has told
//! of itself is no news.

use std::{collections::HashMap, fs::File, io, os::fd::AsFd as _};

use anyhow::Context as _;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, readlinkat, statat},
    io::Errno,
};

use super::{
    Shared, Wanted,
    beneath::{Beneath, parts},
    compare::differs,
    is_owned, marks, own_roots,
    tally::{Tally, Unset},
};
use crate::{
    backup::{
        child::Stopped,
        manifests::Stored,
        repository::{Entry, EntryKind, Hand, Met, RepositoryError, SnapshotReader},
    },
    domain::backup::manifest::{FileRecord, SnapshotPath},
};

/// Begins what is said of a name that could not be made one of several of a file.
pub(super) const SAME: &str = "it was the same file as";

/// Result of a look.
#[derive(Debug, Default)]
pub(in crate::backup) struct Looked {
    /// What is not as it was, though the restore has said nothing of it.
    pub(in crate::backup) differing: Tally,
    /// What whoever runs this may not look into.
    pub(in crate::backup) unseen: Tally,
}

/// Sample that was restored, and what was told of it.
struct Look<'a> {
    /// Files of the sample that were not met yet.
    files: HashMap<&'a SnapshotPath, &'a FileRecord>,
    own: Vec<SnapshotPath>,
    beneath: &'a Beneath,
    told: &'a Unset,
    hand: &'a Hand,
    /// Files of several names, by what tells them apart: the first of their names, and where that lies.
    firsts: HashMap<Shared, (SnapshotPath, Identity)>,
    /// What each file that has several names there is one of; none where it had one.
    joined: HashMap<Identity, (SnapshotPath, Option<Shared>)>,
    looked: Looked,
}

/// Device and inode where it was restored.
type Identity = (u64, u64);

/// Why an entry could not be compared.
enum Not {
    There,
    /// The right to look into it lacks.
    Seen(String),
}

/// Looks at every file of a sample, and at as many directories and links as were restored with it.
///
/// # Errors
/// Where the snapshot or the disk cannot be read, and where it was asked to stop.
pub(in crate::backup) fn look(
    reader: &dyn SnapshotReader,
    stored: &Stored,
    (files, wanted): (&[FileRecord], Wanted<'_>),
    (beneath, told): (&Beneath, &Unset),
    hand: &Hand,
) -> anyhow::Result<Looked> {
    let mut look = Look {
        files: files.iter().map(|file| (&file.path, file)).collect(),
        own: own_roots(&stored.manifest),
        beneath,
        told,
        hand,
        firsts: HashMap::new(),
        joined: HashMap::new(),
        looked: Looked::default(),
    };
    let (mut others, mut failed) = (0, None);
    let walked = reader.walk(&mut |met| {
        let Met::Entry(entry) = met else {
            return Ok(());
        };
        let step = if hand.cancel.is_cancelled() {
            Err(Stopped.into())
        } else {
            match entry.kind {
                EntryKind::File => match look.files.remove(&entry.path) {
                    Some(record) => look.at_file(&entry, record),
                    None => Ok(()),
                },
                EntryKind::Directory | EntryKind::Link(_) if wanted.has(&entry.path, others) => {
                    others += 1;
                    look.at(&entry, None).map(drop)
                }
                _ => Ok(()),
            }
        };
        step.map_err(|error| {
            failed = Some(error);
            RepositoryError::Cancelled
        })
    });
    if let Some(error) = failed {
        return Err(error);
    }
    walked?;
    for path in look.files.keys() {
        let line = format!("{path}: it is in the manifest, and was not met in the snapshot");
        look.looked.differing.add(line);
    }
    Ok(look.looked)
}

impl Look<'_> {
    fn at_file(&mut self, entry: &Entry, record: &FileRecord) -> anyhow::Result<()> {
        // All names of a file have what was told of the first.
        let shared = entry.shared.map(|(device, inode)| {
            let key: Shared = (device, inode, record.sha256.clone());
            key
        });
        let first = shared.and_then(|key| self.firsts.get(&key));
        let first = first.map(|(first, _)| first.clone());
        let Some(stat) = self.at(entry, first.as_ref())? else {
            return Ok(());
        };
        match differs(self.beneath, record, self.hand) {
            Ok(None) => {}
            Ok(Some(what)) => self.looked.differing.add(what),
            Err(error) if is_denied(&error) => {
                self.looked.unseen.add(format!("{}: {error:#}", entry.path));
            }
            Err(error) => return Err(error),
        }
        self.names(entry, record, &stat);
        Ok(())
    }

    /// Compares what can be without reading a file; says what lies there where it is of the kind that it was.
    fn at(&mut self, entry: &Entry, first: Option<&SnapshotPath>) -> anyhow::Result<Option<Stat>> {
        let path = &entry.path;
        let about = || format!("could not look at what was restored of {path}");
        let found = found(self.beneath, entry).with_context(about)?;
        let (stat, differing) = match found {
            Ok((stat, differing, unseen)) => {
                if let Some(why) = unseen {
                    self.looked.unseen.add(format!("{path}: {why}"));
                }
                (stat, differing)
            }
            Err(Not::There) => {
                let line = format!("{path}: what it was did not come back");
                self.looked.differing.add(line);
                return Ok(None);
            }
            Err(Not::Seen(why)) => {
                self.looked.unseen.add(format!("{path}: {why}"));
                return Ok(None);
            }
        };
        let owned = is_owned(&self.own, path);
        let mut all = marks::differs(&stat, entry, owned);
        all.extend(differing);
        for path in first.into_iter().chain([path]) {
            let told = self.told.get(path).map_or(&[][..], Vec::as_slice);
            all = marks::untold(all, told);
        }
        if !all.is_empty() {
            let line = format!("{path}: it came back without {}", all.join(", "));
            self.looked.differing.add(line);
        }
        Ok(Some(stat))
    }

    /// Names of one file are that again, and others are not.
    fn names(&mut self, entry: &Entry, record: &FileRecord, stat: &Stat) {
        let path = &entry.path;
        let is: Identity = (stat.st_dev, stat.st_ino);
        let key = entry.shared.map(|(device, inode)| {
            let key: Shared = (device, inode, record.sha256.clone());
            key
        });
        if let Some(key) = &key {
            let (first, first_is) = self
                .firsts
                .entry(key.clone())
                .or_insert_with(|| (path.clone(), is));
            let told = self.told.get(path);
            let told = told.is_some_and(|told| told.iter().any(|one| one.starts_with(SAME)));
            if *first_is != is && !told {
                let line = format!("{path}: {SAME} {first}, and is another now");
                self.looked.differing.add(line);
            }
        }
        if stat.st_nlink < 2 {
            return;
        }
        let joined = self.joined.entry(is);
        let (other, of) = joined.or_insert_with(|| (path.clone(), key.clone()));
        if other != path && (key.is_none() || *of != key) {
            let line = format!("{path}: it is the same file as {other} now, and was not");
            self.looked.differing.add(line);
        }
    }
}

/// What lies there; what of it is otherwise, of its target and its extended attributes; why those cannot be seen.
type Found = (Stat, Vec<String>, Option<String>);

fn found(beneath: &Beneath, entry: &Entry) -> io::Result<Result<Found, Not>> {
    let parts = parts(&entry.path).unwrap_or_default();
    let (name, above) = match parts.split_last() {
        Some((name, above)) => (*name, above),
        None => (b".".as_slice(), &[][..]),
    };
    let looked = beneath.open(above).and_then(|directory| {
        let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((directory, stat))
    });
    let (directory, stat) = match looked {
        Ok(looked) => looked,
        Err(error) => return not(error).map(Err),
    };
    let kind = match entry.kind {
        EntryKind::File => FileType::RegularFile,
        EntryKind::Directory => FileType::Directory,
        EntryKind::Link(_) => FileType::Symlink,
        EntryKind::Special(_) => return Ok(Ok((stat, Vec::new(), None))),
    };
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Ok(Err(Not::There));
    }
    let (mut differing, mut unseen) = (Vec::new(), None);
    if let EntryKind::Link(target) = &entry.kind {
        let is = readlinkat(&directory, name, Vec::new())?;
        if is.as_bytes() != target.as_slice() {
            let (is, was) = (is.as_bytes().escape_ascii(), target.escape_ascii());
            differing.push(format!("target {was} (it is {is})"));
        }
        let attributes = marks::attributes_of_link_differ(directory.as_fd(), name, entry);
        differing.extend(attributes);
    } else if !entry.attributes.is_empty() {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(&directory, name, flags, Mode::empty()) {
            Ok(opened) => {
                let opened = File::from(opened);
                differing.extend(marks::attributes_differ(opened.as_fd(), entry));
            }
            Err(error @ (Errno::ACCESS | Errno::PERM)) => unseen = Some(error.to_string()),
            Err(error) => return not(error.into()).map(Err),
        }
    }
    Ok(Ok((stat, differing, unseen)))
}

fn not(error: io::Error) -> io::Result<Not> {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(Not::There),
        Some(Errno::ACCESS | Errno::PERM) => Ok(Not::Seen(error.to_string())),
        _ => Err(error),
    }
}

/// Whether the right to read lacks.
fn is_denied(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        cause.downcast_ref::<io::Error>().is_some_and(denied)
            || matches!(
                cause.downcast_ref::<Errno>(),
                Some(&Errno::ACCESS | &Errno::PERM)
            )
    })
}
