//! Cgroups for what is started, where the server's own is delegated to it.
//!
//! That is so below systemd with `Delegate=yes`, and where the directory belongs to the server's user. The server then
//! moves itself into a leaf first, as a cgroup with controllers may hold either processes or cgroups. Elsewhere there
//! are none, and the launcher alone sees to it that nothing is left.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::{info, warn};

/// The leaf in which the server is.
const LEAF: &str = "watchbell-server";
/// What the name of a cgroup of something started begins with.
const STARTED: &str = "watchbell-run-";
/// What systemd sets on a cgroup that it leaves to its service.
const DELEGATED: [&str; 2] = ["trusted.delegate", "user.delegate"];

/// The place where cgroups may be made; cheap to clone.
#[derive(Clone, Debug)]
pub struct Cgroups(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Those that nobody holds any more; something may have been left in them.
    left: Mutex<Vec<PathBuf>>,
}

/// A cgroup of something that was started. Dropped, it is removed when the next one is made or removed.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    of: Cgroups,
}

impl Cgroups {
    /// Moves this process into a leaf of its cgroup, if that is delegated. Blocks.
    pub fn settle() -> Option<Self> {
        let root = delegated(&own()?)?;
        let settled = settle_below(&root);
        match settled {
            Ok(()) => {
                info!("commands get cgroups below {}", root.display());
                Some(Self(Arc::new(Inner {
                    root,
                    left: Mutex::default(),
                })))
            }
            Err(error) => {
                warn!(%error, "the cgroup {} is delegated, and cannot be used", root.display());
                None
            }
        }
    }

    /// Makes a cgroup. Blocks.
    pub(super) fn make(&self, name: &str) -> io::Result<Cgroup> {
        self.remove_left();
        let path = self.0.root.join(format!("{STARTED}{name}"));
        fs::create_dir(&path)?;
        Ok(Cgroup {
            path,
            of: self.clone(),
        })
    }

    /// Removes those of which the last process has ended. Blocks.
    fn remove_left(&self) {
        let mut left = std::mem::take(&mut *self.left());
        left.retain(|path| fs::remove_dir(path).is_err() && path.exists());
        self.left().extend(left);
    }

    fn left(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cgroup {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and those before it of which the last process has ended since. Blocks.
    pub(super) fn remove(self) {
        let of = self.of.clone();
        drop(self);
        of.remove_left();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.of.left().push(std::mem::take(&mut self.path));
    }
}

/// Kills all that is in a cgroup that was made here. Blocks.
pub(super) fn kill(path: &Path) {
    let made_here = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(STARTED));
    if made_here {
        // Where it is there no more, there is nothing to kill.
        let _ = fs::write(path.join("cgroup.kill"), "1");
    }
}

/// The cgroup of this process in the one tree of version 2.
fn own() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let at = mounts.lines().find_map(|line| {
        // Fields 4 and 5 are what is mounted and where; the type follows the dash.
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (shown, at) = (fields.next()?, fields.next()?);
        (after.starts_with("cgroup2 ") && shown == "/").then(|| PathBuf::from(at))
    })?;
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(at.join(own))
}

/// Where cgroups may be made: the one this process is in, or the one above it, where a server settled before.
fn delegated(own: &Path) -> Option<PathBuf> {
    let root = match own.file_name() {
        Some(name) if name == LEAF => own.parent()?,
        _ => own,
    };
    let about = fs::metadata(root).ok()?;
    let marked = DELEGATED.iter().any(|name| {
        let mut value = [0; 1];
        matches!(rustix::fs::getxattr(root, *name, &mut value), Ok(1) if value == *b"1")
    });
    let user = nix::unistd::geteuid();
    let given = !user.is_root() && about.uid() == user.as_raw();
    (marked || given).then(|| root.to_owned())
}

fn settle_below(root: &Path) -> io::Result<()> {
    let leaf = root.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())?;
    // Those of a server before, once nothing is in them.
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(STARTED) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    Ok(())
}
