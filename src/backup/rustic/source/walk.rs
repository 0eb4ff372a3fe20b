//! The walk over all sources: each directory before what is in it, names in the order of their bytes, and no link
//! followed out of a source, whatever is moved meanwhile.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    vec,
};

use jiff::SignedDuration;
use rustic_core::{ReadSourceEntry, RusticResult, repofile::Node};
use rustix::fs::{AtFlags, FileType, Stat, fstat, readlinkat, statat};

use super::{
    Root,
    again::can_be_merged,
    attributes::{self, Of},
    directories_above,
    file::{Chance, Known, Open, Subject},
    in_snapshot,
    ledger::Ledger,
    listing::{Listing, Name, list},
    names, node,
    restless::{Gone, Listed},
    seen::{self, Seen, grain_of, grain_of_path},
};
use crate::clock::wall_now;

/// Directories below each other: each of them is open while the walk is in it.
const DEPTH_AT_MOST: usize = 256;

type Entry = ReadSourceEntry<Open>;

pub(in super::super) struct Walk {
    roots: vec::IntoIter<Root>,
    root: Option<Root>,
    stack: Vec<Frame>,
    ready: VecDeque<Entry>,
    /// The made-up directories that the walk is in.
    above: PathBuf,
    /// How coarse times are on the device that was last looked at.
    grain: Option<(u64, SignedDuration)>,
    /// Directories of the source that the walk is in.
    listed: Vec<Listed>,
    /// Whether no name above any source is in the way of [`can_be_merged`].
    can_be_merged: bool,
    ledger: Arc<Ledger>,
}

/// A directory that the walk is in.
struct Frame {
    directory: Arc<OwnedFd>,
    names: vec::IntoIter<Name>,
    path: PathBuf,
    relative: PathBuf,
    /// All in it is wanted.
    included: bool,
    /// Whether its tree can be merged with another.
    can_be_merged: bool,
    /// Its own entry, as long as nothing in it has been found that is wanted.
    pending: Option<Node>,
}

impl Walk {
    pub(super) fn new(roots: Vec<Root>, ledger: Arc<Ledger>) -> Self {
        let can_be_merged = roots
            .iter()
            .flat_map(|root| names(&root.source.to))
            .all(|name| can_be_merged(OsStr::from_bytes(name)));
        Self {
            roots: roots.into_iter(),
            root: None,
            grain: None,
            listed: Vec::new(),
            can_be_merged,
            stack: Vec::new(),
            ready: VecDeque::new(),
            above: PathBuf::from("/"),
            ledger,
        }
    }

    fn begin(&mut self, mut root: Root) {
        let (place, stat) = (Arc::clone(&root.place), root.stat);
        let (opened, everything) = (root.opened.take(), root.globs.includes_everything());
        self.root = Some(root);
        self.make_up_directories_above(&place.to);
        let path = place.to.clone();
        let name = place.to.file_name().unwrap_or_default();
        match opened {
            None => {
                let from = place.from.clone().into_os_string();
                self.add_file(path, name, None, from, &stat);
            }
            Some(directory) => {
                self.enter(directory, name, path, PathBuf::new(), everything, &stat);
                // It is there, whatever is wanted of it.
                self.flush();
            }
        }
    }

    /// What a source lies in is in the snapshot, and nowhere on a disk.
    fn make_up_directories_above(&mut self, path: &Path) {
        for path in directories_above(path, &mut self.above) {
            let name = path.file_name().unwrap_or_default();
            let node = node::made_up_directory(name, self.ledger.time);
            self.ledger.add_directory();
            self.ready.push_back(entry(path, node, None));
        }
    }

    /// Names of what is wanted are read at once: a directory that is changed meanwhile is seen as it was. What was
    /// opened says what it is.
    fn enter(
        &mut self,
        directory: OwnedFd,
        name: &OsStr,
        path: PathBuf,
        relative: PathBuf,
        included: bool,
        listed: &Stat,
    ) {
        let stat = fstat(&directory).unwrap_or(*listed);
        let mut node = node::directory(name, &stat);
        self.read_attributes(&path, &Of::Open(&directory), &mut node);
        let at = wall_now();
        let Listing { names, state } = list(&directory).unwrap_or_else(|error| {
            self.fail(&path, format!("could not list it: {error}"));
            Listing::default()
        });
        let can_be_merged =
            self.may_be_merged() && names.iter().all(|(name, _)| can_be_merged(name));
        // One that changed a moment ago could change once more and look the same.
        let grain = self.grain(&stat, Some(&directory), Path::new(""));
        let state = state.filter(|state| !seen::is_fresh(state, grain, at));
        let seen = Listed::new(&relative, &stat, state.as_ref(), at, can_be_merged);
        self.listed.push(seen);
        self.stack.push(Frame {
            directory: Arc::new(directory),
            can_be_merged,
            names: names.into_iter(),
            path,
            relative,
            included,
            pending: Some(node),
        });
        if included {
            self.flush();
        }
    }

    /// Whether the tree that the walk is in can be merged with another.
    fn may_be_merged(&self) -> bool {
        self.stack
            .last()
            .map_or(self.can_be_merged, |frame| frame.can_be_merged)
    }

    /// Something is found that is wanted: so are the directories that it is in.
    fn flush(&mut self) {
        for frame in &mut self.stack {
            if let Some(node) = frame.pending.take() {
                self.ledger.add_directory();
                self.ready.push_back(entry(frame.path.clone(), node, None));
            }
        }
    }

    fn visit(&mut self, (name, is_directory): &Name) {
        let (Some(frame), Some(root)) = (self.stack.last(), self.root.as_ref()) else {
            return;
        };
        let directory = Arc::clone(&frame.directory);
        let relative = frame.relative.join(name);
        let path = frame.path.join(name);
        let look = || statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let (is_directory, stat) = match is_directory {
            Some(is_directory) => (*is_directory, None),
            None => {
                let found = look();
                let is_directory = found.as_ref().is_ok_and(is_directory_by);
                (is_directory, Some(found))
            }
        };
        if root.globs.excludes(&relative, is_directory) {
            return;
        }
        let included = root.globs.includes(&relative, is_directory);
        let included = included.or(frame.included);
        let may_be_within = included || root.globs.may_include_within(&relative);
        if !may_be_within {
            return;
        }
        let stat = match stat.unwrap_or_else(look) {
            Ok(stat) => stat,
            Err(error) => return self.fail(&path, format!("could not look at it: {error}")),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.descend(&directory, name, path, relative, included, &stat),
            _ if !included => {}
            FileType::RegularFile => {
                self.add_file(path, name, Some(directory), name.to_owned(), &stat);
            }
            FileType::Symlink => match readlinkat(&directory, name, Vec::new()) {
                Ok(target) => {
                    let node = node::link(name, &stat, target.as_bytes());
                    self.add_other(path, &directory, name, node);
                }
                Err(error) => self.fail(&path, format!("could not read the link: {error}")),
            },
            _ => self.add_special(path, &directory, name, &stat),
        }
    }

    fn descend(
        &mut self,
        directory: &OwnedFd,
        name: &OsStr,
        path: PathBuf,
        relative: PathBuf,
        included: bool,
        stat: &Stat,
    ) {
        if self.stack.len() >= DEPTH_AT_MOST {
            return self.fail(
                &path,
                format!("directories are {DEPTH_AT_MOST} deep here: it was not entered"),
            );
        }
        let Some(root) = &self.root else { return };
        match root.open_below(directory, name) {
            Ok(opened) => self.enter(opened, name, path, relative, included, stat),
            Err(why) => {
                self.fail(&path, why);
                if included {
                    let mut node = node::directory(name, stat);
                    self.read_attributes(&path, &Of::Named(directory, name), &mut node);
                    self.flush();
                    self.ledger.add_directory();
                    self.ready.push_back(entry(path, node, None));
                }
            }
        }
    }

    fn add_file(
        &mut self,
        path: PathBuf,
        name: &OsStr,
        directory: Option<Arc<OwnedFd>>,
        opened_as: OsString,
        stat: &Stat,
    ) {
        self.flush();
        let Some(root) = &self.root else { return };
        let place = Arc::clone(&root.place);
        let grain = self.grain(stat, directory.as_deref(), &place.from);
        let mut node = node::file(name, stat, seen::is_fresh(stat, grain, wall_now()));
        let of = match &directory {
            Some(directory) => Of::Named(directory, name),
            None => Of::Path(&place.from),
        };
        self.read_attributes(&path, &of, &mut node);
        let chance = match self.may_be_merged() {
            true => Chance::First,
            false => Chance::Only,
        };
        let open = Open::new(Known {
            subject: Subject {
                place,
                path: path.clone(),
                chance,
                ledger: Arc::clone(&self.ledger),
            },
            directory,
            name: opened_as,
            seen: Seen::of(stat),
            grain,
        });
        self.ready.push_back(entry(path, node, Some(open)));
    }

    /// How coarse the times of a file are, by the device that it is on.
    fn grain(&mut self, stat: &Stat, directory: Option<&OwnedFd>, from: &Path) -> SignedDuration {
        if let Some((device, grain)) = self.grain
            && device == stat.st_dev
        {
            return grain;
        }
        let grain = match directory {
            Some(directory) => grain_of(directory),
            None => grain_of_path(from),
        };
        self.grain = Some((stat.st_dev, grain));
        grain
    }

    /// What cannot be read of them is missing, and the entry is not.
    fn read_attributes(&self, path: &Path, of: &Of<'_>, node: &mut Node) {
        if let Err(why) = attributes::read(of, &mut node.meta) {
            self.fail(path, why);
        }
    }

    fn add_special(&mut self, path: PathBuf, directory: &OwnedFd, name: &OsStr, stat: &Stat) {
        if self
            .root
            .as_ref()
            .is_some_and(|root| root.source.name_special)
        {
            self.ledger.add_special(in_snapshot(&path));
        }
        if let Some(node) = node::special(name, stat) {
            self.add_other(path, directory, name, node);
        }
    }

    fn add_other(&mut self, path: PathBuf, directory: &OwnedFd, name: &OsStr, mut node: Node) {
        self.flush();
        self.ledger.add_other();
        self.read_attributes(&path, &Of::Named(directory, name), &mut node);
        self.ready.push_back(entry(path, node, None));
    }

    fn fail(&self, path: &Path, message: String) {
        self.ledger
            .fail(in_snapshot(path), message, self.all_or_nothing());
    }

    fn all_or_nothing(&self) -> bool {
        self.root
            .as_ref()
            .is_some_and(|root| root.place.all_or_nothing)
    }

    /// Whether what a source is called still is there: who takes a whole tree away takes it in the middle of this.
    fn end_of_root(&mut self) {
        let Some(root) = &self.root else { return };
        let directories = std::mem::take(&mut self.listed);
        // What is all or nothing is the server's own, and looked at otherwise.
        if !root.place.all_or_nothing {
            self.ledger.add_gone(Gone {
                place: Arc::clone(&root.place),
                globs: Arc::clone(&root.globs),
                directories,
            });
        }
        let there = rustix::fs::stat(&root.source.from);
        let same =
            there.is_ok_and(|now| (now.st_dev, now.st_ino) == (root.stat.st_dev, root.stat.st_ino));
        if !same && is_directory_by(&root.stat) {
            let message = format!(
                "{} disappeared while it was read",
                root.source.from.display()
            );
            self.fail(&root.place.to, message);
        }
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
            if let Some(frame) = self.stack.last_mut() {
                match frame.names.next() {
                    Some(name) => self.visit(&name),
                    None => drop(self.stack.pop()),
                }
                continue;
            }
            self.end_of_root();
            self.root = None;
            let root = self.roots.next()?;
            self.begin(root);
        }
    }
}

fn is_directory_by(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

pub(super) fn entry(path: PathBuf, node: Node, open: Option<Open>) -> Entry {
    ReadSourceEntry { path, node, open }
}
