//! Where contents lie on the disk, and how they come there, whole or not at all.

use std::{
    fs::{self, DirBuilder, File, Metadata, Permissions},
    io::{ErrorKind, Result},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::name_of;

/// Of files that nobody writes to again.
const WRITE_ONCE: u32 = 0o400;
const DIRECTORY: u32 = 0o700;

/// The content store's directory.
#[derive(Clone, Debug)]
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    pub(super) fn below(data: &Path) -> Self {
        Self {
            root: data.join("contents"),
        }
    }

    /// Where a content is, where it is stored.
    pub(super) fn place(&self, sha256: &str) -> PathBuf {
        let shelf = sha256.get(..2).unwrap_or_default();
        self.root.join(shelf).join(sha256)
    }

    /// Where contents come in.
    pub(super) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    /// Where one comes in whose hash was announced.
    pub(super) fn partial(&self, sha256: &str) -> PathBuf {
        self.incoming().join(sha256)
    }

    /// Where what is swept waits until its row is gone for good.
    pub(super) fn swept(&self) -> PathBuf {
        self.root.join("swept")
    }

    /// The size of a content that is stored.
    pub(super) fn size(&self, sha256: &str) -> Result<Option<u64>> {
        size_of(&self.place(sha256))
    }

    /// How much has come of a content that is not.
    pub(super) fn received(&self, sha256: &str) -> Result<u64> {
        Ok(size_of(&self.partial(sha256))?.unwrap_or(0))
    }

    /// Makes the place in which contents come in.
    pub(super) fn make_incoming(&self) -> Result<PathBuf> {
        make_directory(&self.root)?;
        let incoming = self.incoming();
        make_directory(&incoming)?;
        Ok(incoming)
    }

    /// Puts a file that is whole into its place, so that it is there whatever happens. It may take that of another:
    /// then both are what the name says, or this one is the sound one.
    pub(super) fn put(&self, file: &File, path: &Path, sha256: &str) -> Result<()> {
        file.sync_all()?;
        let (place, shelf) = self.make_place(sha256)?;
        fs::rename(path, &place)?;
        file.set_permissions(Permissions::from_mode(WRITE_ONCE))?;
        sync(&shelf)?;
        sync(&self.incoming())
    }

    /// Moves a file that is not what its name says out of the way, unless another has come to its place.
    pub(super) fn set_aside(&self, file: &Metadata, sha256: &str, at: Timestamp) -> Result<()> {
        let place = self.place(sha256);
        match fs::symlink_metadata(&place) {
            Ok(there) if is_same(&there, file) => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        let damaged = self.root.join("damaged");
        make_directory(&damaged)?;
        let at = at.strftime("%Y%m%dT%H%M%S%.6fZ");
        fs::rename(&place, damaged.join(format!("{sha256}-{at}")))?;
        sync(&damaged)
    }

    /// Takes a content out of its place, to be removed; none where it is not there. Each time under a name of its own: so
    /// whoever clears up after another removes what it has asked about, and nothing that has come since.
    pub(super) fn take_away(&self, sha256: &str) -> Result<Option<PathBuf>> {
        let swept = self.swept();
        make_directory(&swept)?;
        let to = swept.join(format!("{sha256}-{}", Uuid::now_v7().simple()));
        match fs::rename(self.place(sha256), &to) {
            Ok(()) => Ok(Some(to)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Contents that were taken out of their places and are there still: hash, size and path. Earlier versions named them
    /// by their hashes alone.
    pub(super) fn taken(&self) -> Result<Vec<(String, u64, PathBuf)>> {
        let mut taken = Vec::new();
        for path in listed(&self.swept())? {
            let hash = name_of(&path).and_then(|name| name.get(..64));
            let Some(hash) = hash.filter(|hash| is_hex(hash)) else {
                continue;
            };
            let sha256 = hash.to_owned();
            // None where another was quicker.
            if let Some(size) = size_of(&path)? {
                taken.push((sha256, size, path));
            }
        }
        Ok(taken)
    }

    /// Puts a content back that was taken away, unless another has come to its place.
    pub(super) fn put_back(&self, taken: &Path, sha256: &str) -> Result<()> {
        let (place, shelf) = self.make_place(sha256)?;
        match fs::hard_link(taken, &place) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // Another that cleared up has seen to it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        // Before the other name goes: a power cut may keep the one change and not the other.
        sync(&shelf)?;
        remove(taken)
    }

    /// Makes the directory of a content's place; says both, the place first.
    fn make_place(&self, sha256: &str) -> Result<(PathBuf, PathBuf)> {
        let place = self.place(sha256);
        let Some(shelf) = place.parent().map(Path::to_path_buf) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        make_directory(&shelf)?;
        Ok((place, shelf))
    }

    /// The directories that hold contents, as their names.
    pub(super) fn shelves(&self) -> Result<Vec<String>> {
        let is_shelf = |name: &str| name.len() == 2 && is_hex(name);
        let mut shelves: Vec<String> = listed(&self.root)?
            .iter()
            .filter_map(|path| name_of(path))
            .filter(|name| is_shelf(name))
            .map(str::to_owned)
            .collect();
        shelves.sort();
        Ok(shelves)
    }

    /// What lies in one of them: hash, size, and when it was written.
    pub(super) fn shelf(&self, shelf: &str) -> Result<Vec<(String, Metadata)>> {
        let mut contents = Vec::new();
        for path in listed(&self.root.join(shelf))? {
            let Some(name) = name_of(&path) else { continue };
            if name.len() != 64 || !is_hex(name) || !name.starts_with(shelf) {
                continue;
            }
            match fs::symlink_metadata(&path) {
                Ok(about) if about.is_file() => contents.push((name.to_owned(), about)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(contents)
    }
}

/// Whether two looks saw one file.
pub(super) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Removes a file, where nobody else has.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is in a directory; nothing where there is none.
pub(super) fn listed(directory: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn size_of(path: &Path) -> Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_file() => Ok(Some(about.len())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_directory(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(DIRECTORY).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// What was named or renamed in it is so on the disk.
fn sync(directory: &Path) -> Result<()> {
    File::open(directory)?.sync_all()
}

fn is_hex(name: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.bytes().all(digit)
}
