//! Packs go to the disk piece by piece. A disk serves what it was given before: had it a whole pack to write, the
//! service's own database would wait for it with every transaction.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustic_backend::LocalBackend;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend,
};

use super::files::pack_folder;

/// So much is on the disk before more is written.
const PIECE: usize = 4 << 20;
/// As the library names what is not whole yet; what is left of it after a crash is swept by that.
const UNFINISHED: &str = "-tmp-";

/// A repository's files in a directory.
#[derive(Debug)]
pub(super) struct Pieces {
    files: LocalBackend,
    place: PathBuf,
}

impl Pieces {
    pub(super) fn new(files: LocalBackend, place: &Path) -> Self {
        Self {
            files,
            place: place.to_owned(),
        }
    }

    fn write_pack(&self, id: &Id, content: &BytesList) -> io::Result<()> {
        let (folder, name) = (pack_folder(&self.place, id), id.to_hex());
        fs::create_dir_all(&folder)?;
        let unfinished = folder.join(format!("{}{UNFINISHED}", &*name));
        let written =
            write(&unfinished, content).and_then(|()| fs::rename(&unfinished, folder.join(&*name)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }
}

fn write(path: &Path, content: &BytesList) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut piece = 0;
    for bytes in content.slice() {
        for bytes in bytes.chunks(PIECE) {
            file.write_all(bytes)?;
            piece += bytes.len();
            if PIECE <= piece {
                file.sync_data()?;
                piece = 0;
            }
        }
    }
    file.sync_all()
}

impl ReadBackend for Pieces {
    fn location(&self) -> String {
        self.files.location()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.files.list_with_size(kind)
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        self.files.read_full(kind, id)
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.files.read_partial(kind, id, cacheable, offset, length)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.files.warmup_path(kind, id)
    }
}

impl WriteBackend for Pieces {
    fn create(&self) -> RusticResult<()> {
        self.files.create()
    }

    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        if kind != FileType::Pack {
            return self.files.write_bytes(kind, id, cacheable, content);
        }
        self.write_pack(id, &content).map_err(|error| {
            let what = "could not write the pack {id} in {place}";
            RusticError::with_source(ErrorKind::InputOutput, what, error)
                .attach_context("id", id.to_hex().to_string())
                .attach_context("place", self.place.display().to_string())
        })
    }

    fn remove(&self, kind: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.files.remove(kind, id, cacheable)
    }
}
