//! The content of a file on its way from the snapshot into an export: hashed, and compared with the manifest.

use std::{
    io::{self, Read as _, Write},
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::bail;
use tar::Header;

use super::holes::{KEPT, Looking, Map, Picking};
use crate::{
    backup::{
        read_back::differs_of,
        repository::{Entry, Hand, Progress, RepositoryError, SnapshotReader},
    },
    domain::backup::manifest::FileRecord,
};

/// A file of a snapshot, and what it was.
pub(super) struct Content<'a> {
    pub(super) reader: &'a dyn SnapshotReader,
    pub(super) hand: &'a Hand,
    pub(super) entry: &'a Entry,
    pub(super) record: &'a FileRecord,
}

/// Where a content is written to.
pub(super) struct Member<'a> {
    pub(super) header: &'a mut Header,
    pub(super) name: &'a Path,
    /// What stands before the content.
    pub(super) head: &'a [u8],
    /// Where its data is, where its holes are left out.
    pub(super) map: Option<&'a Map>,
}

impl Content<'_> {
    /// Reads it for its holes. Answers its data as well, where that is little; nothing where it soon is plain that they
    /// are not worth it, and then it counts as not read.
    ///
    /// # Errors
    /// What cannot be read, or is not what it was.
    pub(super) fn look(
        &self,
        done: &mut Progress,
    ) -> anyhow::Result<Option<(Map, Option<Vec<u8>>)>> {
        let (before, kept) = (*done, KEPT as u64);
        let hand = match self.record.size <= kept {
            true => self.hand.clone(),
            // It may be read again, and counts by halves then.
            false => self.telling(before, move |read| read.saturating_sub(kept) / 2),
        };
        let mut looking = Looking::new(self.record.size);
        let read = self.read(&mut looking, &hand, done);
        if looking.is_in_vain() {
            *done = before;
            return match self.hand.cancel.is_cancelled() {
                true => Err(RepositoryError::Cancelled.into()),
                false => Ok(None),
            };
        }
        read?;
        Ok(Some(looking.finish()))
    }

    /// Appends it to an archive. What is read comes through a pipe, as the archive wants to read and the snapshot to
    /// write. Where it is read again, half of it was told already.
    ///
    /// # Errors
    /// As [`Content::look`].
    pub(super) fn append(
        &self,
        tar: &mut tar::Builder<impl Write>,
        member: &mut Member<'_>,
        done: &mut Progress,
        is_again: bool,
    ) -> anyhow::Result<()> {
        let (from, mut to) = io::pipe()?;
        let (map, size) = (member.map, self.record.size);
        let hand = match is_again {
            false => self.hand.clone(),
            true => self.telling(*done, move |read| size - size.saturating_sub(read) / 2),
        };
        let (appended, read) = thread::scope(|scope| {
            let read = scope.spawn(move || match map {
                None => self.read(&mut to, &hand, done),
                Some(map) => self.read(&mut Picking::new(map, &mut to), &hand, done),
            });
            // Not more than the header says, whatever comes; and all of it is taken, or the other end would wait.
            let mut limited = from.take(map.map_or(size, Map::data));
            let all = member.head.chain(&mut limited);
            let appended = tar.append_data(member.header, member.name, all);
            let rest = io::copy(&mut limited.into_inner(), &mut io::sink());
            (appended.and(rest.map(drop)), read.join())
        });
        let Ok(read) = read else {
            bail!("the thread that reads {} panicked", self.record.path);
        };
        read?;
        Ok(appended?)
    }

    fn read(&self, into: &mut dyn Write, hand: &Hand, done: &mut Progress) -> anyhow::Result<()> {
        match differs_of(self.reader, self.entry, self.record, into, hand, done)? {
            None => Ok(()),
            Some(what) => Err(RepositoryError::Damaged { what }.into()),
        }
    }

    /// Tells of this much, for what was read of it.
    fn telling(&self, before: Progress, told: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Hand {
        let progress = Arc::clone(&self.hand.progress);
        let tell = move |now: Progress| {
            let read = now.bytes.saturating_sub(before.bytes);
            progress(Progress {
                files: before.files,
                bytes: before.bytes + told(read),
            });
        };
        Hand {
            cancel: self.hand.cancel.clone(),
            progress: Arc::new(tell),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio_util::sync::CancellationToken;

    use super::{super::write::header, *};
    use crate::{
        backup::{
            read_back::hash_of,
            repository::{EntryKind, Met, Result},
        },
        domain::backup::manifest::SnapshotPath,
    };

    /// A snapshot of one file, and how many MiB of it were read.
    struct One {
        content: Vec<u8>,
        read: AtomicUsize,
    }

    impl SnapshotReader for One {
        fn walk(&self, _: &mut dyn FnMut(Met) -> Result<()>) -> Result<()> {
            Ok(())
        }

        fn entry(&self, _: &SnapshotPath) -> Result<Option<Entry>> {
            Ok(None)
        }

        fn children(
            &self,
            _: &SnapshotPath,
            _: Option<&[u8]>,
            _: usize,
        ) -> Result<Option<Vec<Entry>>> {
            Ok(None)
        }

        fn read(&self, _: &Entry, into: &mut dyn Write, _: &CancellationToken) -> Result<()> {
            for piece in self.content.chunks(1 << 20) {
                self.read.fetch_add(1, Ordering::Relaxed);
                into.write_all(piece)
                    .map_err(|error| RepositoryError::Other {
                        what: error.to_string(),
                        source: None,
                    })?;
            }
            Ok(())
        }
    }

    /// Writes a file into an archive: MiB of it that were read, and whether its holes were left out. What is told of it
    /// goes up to all of it.
    fn write(content: Vec<u8>) -> (usize, bool) {
        let size = content.len() as u64;
        let path = SnapshotPath::from("/sources/a/file");
        let record = FileRecord {
            path: path.clone(),
            size,
            mtime: 0,
            sha256: hash_of(&content),
        };
        let entry = Entry {
            path,
            kind: EntryKind::File,
            size,
            mtime: 0,
            mode: 0o600,
            owner: None,
            shared: None,
            attributes: Vec::new(),
        };
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: Arc::new(move |now: Progress| tell.lock().unwrap().push(now.bytes)),
        };
        let one = One {
            content,
            read: AtomicUsize::new(0),
        };
        let content = Content {
            reader: &one,
            hand: &hand,
            entry: &entry,
            record: &record,
        };
        let mut done = Progress::default();
        let looked = content.look(&mut done).unwrap();
        let is_again = looked.is_some();
        let map = looked.map(|(map, kept)| {
            assert_eq!(kept, None);
            map
        });
        done = Progress::default();
        let mut header = header(map.as_ref().map_or(size, Map::data), 0);
        let mut member = Member {
            header: &mut header,
            name: Path::new("file"),
            head: &[],
            map: map.as_ref(),
        };
        let mut tar = tar::Builder::new(io::sink());
        let appended = content.append(&mut tar, &mut member, &mut done, is_again);
        appended.unwrap();
        assert_eq!((done.files, done.bytes), (1, size));
        let told = told.lock().unwrap();
        assert_eq!(told.last(), Some(&size));
        if is_again {
            assert!(told.is_sorted(), "{told:?}");
        }
        (one.read.load(Ordering::Relaxed), is_again)
    }

    #[test]
    fn a_file_without_holes_is_read_whole_but_once_and_one_with_holes_counts_by_halves() {
        let all = vec![7; 30 << 20];
        // And what it takes to see that there are none.
        assert_eq!(write(all.clone()), (30 + 10, false));
        let holes = vec![0; 10 << 20];
        let with_holes = [&holes[..], &all[..10 << 20], &holes[..]].concat();
        assert_eq!(write(with_holes), (2 * 30, true));
    }
}
