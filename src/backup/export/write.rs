//! Writing an export: everything is hashed on its way, and compared with the manifest.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    ENDING, GUIDE, MANIFEST, SUMS, guide::guide, member, members::Members, read::verify_with,
    sum_line,
};
use crate::{
    backup::{
        read_back::{Hashing, hash_of},
        repository::{Hand, SnapshotReader},
        work::{make_directory, new_file},
    },
    domain::backup::manifest::Manifest,
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
}

/// Writes an export of a snapshot into a directory.
///
/// # Errors
/// What stands in the way, or which file is not what the manifest says: nothing is left then.
pub fn write(
    directory: &Path,
    reader: &dyn SnapshotReader,
    manifest: &Manifest,
    hand: &Hand,
) -> anyhow::Result<Exported> {
    make_directory(directory)?;
    let name = free_name(directory, manifest)?;
    let partial = Partial(directory.join(format!("{name}.partial")));
    let (sha256, bytes, others) = pack(&partial.0, &name, reader, manifest, hand)
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
    manifest: &Manifest,
    hand: &Hand,
) -> anyhow::Result<(String, u64, u64)> {
    drop(fs::remove_file(path));
    let file = new_file(path)?;
    let hashed = Hashing::new(BufWriter::with_capacity(256 << 10, file));
    let mut tar = tar::Builder::new(zstd::Encoder::new(hashed, LEVEL)?);
    let described = serde_json::to_vec(manifest)?;
    let guide = guide(manifest, name).into_bytes();
    let mut sums = Vec::new();
    for (name, bytes) in [(GUIDE, &guide), (MANIFEST, &described)] {
        sums.extend(sum_line(&hash_of(bytes), name.as_bytes()));
    }
    for file in &manifest.files {
        sums.extend(sum_line(&file.sha256, &member(&file.path)));
    }
    let at = manifest.frozen_at.as_second();
    for (name, bytes) in [(GUIDE, &guide), (MANIFEST, &described), (SUMS, &sums)] {
        let mut header = header(bytes.len() as u64, at);
        tar.append_data(&mut header, name, bytes.as_slice())?;
    }
    let others = Members::new(&mut tar, reader, manifest, hand).append_all()?;
    let (buffered, sha256, bytes) = tar.into_inner()?.finish()?.into_all();
    let file = buffered.into_inner().map_err(|error| error.into_error())?;
    file.sync_all()?;
    Ok((sha256, bytes, others))
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
