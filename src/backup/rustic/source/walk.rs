//! The walk over all sources: each directory before what is in it, names in the order of their bytes, and no link
//! followed out of a source, whatever is moved meanwhile.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    vec,
};

use rustic_core::{ReadSourceEntry, RusticResult, repofile::Node};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat},
    io::Errno,
};

use super::{
    Root,
    file::{Known, Open},
    ledger::Ledger,
    names, node,
};
use crate::{clock::wall_now, domain::backup::manifest::SnapshotPath};

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
    ledger: Arc<Ledger>,
}

/// A directory that the walk is in.
struct Frame {
    directory: Arc<OwnedFd>,
    names: vec::IntoIter<OsString>,
    path: PathBuf,
    relative: PathBuf,
    /// All in it is wanted.
    included: bool,
    /// Its own entry, as long as nothing in it has been found that is wanted.
    pending: Option<Node>,
}

impl Walk {
    pub(super) fn new(roots: Vec<Root>, ledger: Arc<Ledger>) -> Self {
        Self {
            roots: roots.into_iter(),
            root: None,
            stack: Vec::new(),
            ready: VecDeque::new(),
            above: PathBuf::from("/"),
            ledger,
        }
    }

    fn begin(&mut self, mut root: Root) {
        let path = normal(&root.source.to);
        self.make_up_directories_above(&path);
        let name = path.file_name().unwrap_or_default().to_owned();
        let stat = root.stat;
        match root.opened.take() {
            None => {
                let from = root.source.from.clone().into_os_string();
                self.root = Some(root);
                self.add_file(path, &name, None, from, &stat);
            }
            Some(directory) => {
                let everything = root.globs.includes_everything();
                self.root = Some(root);
                let node = node::directory(&name, &stat);
                self.enter(directory, path, PathBuf::new(), everything, node);
                // It is there, whatever is wanted of it.
                self.flush();
            }
        }
    }

    /// What a source lies in is in the snapshot, and nowhere on a disk.
    fn make_up_directories_above(&mut self, path: &Path) {
        let above = path.parent().unwrap_or(Path::new("/"));
        let mut so_far = PathBuf::from("/");
        for name in above.iter().skip(1) {
            so_far.push(name);
            if !self.above.starts_with(&so_far) {
                let node = node::made_up_directory(name, self.ledger.time);
                self.ledger.add_directory();
                self.ready.push_back(entry(so_far.clone(), node, None));
            }
        }
        self.above = so_far;
    }

    /// Names of what is wanted are read at once: a directory that is changed meanwhile is seen as it was.
    fn enter(
        &mut self,
        directory: OwnedFd,
        path: PathBuf,
        relative: PathBuf,
        included: bool,
        node: Node,
    ) {
        let names = match names_in(&directory) {
            Ok(names) => names,
            Err(error) => {
                self.fail(&path, format!("could not list it: {error}"));
                Vec::new()
            }
        };
        self.stack.push(Frame {
            directory: Arc::new(directory),
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

    /// Something is found that is wanted: so are the directories that it is in.
    fn flush(&mut self) {
        for frame in &mut self.stack {
            if let Some(node) = frame.pending.take() {
                self.ledger.add_directory();
                self.ready.push_back(entry(frame.path.clone(), node, None));
            }
        }
    }

    fn visit(&mut self, name: &OsStr) {
        let (Some(frame), Some(root)) = (self.stack.last(), self.root.as_ref()) else {
            return;
        };
        let directory = Arc::clone(&frame.directory);
        let relative = frame.relative.join(name);
        let path = frame.path.join(name);
        if root.globs.excludes(&relative) {
            return;
        }
        let included = frame.included || root.globs.includes(&relative);
        let may_be_within = included || root.globs.may_include_within(&relative);
        if !may_be_within {
            return;
        }
        let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
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
                    self.add_other(path, node);
                }
                Err(error) => self.fail(&path, format!("could not read the link: {error}")),
            },
            _ => self.add_special(path, name, &stat),
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
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = node::directory(name, stat);
        match openat(directory, name, flags, Mode::empty()) {
            Ok(opened) => self.enter(opened, path, relative, included, node),
            Err(error) => {
                self.fail(&path, format!("could not open it: {error}"));
                if included {
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
        let open = Open::new(Known {
            directory,
            name: opened_as,
            path: in_snapshot(&path),
            size: node::size(stat),
            mtime: node::mtime(stat),
            all_or_nothing: self.all_or_nothing(),
            ledger: Arc::clone(&self.ledger),
        });
        let node = node::file(name, stat, wall_now());
        self.ready.push_back(entry(path, node, Some(open)));
    }

    fn add_special(&mut self, path: PathBuf, name: &OsStr, stat: &Stat) {
        if self
            .root
            .as_ref()
            .is_some_and(|root| root.source.name_special)
        {
            self.fail(
                &path,
                "it is a device, socket or fifo: it is never read".to_owned(),
            );
        }
        if let Some(node) = node::special(name, stat) {
            self.add_other(path, node);
        }
    }

    fn add_other(&mut self, path: PathBuf, node: Node) {
        self.flush();
        self.ledger.add_other();
        self.ready.push_back(entry(path, node, None));
    }

    fn fail(&self, path: &Path, message: String) {
        self.ledger
            .fail(in_snapshot(path), message, self.all_or_nothing());
    }

    fn all_or_nothing(&self) -> bool {
        self.root
            .as_ref()
            .is_some_and(|root| root.source.all_or_nothing)
    }

    /// Whether what a source is called still is there: who takes a whole tree away takes it in the middle of this.
    fn end_of_root(&self) {
        let Some(root) = &self.root else { return };
        let there = rustix::fs::stat(&root.source.from);
        let same =
            there.is_ok_and(|now| (now.st_dev, now.st_ino) == (root.stat.st_dev, root.stat.st_ino));
        let is_directory = FileType::from_raw_mode(root.stat.st_mode) == FileType::Directory;
        if !same && is_directory {
            let message = format!(
                "{} disappeared while it was read",
                root.source.from.display()
            );
            self.fail(&normal(&root.source.to), message);
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

fn names_in(directory: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory.as_fd())? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn entry(path: PathBuf, node: Node, open: Option<Open>) -> Entry {
    ReadSourceEntry { path, node, open }
}

fn in_snapshot(path: &Path) -> SnapshotPath {
    SnapshotPath(path.as_os_str().as_bytes().to_vec())
}

/// Without slashes that are there twice or at the end.
fn normal(path: &SnapshotPath) -> PathBuf {
    let mut normal = PathBuf::from("/");
    normal.extend(names(path).map(OsStr::from_bytes));
    normal
}
