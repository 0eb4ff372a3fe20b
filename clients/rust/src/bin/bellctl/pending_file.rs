//! A file that a command writes: under another name until it is whole, so that nobody meets a half.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// A file beside its target. It is removed where it is not kept.
#[derive(Debug)]
pub(crate) struct PendingFile {
    file: NamedTempFile,
    target: PathBuf,
    overwrite: bool,
}

impl PendingFile {
    /// Refuses a target that is there, unless it is a file that may be overwritten.
    pub(crate) fn create(target: &Path, overwrite: bool) -> Result<Self, Failure> {
        match fs::symlink_metadata(target) {
            Ok(there) if there.is_dir() => {
                return Err(Failure::Usage(format!(
                    "{} is a folder: name a file",
                    target.display()
                )));
            }
            Ok(_) if !overwrite => {
                return Err(Failure::Usage(format!(
                    "{} is there already: --force overwrites it",
                    target.display()
                )));
            }
            Ok(there) if !there.is_file() && !there.is_symlink() => {
                return Err(Failure::Usage(format!(
                    "{} is not a file that could be overwritten",
                    target.display()
                )));
            }
            Ok(_) | Err(_) => {}
        }
        let folder = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            Some(_) | None => Path::new("."),
        };
        // As any new file: the system takes away what the user's mask says.
        let file = tempfile::Builder::new()
            .prefix(".bellctl-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder);
        let file = file.map_err(|source| not_written(target, source))?;
        Ok(Self {
            file,
            target: target.to_owned(),
            overwrite,
        })
    }

    /// Gives the file its name.
    pub(crate) fn keep(self) -> Result<(), Failure> {
        let kept = if self.overwrite {
            self.file.persist(&self.target)
        } else {
            self.file.persist_noclobber(&self.target)
        };
        match kept {
            Ok(_) => Ok(()),
            Err(error) => Err(not_written(&self.target, error.error)),
        }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| not_written(&self.target, source))
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The last component of a name that somebody else chose, where it can be a file's: no path, nothing that
/// a terminal obeys, and neither `.` nor `..`.
pub(crate) fn safe_file_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let visible = last.chars().filter(|character| !character.is_control());
    let mut safe = visible.collect::<String>().trim().to_owned();
    // Names of files have at most 255 bytes, and a prefix may come before it.
    while safe.len() > 200 {
        safe.pop();
    }
    let safe = safe.trim_end();
    (!matches!(safe, "" | "." | "..")).then(|| safe.to_owned())
}

fn not_written(path: &Path, source: io::Error) -> Failure {
    Failure::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_elsewhere_stays_in_the_folder() {
        for (name, safe) in [
            ("cleaning.pdf", Some("cleaning.pdf")),
            ("/etc/passwd", Some("passwd")),
            ("..\\..\\a.txt", Some("a.txt")),
            ("a\u{1b}[31m\n.txt ", Some("a[31m.txt")),
            ("..", None),
            ("a/..", None),
            (".", None),
            ("a/", None),
            ("", None),
            (" ", None),
        ] {
            assert_eq!(safe_file_name(name).as_deref(), safe, "{name:?}");
        }
        assert_eq!(safe_file_name(&"é".repeat(300)).unwrap().len(), 200);
    }

    #[test]
    fn what_is_not_kept_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        let mut file = PendingFile::create(&target, false).unwrap();
        file.put(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        let early = PendingFile::create(&target, false).unwrap();
        fs::write(&target, "theirs").unwrap();
        assert!(early.keep().is_err());
        assert!(PendingFile::create(&target, false).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "theirs");
        let mut forced = PendingFile::create(&target, true).unwrap();
        forced.put(b"ours").unwrap();
        forced.keep().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "ours");
        assert!(PendingFile::create(folder.path(), true).is_err());
    }
}
