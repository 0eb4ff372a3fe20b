//! Disks of a test's own: one that is small, and files and folders that nobody can write to.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::skip;

/// Something mounted, which only root can. Dropped, it is taken off again.
#[derive(Debug)]
pub(crate) struct Mount {
    path: PathBuf,
}

/// A file or folder that is read-only until this is dropped.
#[derive(Debug)]
pub(crate) enum ReadOnly {
    /// Permissions do not stop root.
    Mount {
        _mount: Mount,
    },
    Mode {
        path: PathBuf,
        before: Permissions,
    },
}

impl Mount {
    /// A disk in memory; none, with a word, where this machine does not let us.
    pub(crate) fn small_disk(path: &Path, bytes: u32) -> Option<Self> {
        fs::create_dir(path).unwrap();
        Self::make(
            &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"],
            path,
        )
    }

    fn make(args: &[&str], path: &Path) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() || !mount(args, path) {
            let what = format!("what is mounted at {}", path.display());
            skip(&what, "this needs a root who may mount");
            return None;
        }
        Some(Self {
            path: path.to_owned(),
        })
    }
}

impl ReadOnly {
    /// None, with a word, where this machine does not let us.
    pub(crate) fn make(path: &Path) -> Option<Self> {
        if nix::unistd::geteuid().is_root() {
            let made = Mount::make(&["--bind", &path.to_string_lossy()], path)?;
            assert!(mount(&["-o", "remount,ro,bind"], path));
            return Some(Self::Mount { _mount: made });
        }
        let before = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, Permissions::from_mode(before.mode() & 0o555)).unwrap();
        Some(Self::Mode {
            path: path.to_owned(),
            before,
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let taken_off = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
        if !taken_off.is_ok_and(|status| status.success()) {
            eprintln!("could not unmount {}", self.path.display());
        }
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if let Self::Mode { path, before } = self {
            // Without this its folder cannot be removed.
            let _ = fs::set_permissions(path, before.clone());
        }
    }
}

fn mount(args: &[&str], path: &Path) -> bool {
    let mounted = Command::new("mount").args(args).arg(path).output();
    mounted.is_ok_and(|done| done.status.success())
}
