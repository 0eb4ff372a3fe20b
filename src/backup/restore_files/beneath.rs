//! A directory, and what is opened and made beneath it: never through a link, wherever that came from meanwhile.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, openat2},
    io::Errno,
};

use crate::{backup::removing::DIRECTORY, domain::backup::manifest::SnapshotPath};

/// Bytes of a path that the kernel takes at once; longer ones are walked part by part.
const PATH_BYTES: usize = 4000;
/// How often a look is begun anew that something was moved in.
const LOOKS: u32 = 16;

/// A directory that is open.
#[derive(Debug)]
pub(in crate::backup) struct Beneath {
    root: OwnedFd,
    /// Whether the kernel walks a whole path at once.
    at_once: AtomicBool,
}

impl Beneath {
    pub(in crate::backup) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            at_once: AtomicBool::new(true),
        }
    }

    /// Opens a directory by its path, which is followed as it is configured.
    ///
    /// # Errors
    /// Where it is none.
    pub(in crate::backup) fn at(path: &std::path::Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(rustix::fs::CWD, path, flags, Mode::empty())?;
        Ok(Self::new(root))
    }

    /// Sees to it that all that was written beneath it since it was opened is on the disk.
    ///
    /// # Errors
    /// Where the disk fails, or has failed since then.
    pub(in crate::backup) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// Where it is not there, is none, or a link is on the way.
    pub(in crate::backup) fn open(&self, parts: &[&[u8]]) -> io::Result<OwnedFd> {
        if parts.is_empty() {
            return Ok(openat(&self.root, ".", DIRECTORY, Mode::empty())?);
        }
        let path = parts.join(&b'/');
        if path.len() <= PATH_BYTES && self.at_once.load(Ordering::Relaxed) {
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            for _ in 0..LOOKS {
                let path = path.as_slice();
                match openat2(&self.root, path, DIRECTORY, Mode::empty(), resolve) {
                    Err(Errno::AGAIN) => {}
                    // An old kernel does not know it, and a filter may refuse it.
                    Err(Errno::NOSYS | Errno::PERM) => {
                        self.at_once.store(false, Ordering::Relaxed);
                        break;
                    }
                    opened => return Ok(opened?),
                }
            }
        }
        self.by_parts(parts, |directory, part| {
            openat(directory, part, DIRECTORY, Mode::empty())
        })
    }

    /// Opens a directory, and makes it and those above it where they are not there.
    ///
    /// # Errors
    /// As [`Self::open`], and where one cannot be made.
    pub(in crate::backup) fn make(&self, parts: &[&[u8]]) -> io::Result<OwnedFd> {
        match self.open(parts) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        self.by_parts(parts, |directory, part| {
            match mkdirat(directory, part, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            openat(directory, part, DIRECTORY, Mode::empty())
        })
    }

    fn by_parts(
        &self,
        parts: &[&[u8]],
        step: impl Fn(&OwnedFd, &[u8]) -> Result<OwnedFd, Errno>,
    ) -> io::Result<OwnedFd> {
        let mut directory: Option<OwnedFd> = None;
        for part in parts {
            directory = Some(step(directory.as_ref().unwrap_or(&self.root), part)?);
        }
        match directory {
            Some(directory) => Ok(directory),
            None => self.open(&[]),
        }
    }
}

/// The names that a path of a snapshot is made of; none where one of them leads elsewhere.
pub(in crate::backup) fn parts(path: &SnapshotPath) -> Option<Vec<&[u8]>> {
    let parts = path.as_bytes().split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty()).collect();
    let leads_elsewhere = |part: &&[u8]| matches!(*part, b"." | b"..") || part.contains(&0);
    (!parts.iter().any(leads_elsewhere)).then_some(parts)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nothing_is_opened_or_made_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        symlink(outside.path(), folder.path().join("link")).unwrap();
        symlink("a", folder.path().join("inside")).unwrap();
        for at_once in [true, false] {
            let beneath = Beneath::at(folder.path()).unwrap();
            beneath.at_once.store(at_once, Ordering::Relaxed);
            beneath.open(&[b"a", b"b"]).unwrap();
            beneath.open(&[]).unwrap();
            beneath.make(&[b"a", b"c", b"d"]).unwrap();
            for wrong in ["link", "inside"] {
                beneath.open(&[wrong.as_bytes()]).unwrap_err();
                beneath.make(&[wrong.as_bytes(), b"x"]).unwrap_err();
            }
        }
        assert!(folder.path().join("a/c/d").is_dir());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn paths_longer_than_the_kernel_takes_are_walked() {
        let folder = tempfile::tempdir().unwrap();
        let beneath = Beneath::at(folder.path()).unwrap();
        let name = [b'n'; 200];
        let parts = vec![name.as_slice(); 40];
        beneath.make(&parts).unwrap();
        beneath.open(&parts).unwrap();
        // What removes it goes by paths, too.
        let mut at = folder.path().to_owned();
        at.push(std::str::from_utf8(&name).unwrap());
        fs::remove_dir_all(at).unwrap();
    }

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        assert_eq!(
            parts(&"/a//b".into()).unwrap(),
            [b"a".as_slice(), b"b".as_slice()]
        );
        for wrong in ["/a/../b", "/.", "/a\0b"] {
            assert_eq!(parts(&wrong.into()), None, "{wrong:?}");
        }
    }
}
