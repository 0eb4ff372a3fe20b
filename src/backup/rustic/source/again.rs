//! Files that were changed while they were read, read once more: they become a small tree of their own, which is
//! merged into that of all the others.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    vec,
};

use rustic_core::{ReadSource, ReadSourceEntry, RusticResult};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{
    super::gate::lock,
    attributes, directories_above,
    file::{Chance, Late, Open, Subject, Trouble, at_rest, open_for_reading},
    in_snapshot,
    ledger::Ledger,
    node,
    seen::{Seen, grain_of},
    walk::entry,
};

type Entry = ReadSourceEntry<Open>;

/// See the file's beginning.
pub(in super::super) struct Again {
    /// Taken by the one walk over them.
    late: Mutex<Vec<Late>>,
    ledger: Arc<Ledger>,
}

/// Goes from file to file, with the directories above each.
pub(in super::super) struct Walk {
    late: vec::IntoIter<Late>,
    ready: VecDeque<Entry>,
    above: PathBuf,
    ledger: Arc<Ledger>,
}

impl Again {
    pub(in super::super) fn new(late: Vec<Late>, ledger: Arc<Ledger>) -> Self {
        Self {
            late: Mutex::new(late),
            ledger,
        }
    }
}

impl ReadSource for Again {
    type Open = Open;
    type Iter = Walk;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Walk {
        Walk {
            late: std::mem::take(&mut *lock(&self.late)).into_iter(),
            ready: VecDeque::new(),
            above: PathBuf::from("/"),
            ledger: Arc::clone(&self.ledger),
        }
    }
}

/// Whether trees with such a name beside others can be merged. The library compares names as they are written in a
/// snapshot, and these are written otherwise than they are.
pub(super) fn can_be_merged(name: &OsStr) -> bool {
    let odd = |character: char| matches!(character, '\\' | '"' | '\x07'..='\x0d');
    name.to_str().is_some_and(|name| !name.contains(odd))
}

impl Walk {
    fn visit(&mut self, late: Late) {
        self.ledger.begin_file();
        let subject = Subject {
            place: late.place,
            path: late.path,
            chance: Chance::Second,
            ledger: Arc::clone(&self.ledger),
        };
        match self.open(subject) {
            Ok(file) => {
                for path in directories_above(&file.path, &mut self.above) {
                    let node = node::directory_above(path.file_name().unwrap_or_default());
                    self.ready.push_back(entry(path, node, None));
                }
                self.ready.push_back(file);
            }
            Err((subject, trouble)) => subject.tell(trouble),
        }
    }

    fn open(&self, subject: Subject) -> Result<Entry, (Subject, Trouble)> {
        let opened = open(&subject).and_then(|file| {
            let stat = at_rest(&file, grain_of(&file), &self.ledger)?;
            Ok((file, stat))
        });
        let (file, stat) = match opened {
            Ok(opened) => opened,
            Err(trouble) => return Err((subject, trouble)),
        };
        let path = subject.path.clone();
        let mut node = node::file(path.file_name().unwrap_or_default(), &stat, false);
        if let Err(why) = attributes::read(&attributes::Of::Open(&file), &mut node.meta) {
            let all_or_nothing = subject.place.all_or_nothing;
            self.ledger.fail(in_snapshot(&path), why, all_or_nothing);
        }
        let open = Some(Open::again(subject, file, Seen::of(&stat)));
        Ok(entry(path, node, open))
    }
}

impl Iterator for Walk {
    type Item = RusticResult<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.ledger.is_to_stop() {
                return None;
            }
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            let late = self.late.next()?;
            self.visit(late);
        }
    }
}

/// Opens it by its names below where its source begins; no link among them is followed.
fn open(subject: &Subject) -> Result<std::os::fd::OwnedFd, Trouble> {
    let place = &subject.place;
    let below = subject
        .path
        .strip_prefix(&place.to)
        .unwrap_or(Path::new(""));
    let Some(name) = below.file_name() else {
        return open_for_reading(None, &place.from.clone().into_os_string());
    };
    let failed = |error: rustix::io::Errno| match error {
        rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP => {
            Trouble::Changed("a directory above it is gone")
        }
        error => Trouble::Failed(format!("could not open a directory above it: {error}")),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = openat(CWD, &place.from, flags, Mode::empty()).map_err(failed)?;
    for name in below.parent().unwrap_or(Path::new("")) {
        let flags = flags | OFlags::NOFOLLOW;
        directory = openat(&directory, name, flags, Mode::empty()).map_err(failed)?;
    }
    open_for_reading(Some(&directory), &name.to_owned())
}
