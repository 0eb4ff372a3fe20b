//! Extended attributes of entries of the disk, among them access lists (`system.posix_acl_*`) and capabilities
//! (`security.capability`), in the form of restic's format.

use std::{
    ffi::{CStr, CString, OsStr},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustic_core::repofile::Metadata;
use rustix::{
    fs::{Mode, OFlags, fgetxattr, flistxattr, getxattr, lgetxattr, listxattr, llistxattr, openat},
    io::Errno,
};

/// The kernel's own bound, of a list of names and of a value.
const BYTES_AT_MOST: usize = 64 << 10;
/// Enough for nearly all.
const BYTES_AT_FIRST: usize = 512;

/// What this process has open, by its number.
const DESCRIPTORS: &str = "/proc/self/fd";

/// Where the attributes are that are read.
pub(super) enum Of<'a> {
    Open(&'a OwnedFd),
    /// A name in a directory; a link is not followed.
    Named(&'a OwnedFd, &'a OsStr),
    /// A path; a link is followed.
    Path(&'a Path),
}

/// Reads them into `metadata`.
///
/// # Errors
/// What could not be read, in words; those that could be are there.
pub(super) fn read(of: &Of<'_>, metadata: &mut Metadata) -> Result<(), String> {
    read_by(of, DESCRIPTORS, metadata)
}

/// `descriptors`: where what this process has open stands by its number.
fn read_by(of: &Of<'_>, descriptors: &str, metadata: &mut Metadata) -> Result<(), String> {
    let place = of.place(descriptors);
    let names = match grow(|buffer| of.list(place.as_deref(), buffer)) {
        Ok(names) => names,
        // There are none on file systems that know none, nor of what is gone, which is found elsewhere.
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(()),
        Err(Errno::NOENT) => {
            return match of {
                Of::Named(directory, name) if !Path::new(descriptors).is_dir() => {
                    read_opened(directory, name, metadata)
                }
                _ => Ok(()),
            };
        }
        Err(error) => return Err(format!("could not list its extended attributes: {error}")),
    };
    if names.is_empty() {
        return Ok(());
    }
    let (mut found, mut failed) = (Vec::new(), None);
    for name in names.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let value = grow(|buffer| of.value(place.as_deref(), name, buffer));
        match (name.to_str(), value) {
            // It went meanwhile.
            (_, Err(Errno::NODATA)) => {}
            (Ok(name), Ok(value)) => {
                found.push(serde_json::json!({ "name": name, "value": STANDARD.encode(value) }));
            }
            (Err(_), _) => failed = Some(format!("extended attribute {name:?} is not UTF-8")),
            (_, Err(error)) => {
                failed = Some(format!(
                    "could not read extended attribute {name:?}: {error}"
                ));
            }
        }
    }
    // The library has no name for what these are made of.
    match serde_json::from_value(serde_json::Value::Array(found)) {
        Ok(attributes) => metadata.extended_attributes = attributes,
        Err(error) => failed = Some(format!("its extended attributes cannot be stored: {error}")),
    }
    failed.map_or(Ok(()), Err)
}

/// As [`read`], where `/proc` is not mounted: a file or directory can be opened, and a link cannot.
fn read_opened(directory: &OwnedFd, name: &OsStr, metadata: &mut Metadata) -> Result<(), String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(directory, name, flags, Mode::empty()) {
        Ok(opened) => read(&Of::Open(&opened), metadata),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(format!(
            "could not list its extended attributes, as /proc is not mounted here: {error}"
        )),
    }
}

impl Of<'_> {
    /// The path of a name in an open directory, so that nobody can put another directory in its place.
    fn place(&self, descriptors: &str) -> Option<CString> {
        let path = match self {
            Self::Open(_) => return None,
            Self::Path(path) => path.as_os_str().as_bytes().to_vec(),
            Self::Named(directory, name) => {
                let mut path = format!("{descriptors}/{}/", directory.as_raw_fd()).into_bytes();
                path.extend_from_slice(name.as_bytes());
                path
            }
        };
        CString::new(path).ok()
    }

    fn list(&self, place: Option<&CStr>, buffer: &mut [u8]) -> Result<usize, Errno> {
        match (self, place) {
            (Self::Open(file), _) => flistxattr(file, buffer),
            (Self::Named(..), Some(place)) => llistxattr(place, buffer),
            (Self::Path(_), Some(place)) => listxattr(place, buffer),
            (_, None) => Err(Errno::NOENT),
        }
    }

    fn value(&self, place: Option<&CStr>, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
        match (self, place) {
            (Self::Open(file), _) => fgetxattr(file, name, buffer),
            (Self::Named(..), Some(place)) => lgetxattr(place, name, buffer),
            (Self::Path(_), Some(place)) => getxattr(place, name, buffer),
            (_, None) => Err(Errno::NODATA),
        }
    }
}

/// What `read` puts into a buffer that is large enough.
fn grow(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut few = [0; BYTES_AT_FIRST];
    match read(&mut few) {
        Ok(count) => Ok(few[..count].to_vec()),
        Err(Errno::RANGE) => {
            let mut many = vec![0; BYTES_AT_MOST];
            let count = read(&mut many)?;
            many.truncate(count);
            Ok(many)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::symlink};

    use rustix::fs::{XattrFlags, fsetxattr};

    use super::*;

    #[test]
    fn attributes_are_read_where_proc_is_not_mounted_or_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("file")).unwrap();
        symlink("file", folder.path().join("link")).unwrap();
        // Not every file system has them.
        if fsetxattr(&file, "user.note", b"of mine", XattrFlags::empty()).is_err() {
            return;
        }
        let directory: OwnedFd = File::open(folder.path()).unwrap().into();
        let read_of = |name: &str, descriptors: &str| {
            let mut metadata = Metadata::default();
            let read = read_by(
                &Of::Named(&directory, OsStr::new(name)),
                descriptors,
                &mut metadata,
            );
            (metadata.extended_attributes.len(), read.is_ok())
        };
        for descriptors in [DESCRIPTORS, "/nowhere/at/all"] {
            assert_eq!(read_of("file", descriptors), (1, true), "{descriptors}");
            assert_eq!(read_of("none", descriptors), (0, true), "{descriptors}");
        }
        assert_eq!(read_of("link", DESCRIPTORS), (0, true));
        assert_eq!(read_of("link", "/nowhere/at/all"), (0, false));
    }
}
