//! The disks that `watchbell restore` writes to: that of the data directory, and that of a SQLite file elsewhere.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::config::{Config, DatabaseUrl};

/// Ends the name of a database's copy that is not whole yet.
pub(super) const COPY: &str = ".unfinished";

/// Directories that are open since before anything was written in them.
#[derive(Debug)]
pub(super) struct Disks(Vec<(PathBuf, File)>);

impl Disks {
    /// # Errors
    /// Where one of them cannot be opened.
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        let mut places = vec![config.data.clone()];
        if let DatabaseUrl::Sqlite(file) = &config.database
            && let Some(above) = file.parent()
            && !above.starts_with(&config.data)
        {
            places.push(above.to_owned());
        }
        let mut opened = Vec::new();
        for place in places {
            let file = File::open(&place)
                .with_context(|| format!("could not open {}", place.display()))?;
            opened.push((place, file));
        }
        Ok(Self(opened))
    }

    /// Sees to it that all that was written is on them.
    ///
    /// # Errors
    /// Where one fails, or has failed since it was opened.
    pub(super) fn sync(&self) -> anyhow::Result<()> {
        for (place, opened) in &self.0 {
            rustix::fs::syncfs(opened)
                .with_context(|| format!("could not sync {}", place.display()))?;
        }
        Ok(())
    }
}

/// Moves the database to its place, which may be on another disk.
pub(super) fn put_database(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        renamed => return renamed,
    }
    // Under its name it is only once it is whole.
    let mut beside = to.to_owned().into_os_string();
    beside.push(COPY);
    let copied = copy(from, Path::new(&beside)).and_then(|()| fs::rename(&beside, to));
    if copied.is_err() {
        drop(fs::remove_file(&beside));
    }
    copied?;
    fs::remove_file(from)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let mut copy = options.open(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_put_on_another_disk_too() {
        let here = tempfile::tempdir().unwrap();
        // Another file system nearly everywhere; where it is not, it is moved.
        let shared = Path::new("/dev/shm");
        let there = match shared.is_dir() {
            true => tempfile::tempdir_in(shared).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let (from, to) = (here.path().join("dump"), there.path().join("watchbell.db"));
        fs::write(&from, "what is in it").unwrap();
        put_database(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "what is in it");
        assert!(!from.exists());
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 1);
    }
}
