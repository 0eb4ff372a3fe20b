//! Files that are made once, by whichever server is first, and whole or not at all: half a token or a password would refuse
//! every later start.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// Makes a file that only its owner reads, where there is none; one that another has made meanwhile stays. It may block.
///
/// # Errors
/// Where nothing can be written there.
pub fn make(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path);
    let made = write(&new, text).and_then(|()| put(&new, path));
    drop(fs::remove_file(&new));
    made
}

/// A name of its own: servers that share a directory may have one process number, as in containers.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(format!(".new-{}", Uuid::now_v7().simple()));
    path.with_file_name(name)
}

/// Makes a file that only its owner reads, where nothing is yet.
pub(super) fn open_new(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

fn write(new: &Path, text: &str) -> io::Result<()> {
    let mut file = open_new(new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn put(new: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(new, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // A file system without links.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::Unsupported
            ) && !path.exists() =>
        {
            fs::rename(new, path)
        }
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn of_many_that_make_it_at_once_one_is_kept_and_all_go_by_that() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read: BTreeSet<String> = std::thread::scope(|scope| {
            let make = |number: usize| {
                let path = &path;
                scope.spawn(move || {
                    make(path, &format!("{number:064}\n")).unwrap();
                    fs::read_to_string(path).unwrap()
                })
            };
            let made: Vec<_> = (0..16).map(make).collect();
            made.into_iter().map(|made| made.join().unwrap()).collect()
        });
        assert_eq!(read.len(), 1, "{read:?}");
        assert_eq!(read.first().unwrap().len(), 65, "whole");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else");
    }
}
