//! The members of an export that are of the snapshot: files, directories and links, with all that they were. Each file is
//! hashed on its way, and compared with the manifest.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use tar::{EntryType, Header};

use super::{
    content::{Content, Member},
    holes::{self, Filled, Map},
    left_out::packed,
    member,
    sparse::{Sparse, sparse_header},
    write::{clear, header},
};
use crate::{
    backup::{
        manifests::{Beside, Stored},
        repository::{
            EachRecord, Entry, EntryKind, Hand, Met, Progress, RepositoryError, SnapshotReader,
            Special,
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
    /// All that are no files.
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

    /// Appends everything; says how many are no files.
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
                let long = Some(target).filter(|target| TARGET_BYTES < target.len());
                let long = long.map(|target| ("linkpath".to_owned(), target.clone()));
                self.extend(entry, long.into_iter().collect())?;
                let mut header = self.plain_header_of(entry, 0);
                header.set_entry_type(EntryType::Symlink);
                let short = &target[..target.len().min(TARGET_BYTES)];
                header.set_link_name_literal(short)?;
                self.others += 1;
                self.append_header(&mut header, &entry.path)
            }
            EntryKind::Special(special) => self.append_special(entry, *special),
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
        self.append_content(entry, record, &name)
    }

    /// A file with holes is written without them, and a map of where its data is before it.
    fn append_content(
        &mut self,
        entry: &Entry,
        record: &FileRecord,
        name: &[u8],
    ) -> anyhow::Result<()> {
        let content = Content {
            reader: self.reader,
            hand: self.hand,
            entry,
            record,
        };
        let path = Path::new(OsStr::from_bytes(name));
        let before = self.done;
        let looked = match self.may_have_holes(entry, record, name) {
            true => content.look(&mut self.done)?,
            false => None,
        };
        let is_again = looked.as_ref().is_some_and(|(_, kept)| kept.is_none());
        if is_again {
            self.done = before;
        }
        if let Some((map, kept)) = looked {
            if map.is_sparse() {
                return self.append_sparse(&content, name, &map, kept);
            }
            if let Some(kept) = kept {
                let mut header = self.header_of(entry, record.size)?;
                let all = Filled::new(map, kept.as_slice());
                return Ok(self.tar.append_data(&mut header, path, all)?);
            }
        }
        let mut header = self.header_of(entry, record.size)?;
        let mut member = Member {
            header: &mut header,
            name: path,
            head: &[],
            map: None,
        };
        content.append(self.tar, &mut member, &mut self.done, is_again)
    }

    fn append_sparse(
        &mut self,
        content: &Content<'_>,
        name: &[u8],
        map: &Map,
        kept: Option<Vec<u8>>,
    ) -> anyhow::Result<()> {
        let sparse = Sparse {
            name: name.to_vec(),
            size: map.size,
        };
        self.extend(content.entry, sparse.extensions())?;
        let head = map.head();
        let size = head.len() as u64 + map.data();
        let mut header = sparse_header(&self.plain_header_of(content.entry, size))?;
        let path = sparse.stand_in();
        if let Some(kept) = kept {
            let all = head.as_slice().chain(kept.as_slice());
            return Ok(self.tar.append_data(&mut header, path, all)?);
        }
        let mut member = Member {
            header: &mut header,
            name: &path,
            head: &head,
            map: Some(map),
        };
        content.append(self.tar, &mut member, &mut self.done, true)
    }

    /// Whether a file is looked at for holes: what the server has made has none, and a line end in a name is not
    /// understood where that of a sparse member stands.
    fn may_have_holes(&self, entry: &Entry, record: &FileRecord, name: &[u8]) -> bool {
        holes::LEAST <= record.size && !self.is_own(&entry.path) && !name.contains(&b'\n')
    }

    fn append_special(&mut self, entry: &Entry, special: Special) -> anyhow::Result<()> {
        let Some((kind, [major, minor])) = packed(special) else {
            return Ok(());
        };
        let mut header = self.header_of(entry, 0)?;
        header.set_entry_type(kind);
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
        self.others += 1;
        self.append_header(&mut header, &entry.path)
    }

    fn append_header(&mut self, header: &mut Header, path: &SnapshotPath) -> anyhow::Result<()> {
        let name = member(path);
        let name = Path::new(OsStr::from_bytes(&name));
        Ok(self.tar.append_data(header, name, io::empty())?)
    }

    /// The header, and before it what does not fit in it.
    fn header_of(&mut self, entry: &Entry, size: u64) -> anyhow::Result<Header> {
        self.extend(entry, Vec::new())?;
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

    /// Appends what no header holds: what is given, and what else the entry has.
    fn extend(&mut self, entry: &Entry, mut more: Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
        let is_named = !more.is_empty();
        if entry.mtime < 0 || entry.mtime % NANOS != 0 {
            more.push(("mtime".to_owned(), decimal(entry.mtime).into_bytes()));
        }
        if !self.is_own(&entry.path) {
            let holds_lines =
                |(name, value): &(String, Vec<u8>)| name.contains('\n') || value.contains(&b'\n');
            // Not every reader goes by lengths: the first name that is one counts, and it is not to be one in a value.
            if !is_named && entry.attributes.iter().any(holds_lines) {
                more.push(("path".to_owned(), member(&entry.path)));
            }
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
