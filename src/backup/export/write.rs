//! Writing an export: everything is hashed on its way, and compared with the manifest.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    ENDING, GUIDE, LeftOut, MANIFEST, SUMS, guide::guide, member, members::Members,
    read::verify_with, sum_line,
};
use crate::{
    backup::{
        configuration,
        manifests::{Stored, Written},
        read_back::{Hashing, hash_of},
        repository::{Hand, SnapshotReader},
        work::{make_directory, new_file},
    },
    domain::backup::manifest::{FileRecord, MANIFEST_FORMAT, Manifest},
};

/// Speed before size: what is in the repository is there for the long run.
const LEVEL: i32 = 3;

/// An export that was written and tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Its name in the directory.
    pub file: String,
    pub sha256: String,
    pub bytes: u64,
    pub left_out: LeftOut,
}

/// Writes an export of a snapshot into a directory.
///
/// # Errors
/// What stands in the way, or which file is not what the manifest says: nothing is left then.
pub fn write(
    directory: &Path,
    reader: &dyn SnapshotReader,
    stored: &Stored,
    hand: &Hand,
) -> anyhow::Result<Exported> {
    make_directory(directory)?;
    let name = free_name(directory, &stored.manifest)?;
    let partial = Partial(directory.join(format!("{name}.partial")));
    let left_out = LeftOut::of(reader, hand)?;
    let (sha256, bytes, others) = pack(&partial.0, &name, reader, stored, hand, &left_out)
        .with_context(|| format!("could not write the export {name}"))?;
    verify_with(&partial.0, others, &hand.cancel)
        .context("the export that was written does not read well")?;
    let sidecar = directory.join(format!("{name}.sha256"));
    let about = || format!("could not finish the export {name}");
    let mut sum = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&sidecar)
        .with_context(about)?;
    sum.write_all(&sum_line(&sha256, name.as_bytes()))
        .with_context(about)?;
    sum.sync_all().with_context(about)?;
    fs::rename(&partial.0, directory.join(&name)).with_context(about)?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(about)?;
    Ok(Exported {
        file: name,
        sha256,
        bytes,
        left_out,
    })
}

/// Removed unless it got its own name.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Named by when its data is from; a second one of the same instant is told apart.
fn free_name(directory: &Path, manifest: &Manifest) -> anyhow::Result<String> {
    let stamp = manifest.frozen_at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let names = (1..1000).map(|count| match count {
        1 => format!("watchbell-{stamp}{ENDING}"),
        count => format!("watchbell-{stamp}-{count}{ENDING}"),
    });
    let mut free = names.filter(|name| !directory.join(name).exists());
    free.next()
        .context("there are a thousand exports of this instant")
}

fn pack(
    path: &Path,
    name: &str,
    reader: &dyn SnapshotReader,
    stored: &Stored,
    hand: &Hand,
    left_out: &LeftOut,
) -> anyhow::Result<(String, u64, u64)> {
    drop(fs::remove_file(path));
    let file = new_file(path)?;
    let hashed = Hashing::new(BufWriter::with_capacity(256 << 10, file));
    let mut tar = tar::Builder::new(zstd::Encoder::new(hashed, LEVEL)?);
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        ..stored.manifest.clone()
    };
    let mut has_configuration = false;
    for file in clear(stored)? {
        has_configuration |= configuration::is_one(&file?.path);
    }
    let guide = guide(&manifest, has_configuration, name, left_out).into_bytes();
    let described = || Ok::<_, anyhow::Error>(Written::new(&manifest, clear(stored)?));
    let (described_size, described_sha256) = measure(described()?)?;
    let sums = || {
        let of = [
            (GUIDE, hash_of(&guide)),
            (MANIFEST, described_sha256.clone()),
        ];
        let own = of.map(|(name, sha256)| Ok(sum_line(&sha256, name.as_bytes())));
        let line = |file: FileRecord| sum_line(&file.sha256, &member(&file.path));
        let others = clear(stored)?.map(move |file| file.map(line));
        Ok::<_, anyhow::Error>(own.into_iter().chain(others))
    };
    let (sums_size, _) = measure(sums()?)?;
    let at = manifest.frozen_at.as_second();
    let mut guide_header = header(guide.len() as u64, at);
    tar.append_data(&mut guide_header, GUIDE, guide.as_slice())?;
    let mut described_header = header(described_size, at);
    tar.append_data(&mut described_header, MANIFEST, Chunks::new(described()?))?;
    tar.append_data(&mut header(sums_size, at), SUMS, Chunks::new(sums()?))?;
    let others = Members::new(&mut tar, reader, stored, hand)?.append_all()?;
    let (buffered, sha256, bytes) = tar.into_inner()?.finish()?.into_all();
    let file = buffered.into_inner().map_err(|error| error.into_error())?;
    file.sync_all()?;
    Ok((sha256, bytes, others))
}

/// Files of a manifest, but for what may not leave the repository in clear.
pub(super) fn clear(
    stored: &Stored,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<FileRecord>>> {
    let is_clear = |file: &anyhow::Result<FileRecord>| match file {
        Ok(file) => !configuration::is_secret(&file.path),
        Err(_) => true,
    };
    Ok(stored.files()?.filter(is_clear))
}

/// How many bytes pieces have together, and their hash.
fn measure(pieces: impl Iterator<Item = anyhow::Result<Vec<u8>>>) -> anyhow::Result<(u64, String)> {
    let mut hashed = Hashing::new(io::sink());
    for piece in pieces {
        hashed.write_all(&piece?)?;
    }
    let (_, sha256, bytes) = hashed.into_all();
    Ok((bytes, sha256))
}

/// Pieces, to be read as one.
struct Chunks<I> {
    pieces: I,
    piece: io::Cursor<Vec<u8>>,
}

impl<I> Chunks<I> {
    fn new(pieces: I) -> Self {
        Self {
            pieces,
            piece: io::Cursor::default(),
        }
    }
}

impl<I: Iterator<Item = anyhow::Result<Vec<u8>>>> Read for Chunks<I> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(into)?;
            if 0 < count || into.is_empty() {
                return Ok(count);
            }
            match self.pieces.next() {
                None => return Ok(0),
                Some(Err(error)) => return Err(io::Error::other(format!("{error:#}"))),
                Some(Ok(piece)) => self.piece = io::Cursor::new(piece),
            }
        }
    }
}

/// Of what is the server's own: for whoever unpacks it.
pub(super) fn header(size: u64, at: i64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_mtime(at.max(0).unsigned_abs());
    header.set_entry_type(tar::EntryType::Regular);
    header
}
