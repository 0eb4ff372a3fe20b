//! Records of the parent's files, which the server has: they come when they are asked for.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, MutexGuard, mpsc::Receiver},
};

use anyhow::bail;

use super::{
    super::gate::lock,
    served::Link,
    wire::{Said, Told},
};
use crate::{
    backup::repository::{EachRecord, Records},
    domain::backup::manifest::FileRecord,
};

/// The parent's records, which the server has.
pub(super) struct Theirs {
    pub(super) link: Arc<Link>,
}

/// Records as they come. Nothing may be asked of the server while they do: it tells them all before it hears more.
struct Coming<'a> {
    records: MutexGuard<'a, Receiver<Told>>,
    some: VecDeque<FileRecord>,
    is_over: bool,
}

impl Records for Theirs {
    fn all(&self) -> anyhow::Result<EachRecord<'_>> {
        let records = lock(&self.link.records);
        self.link.say(&Said::Records)?;
        Ok(Box::new(Coming {
            records,
            some: VecDeque::new(),
            is_over: false,
        }))
    }
}

impl fmt::Debug for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Theirs").finish_non_exhaustive()
    }
}

impl Coming<'_> {
    /// What comes next of them; none at the end.
    fn more(&mut self) -> anyhow::Result<Option<Vec<FileRecord>>> {
        if self.is_over {
            return Ok(None);
        }
        match self.records.recv() {
            Ok(Told::Records(some)) => Ok(Some(some)),
            Ok(Told::RecordsEnd { whole: true }) => {
                self.is_over = true;
                Ok(None)
            }
            _ => {
                self.is_over = true;
                bail!("not all records of the parent came");
            }
        }
    }
}

impl Iterator for Coming<'_> {
    type Item = anyhow::Result<FileRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.some.pop_front() {
                return Some(Ok(record));
            }
            match self.more().transpose()? {
                Ok(some) => self.some = some.into(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Drop for Coming<'_> {
    /// What was asked for comes to its end, also where no more of it is wanted.
    fn drop(&mut self) {
        while let Ok(Some(_)) = self.more() {}
    }
}
