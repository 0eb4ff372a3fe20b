//! Disks of a test's own: one that is small, and folders that nobody can write to. Only root can make
//! them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Something mounted. Dropped, it is taken off again.
#[derive(Debug)]
pub(super) struct Mount {
    path: PathBuf,
}

impl Mount {
    /// A disk in memory; none, with a word, where this machine does not let us.
    pub(super) fn small_disk(path: &Path, bytes: u32) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        Self::make(
            &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"],
            path,
        )
    }

    /// The file or folder as it is, but read-only: permissions do not stop root.
    pub(super) fn read_only(path: &Path) -> Option<Self> {
        let itself = path.to_string_lossy();
        let mount = Self::make(&["--bind", &itself], path)?;
        mount_by(&["-o", "remount,ro,bind"], path).then_some(mount)
    }

    fn make(args: &[&str], path: &Path) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() || !mount_by(args, path) {
            eprintln!("not tested here, since only root may mount: mount {args:?} {path:?}");
            return None;
        }
        Some(Self {
            path: path.to_owned(),
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

fn mount_by(args: &[&str], path: &Path) -> bool {
    let mounted = Command::new("mount").args(args).arg(path).output();
    mounted.is_ok_and(|done| done.status.success())
}
