//! The files that are backed up: half of each compresses well, half not at all, as documents do; and among them what a real
//! tree has besides: links, owners, modes, old times, attributes and holes.

mod compare;

use std::{
    fs::{self, FileTimes, Permissions},
    os::unix::fs::{FileExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use rustix::fs::{XattrFlags, setxattr};

/// An attribute that one file in twenty has.
const ATTRIBUTE: &str = "user.origin";
/// How much longer than the others a file with a hole is.
const HOLE: usize = 2;
/// Before 1970, as of scans and of archives of old: the ninth of July 1969.
const OLD: Duration = Duration::from_secs(15_120_000);

/// What a file is, by its number: so many of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// 91, one of which has a hole.
    Plain,
    Sparse,
    /// Five symbolic links, one of which leads nowhere.
    Link,
    Dangling,
    /// Three further names of the file before.
    Name,
}

impl Sort {
    fn of(number: usize) -> Self {
        match number % 100 {
            19 => Self::Sparse,
            7 | 27 | 47 | 67 => Self::Link,
            87 => Self::Dangling,
            13 | 53 | 93 => Self::Name,
            _ => Self::Plain,
        }
    }

    fn has_content(self) -> bool {
        matches!(self, Self::Plain | Self::Sparse)
    }
}

/// Of one file in twenty, where the runner may give files away.
fn owner(number: usize) -> Option<u32> {
    let is_foreign = number % 20 == 3 && rustix::process::geteuid().is_root();
    is_foreign.then_some(1_000 + number as u32 % 7)
}

/// A program that runs as its owner or as its group: one of a hundred each.
fn mode(number: usize) -> Option<u32> {
    match number % 100 {
        23 => Some(0o4755),
        33 => Some(0o2755),
        _ => None,
    }
}

/// Two of a hundred.
fn is_old(number: usize) -> bool {
    matches!(number % 100, 31 | 61)
}

/// One in twenty.
fn has_attribute(number: usize) -> bool {
    number % 20 == 17
}

/// A set of files below one folder.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) count: usize,
    size: usize,
}

impl Files {
    /// Makes `count` files of `mib` MiB together, in folders of a hundred.
    pub(super) fn make(folder: PathBuf, count: usize, mib: usize) -> anyhow::Result<Self> {
        let size = mib * (1 << 20) / count;
        let files = Self {
            folder,
            count,
            size,
        };
        for number in 0..count {
            files.write(number, 0)?;
            let dressed = files.dress(number);
            dressed.with_context(|| files.path(number).display().to_string())?;
        }
        Ok(files)
    }

    /// Changes one file in a hundred.
    pub(super) fn change(&self, version: u64) -> anyhow::Result<()> {
        for number in (0..self.count).step_by(100) {
            self.write(number, version)?;
        }
        Ok(())
    }

    /// Gives every file other contents.
    pub(super) fn renew(&self, version: u64) -> anyhow::Result<()> {
        for number in 0..self.count {
            self.write(number, version)?;
        }
        Ok(())
    }

    /// Writes what has a content of its own; else makes the link, where it is not there.
    fn write(&self, number: usize, version: u64) -> anyhow::Result<()> {
        let path = self.path(number);
        let written = self.write_to(&path, number, version);
        written.with_context(|| format!("could not write {}", path.display()))
    }

    fn write_to(&self, path: &Path, number: usize, version: u64) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let sort = Sort::of(number);
        if !sort.has_content() {
            if path.symlink_metadata().is_err() {
                match sort {
                    Sort::Name => fs::hard_link(self.path(number - 1), path)?,
                    _ => symlink(target(number), path)?,
                }
            }
            return Ok(());
        }
        let bytes = self.content(number, version);
        if sort == Sort::Plain {
            return Ok(fs::write(path, bytes)?);
        }
        let file = fs::File::create(path)?;
        let (begin, end) = bytes.split_at(bytes.len() / 2);
        file.write_all_at(begin, 0)?;
        let behind = self.size * HOLE - end.len();
        Ok(file.write_all_at(end, behind as u64)?)
    }

    fn content(&self, number: usize, version: u64) -> Vec<u8> {
        let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ version.wrapping_mul(0xd134_2543_de82_ef95);
        let mut bytes = Vec::with_capacity(self.size);
        while bytes.len() < self.size / 2 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_be_bytes());
        }
        while bytes.len() < self.size {
            let line = format!(
                "line {} of document {number}, version {version}\n",
                bytes.len()
            );
            bytes.extend_from_slice(line.as_bytes());
        }
        bytes.truncate(self.size);
        bytes
    }

    /// Gives a file what it has besides its content.
    fn dress(&self, number: usize) -> anyhow::Result<()> {
        let path = self.path(number);
        if !Sort::of(number).has_content() {
            return Ok(());
        }
        if let Some(owner) = owner(number) {
            chown(&path, Some(owner), Some(owner))?;
        }
        // After the owner, which takes it away.
        if let Some(mode) = mode(number) {
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        if has_attribute(number) {
            let value = origin(number);
            let set = setxattr(&path, ATTRIBUTE, value.as_bytes(), XattrFlags::empty());
            set.context("the file system keeps no extended attributes")?;
        }
        if is_old(number) {
            let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH - OLD);
            fs::File::options()
                .write(true)
                .open(&path)?
                .set_times(times)?;
        }
        Ok(())
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder
            .join(format!("{:03}", number / 100))
            .join(format!("{number:05}"))
    }
}

/// Where a symbolic link leads, from its own folder.
fn target(number: usize) -> PathBuf {
    match Sort::of(number) {
        Sort::Dangling => PathBuf::from("gone/for/good"),
        _ => PathBuf::from(format!("{:05}", number - 1)),
    }
}

fn origin(number: usize) -> String {
    format!("scanner {} of the third floor", number % 5)
}

/// How many files lie below a folder, and their bytes.
pub(super) fn count(folder: &Path) -> anyhow::Result<(usize, u64)> {
    let (mut files, mut bytes) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let read = || format!("could not read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(read)? {
            let entry = entry.with_context(read)?;
            let about = entry.metadata().with_context(read)?;
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
                bytes += about.len();
            }
        }
    }
    Ok((files, bytes))
}
