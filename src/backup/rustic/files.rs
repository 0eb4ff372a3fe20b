//! The files of a repository, by their names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustic_core::{FileType, Id};

/// The library's own list leaves out what it cannot read, and who prunes by such a list destroys.
pub(super) fn files(place: &Path, kind: FileType) -> io::Result<Vec<(Id, u32)>> {
    let mut found = Vec::new();
    let top = place.join(kind.dirname());
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            // The library makes directories as it needs them, and so does restic.
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder == top => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let Some(id) = Id::parse_some(&entry.file_name().to_string_lossy(), kind) else {
                continue;
            };
            match entry.metadata() {
                Ok(metadata) => {
                    let size = u32::try_from(metadata.len()).map_err(io::Error::other)?;
                    found.push((id, size));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// Where a pack is.
pub(super) fn pack_path(place: &Path, id: &Id) -> PathBuf {
    pack_folder(place, id).join(id.to_hex().as_str())
}

/// The directory of a pack: one for each two digits that an id may begin with.
pub(super) fn pack_folder(place: &Path, id: &Id) -> PathBuf {
    place
        .join(FileType::Pack.dirname())
        .join(&id.to_hex().as_str()[..2])
}
