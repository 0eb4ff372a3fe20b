//! The members of an export that are of the snapshot: files, directories and links, with all that they were. Each file is
//! hashed on its way, and compared with the manifest.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    thread,
};

use anyhow::bail;
use tar::{EntryType, Header};

use super::{
    member,
    write::{clear, header},
};
use crate::{
    backup::{
        manifests::{Beside, Stored},
        read_back::differs_of,
        repository::{
            EachRecord, Entry, EntryKind, Hand, Met, Progress, RepositoryError, SnapshotReader,
        },
        restore_files::own_roots,
    },
    domain::backup::manifest::{FileRecord, SnapshotPath},
};

const NANOS: i64 = 1_000_000_000;
/// Bytes of a link's target that fit where archives always had it.
const TARGET_BYTES: usize = 100;

/// What is appended, and to what.
pub(super) struct Members<'a, W: io::Write> {
    tar: &'a mut tar::Builder<W>,
    reader: &'a dyn SnapshotReader,
    hand: &'a Hand,
    records: Beside<EachRecord<'a>>,
    /// The first that the walk did not come to.
    missing: Option<SnapshotPath>,
    own: Vec<SnapshotPath>,
    /// Files of several names, by device, inode and SHA-256.
    first_names: HashMap<(u64, u64, String), Vec<u8>>,
    done: Progress,
    /// Directories and symbolic links.
    others: u64,
}

impl<'a, W: io::Write> Members<'a, W> {
    pub(super) fn new(
        tar: &'a mut tar::Builder<W>,
        reader: &'a dyn SnapshotReader,
        stored: &'a Stored,
        hand: &'a Hand,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            tar,
            reader,
            hand,
            records: Beside::new(Box::new(clear(stored)?)),
            missing: None,
            own: own_roots(&stored.manifest),
            first_names: HashMap::new(),
            done: Progress::default(),
            others: 0,
        })
    }

    /// Appends everything; says how many directories and links there are.
    pub(super) fn append_all(mut self) -> anyhow::Result<u64> {
        let (mut failed, reader) = (None, self.reader);
        let walked = reader.walk(&mut |met| {
            let entry = match met {
                Met::Entry(entry) => entry,
                Met::Damaged(_, what) => return Err(RepositoryError::Damaged { what }),
            };
            self.append(&entry).map_err(|error| {
                failed = Some(error);
                RepositoryError::Cancelled
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        walked?;
        let missing = &mut self.missing;
        self.records.rest(|record| note(missing, &record.path))?;
        match self.missing {
            None => Ok(self.others),
            Some(path) => Err(RepositoryError::Damaged {
                what: format!("{path}: it is in the manifest, and not in the snapshot"),
            }
            .into()),
        }
    }

    fn append(&mut self, entry: &Entry) -> anyhow::Result<()> {
        if self.hand.cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled.into());
        }
        match &entry.kind {
            EntryKind::File => {
                let missing = &mut self.missing;
                let passed = |record: &FileRecord| note(missing, &record.path);
                match self.records.meet(&entry.path, passed)? {
                    Some(record) => self.append_file(entry, &record),
                    // What could not be read whole; the manifest names it.
                    None => Ok(()),
                }
            }
            EntryKind::Directory => {
                let mut header = self.header_of(entry, 0)?;
                header.set_entry_type(EntryType::Directory);
                self.others += 1;
                self.append_header(&mut header, &entry.path)
            }
            EntryKind::Link(target) => {
                self.extend(entry, Some(target))?;
                let mut header = self.plain_header_of(entry, 0);
                header.set_entry_type(EntryType::Symlink);
                let short = &target[..target.len().min(TARGET_BYTES)];
                header.set_link_name_literal(short)?;
                self.others += 1;
                self.append_header(&mut header, &entry.path)
            }
            // Whoever needs a device or a socket makes it anew.
            EntryKind::Special => Ok(()),
        }
    }

    fn append_file(&mut self, entry: &Entry, record: &FileRecord) -> anyhow::Result<()> {
        let name = member(&entry.path);
        if let Some((device, inode)) = entry.shared {
            let key = (device, inode, record.sha256.clone());
            if let Some(first) = self.first_names.get(&key).cloned() {
                let mut header = self.plain_header_of(entry, 0);
                header.set_entry_type(EntryType::Link);
                if TARGET_BYTES < first.len() {
                    self.tar
                        .append_pax_extensions([("linkpath", first.as_slice())])?;
                }
                header.set_link_name_literal(&first[..first.len().min(TARGET_BYTES)])?;
                return self.append_header(&mut header, &entry.path);
            }
            self.first_names.insert(key, name.clone());
        }
        let mut header = self.header_of(entry, record.size)?;
        self.append_content(entry, record, &mut header, &name)
    }

    /// What is read comes through a pipe, as the archive wants to read and the snapshot to write.
    fn append_content(
        &mut self,
        entry: &Entry,
        record: &FileRecord,
        header: &mut Header,
        member: &[u8],
    ) -> anyhow::Result<()> {
        let (from, mut to) = io::pipe()?;
        let (tar, reader, hand, before) = (&mut *self.tar, self.reader, self.hand, self.done);
        let (appended, read) = thread::scope(|scope| {
            let read = scope.spawn(move || {
                let mut done = before;
                let differs = differs_of(reader, entry, record, &mut to, hand, &mut done);
                drop(to);
                (differs, done)
            });
            // Not more than the header says, whatever comes; and all of it is taken, or the other end would wait.
            let mut limited = from.take(record.size);
            let name = Path::new(OsStr::from_bytes(member));
            let appended = tar.append_data(header, name, &mut limited);
            let rest = io::copy(&mut limited.into_inner(), &mut io::sink());
            (appended.and(rest.map(drop)), read.join())
        });
        let Ok((differs, now)) = read else {
            bail!("the thread that reads {} panicked", record.path);
        };
        self.done = now;
        if let Some(what) = differs? {
            return Err(RepositoryError::Damaged { what }.into());
        }
        appended?;
        Ok(())
    }

    fn append_header(&mut self, header: &mut Header, path: &SnapshotPath) -> anyhow::Result<()> {
        let name = member(path);
        let name = Path::new(OsStr::from_bytes(&name));
        Ok(self.tar.append_data(header, name, io::empty())?)
    }

    /// The header, and before it what does not fit in it.
    fn header_of(&mut self, entry: &Entry, size: u64) -> anyhow::Result<Header> {
        self.extend(entry, None)?;
        Ok(self.plain_header_of(entry, size))
    }

    fn plain_header_of(&self, entry: &Entry, size: u64) -> Header {
        let mut header = header(size, entry.mtime.div_euclid(NANOS));
        let is_directory = entry.kind == EntryKind::Directory;
        if self.is_own(&entry.path) {
            header.set_mode(if is_directory { 0o700 } else { 0o600 });
            return header;
        }
        header.set_mode(entry.mode & 0o7777);
        if let Some((uid, gid)) = entry.owner {
            header.set_uid(uid.into());
            header.set_gid(gid.into());
        }
        header
    }

    fn extend(&mut self, entry: &Entry, target: Option<&Vec<u8>>) -> anyhow::Result<()> {
        let mut more: Vec<(String, Vec<u8>)> = Vec::new();
        if entry.mtime < 0 || entry.mtime % NANOS != 0 {
            more.push(("mtime".to_owned(), decimal(entry.mtime).into_bytes()));
        }
        if let Some(target) = target.filter(|target| TARGET_BYTES < target.len()) {
            more.push(("linkpath".to_owned(), target.clone()));
        }
        if !self.is_own(&entry.path) {
            for (name, value) in &entry.attributes {
                // As tar writes names that hold what ends them.
                let name = name.replace('%', "%25").replace('=', "%3D");
                more.push((format!("SCHILY.xattr.{name}"), value.clone()));
            }
        }
        let more = more
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()));
        Ok(self.tar.append_pax_extensions(more)?)
    }

    fn is_own(&self, path: &SnapshotPath) -> bool {
        self.own.iter().any(|root| root.contains(path))
    }
}

fn note(missing: &mut Option<SnapshotPath>, path: &SnapshotPath) {
    missing.get_or_insert_with(|| path.clone());
}

/// Seconds since the Unix epoch, with what is behind the point.
fn decimal(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let second = NANOS.unsigned_abs();
    format!("{sign}{}.{:09}", nanos / second, nanos % second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_1970_are_written_with_all_that_is_behind_the_point() {
        assert_eq!(decimal(1_500_000_000), "1.500000000");
        assert_eq!(decimal(-1_500_000_000), "-1.500000000");
        assert_eq!(decimal(-1), "-0.000000001");
        assert_eq!(decimal(i64::MIN), "-9223372036.854775808");
    }
}
