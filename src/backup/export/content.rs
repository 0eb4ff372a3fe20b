//! The content of a file on its way from the snapshot into an export: hashed, and compared with the manifest.

use std::{
    io::{self, Read as _, Write},
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::bail;
use tar::Header;

use super::holes::{Looking, Map, Picking};
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
    /// Reads it for its holes. Answers its data as well, where that is little.
    ///
    /// # Errors
    /// What cannot be read, or is not what it was.
    pub(super) fn look(&self, done: &mut Progress) -> anyhow::Result<(Map, Option<Vec<u8>>)> {
        let mut looking = Looking::new();
        self.read(&mut looking, self.hand, done)?;
        Ok(looking.finish())
    }

    /// Appends it to an archive. What is read comes through a pipe, as the archive wants to read and the snapshot to
    /// write. It counts where it was not read before.
    ///
    /// # Errors
    /// As [`Content::look`].
    pub(super) fn append(
        &self,
        tar: &mut tar::Builder<impl Write>,
        member: &mut Member<'_>,
        done: Option<&mut Progress>,
    ) -> anyhow::Result<()> {
        let (from, mut to) = io::pipe()?;
        let map = member.map;
        let (appended, read) = thread::scope(|scope| {
            let read = scope.spawn(move || {
                let quiet = self.quiet();
                let (mut unseen, is_first) = (Progress::default(), done.is_some());
                let hand = if is_first { self.hand } else { &quiet };
                let done = done.unwrap_or(&mut unseen);
                match map {
                    None => self.read(&mut to, hand, done),
                    Some(map) => self.read(&mut Picking::new(map, &mut to), hand, done),
                }
            });
            // Not more than the header says, whatever comes; and all of it is taken, or the other end would wait.
            let mut limited = from.take(map.map_or(self.record.size, Map::data));
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

    fn quiet(&self) -> Hand {
        Hand {
            cancel: self.hand.cancel.clone(),
            progress: Arc::new(|_| ()),
        }
    }
}
