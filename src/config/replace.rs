//! Writes a secret's file anew: there is the old one or the new one at each instant, and whoever could read the old one
//! can read the new.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::Path,
};

use anyhow::Context as _;

use super::once::{beside, open_new};

/// Replaces a file that is there, by a rename. A link is followed. It may block.
///
/// # Errors
/// Where nothing can be written there, or not for the same owner; the old one stays then.
pub fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let about = || format!("could not write {} anew", path.display());
    let path = fs::canonicalize(path).with_context(about)?;
    let new = beside(&path);
    let done = write(&path, &new, text).and_then(|()| fs::rename(&new, &path));
    if done.is_err() {
        drop(fs::remove_file(&new));
    }
    done.with_context(about)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(about)
}

fn write(path: &Path, new: &Path, text: &str) -> io::Result<()> {
    let old = fs::metadata(path)?;
    let mut file = open_new(new)?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    let mode = fs::Permissions::from_mode(old.permissions().mode() & 0o777);
    file.set_permissions(mode)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_rights_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "old\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, "new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        replace(&folder.path().join("none"), "new\n").unwrap_err();
    }
}
