//! Reading an export: every member, every hash, and nothing that does not belong there.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, bail};
use tar::EntryType;
use tokio_util::sync::CancellationToken;

use super::{GUIDE, MANIFEST, SUMS, member};
use crate::{
    backup::{
        child::Stopped,
        read_back::{Hashing, hash_of},
    },
    domain::backup::manifest::{FileRecord, MANIFEST_FORMAT, Manifest},
};

/// Bytes of the members that describe the others.
const DESCRIBING_MAX: u64 = 4 << 30;
/// Findings that are told.
const TOLD: usize = 1000;

/// What an export holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub files: u64,
    pub bytes: u64,
    /// Directories and symbolic links.
    pub others: u64,
    /// As of when its data is.
    pub frozen_at: Option<jiff::Timestamp>,
    /// Empty where all is well.
    pub findings: Vec<String>,
}

/// Verifies an export and the checksum beside it.
///
/// # Errors
/// Where it cannot be read at all. What is wrong in it is in the answer.
pub fn verify(file: &Path) -> anyhow::Result<Verified> {
    let never = CancellationToken::new();
    let mut verified = match unpack(file, &never) {
        Ok(verified) => verified,
        Err(error) => Verified {
            findings: vec![format!("{error:#}")],
            ..Verified::default()
        },
    };
    let mut sidecar = file.as_os_str().to_owned();
    sidecar.push(".sha256");
    let sidecar = Path::new(&sidecar);
    match std::fs::read_to_string(sidecar) {
        Ok(sum) => {
            let mut hashed = Hashing::new(io::sink());
            io::copy(&mut File::open(file)?, &mut hashed)?;
            let sha256 = hashed.into_parts().1;
            if sum.split_whitespace().next() != Some(sha256.as_str()) {
                verified.findings.push(format!(
                    "{} says another SHA-256: {sha256} is right",
                    sidecar.display()
                ));
            }
        }
        Err(error) => verified
            .findings
            .push(format!("could not read {}: {error}", sidecar.display())),
    }
    Ok(verified)
}

/// # Errors
/// The first that is wrong.
pub(super) fn verify_with(
    file: &Path,
    others: u64,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let verified = unpack(file, cancel)?;
    match verified.findings.first() {
        Some(finding) => bail!("{finding}"),
        None if verified.others == others => Ok(()),
        None => bail!(
            "{} directories and links are in it, and {others} were written",
            verified.others
        ),
    }
}

fn unpack(path: &Path, cancel: &CancellationToken) -> anyhow::Result<Verified> {
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let decoder = zstd::Decoder::new(BufReader::with_capacity(256 << 10, file))?;
    let mut tar = tar::Archive::new(decoder);
    let mut verified = Verified::default();
    let mut wanted: Option<Wanted> = None;
    let mut described = Described::default();
    for entry in tar.entries().context("it is no archive of tar and zstd")? {
        if cancel.is_cancelled() {
            return Err(Stopped.into());
        }
        let mut entry = entry.context("it is cut off, or damaged")?;
        let name = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&name).escape_debug().to_string();
        match (entry.header().entry_type(), &mut wanted) {
            (EntryType::Regular, _) => {}
            (EntryType::Directory | EntryType::Symlink, Some(_)) => {
                verified.others += 1;
                continue;
            }
            (EntryType::Link, Some(wanted)) => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                verified.files += 1;
                if let Err(what) = is_other_name(wanted, &name, &target) {
                    verified.find(format!("{shown} {what}"));
                }
                continue;
            }
            _ => {
                verified.find(format!("{shown} is no file, directory or link"));
                continue;
            }
        }
        let size = entry.size();
        match (name.as_slice(), &mut wanted) {
            (b"RESTORE.md", None) => described.guide = Some(hash(&mut entry, cancel)?.0),
            (b"manifest.json", None) => {
                let (manifest, sha256) = manifest(&mut entry, size)?;
                described.manifest = Some(sha256);
                verified.frozen_at = Some(manifest.frozen_at);
                let records = manifest.files.into_iter();
                wanted = Some(
                    records
                        .map(|file| (member(&file.path), (file, State::Missing)))
                        .collect(),
                );
            }
            (b"SHA256SUMS", Some(_)) if described.sums.is_none() => {
                described.sums = Some(small(&mut entry, size)?);
            }
            (_, None) => bail!("{shown} comes before {MANIFEST}"),
            (name, Some(wanted)) => {
                let Some((record, state @ State::Missing)) = wanted.get_mut(name) else {
                    verified.find(format!("{shown} is not in the manifest, or there twice"));
                    continue;
                };
                *state = State::There;
                if size != record.size {
                    verified.find(format!(
                        "{shown} has {size} bytes; the manifest says {}",
                        record.size
                    ));
                    continue;
                }
                let (sha256, bytes) = hash(&mut entry, cancel)?;
                verified.files += 1;
                verified.bytes += bytes;
                if sha256 != record.sha256 || bytes != record.size {
                    verified.find(format!(
                        "{shown} has the SHA-256 {sha256}; the manifest says {}",
                        record.sha256
                    ));
                }
            }
        }
    }
    let Some(left) = wanted else {
        bail!("{MANIFEST} is not in it")
    };
    let missing = left
        .into_iter()
        .filter(|(_, (_, state))| *state == State::Missing);
    for (name, _) in missing {
        verified.find(format!(
            "{} is missing",
            String::from_utf8_lossy(&name).escape_debug()
        ));
    }
    described.compare(&mut verified);
    Ok(verified)
}

/// Files of the manifest by their members' names.
type Wanted = HashMap<Vec<u8>, (FileRecord, State)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Missing,
    There,
}

/// That a member is a further name of a file that came before it, which is to have the same content.
fn is_other_name(wanted: &mut Wanted, name: &[u8], target: &[u8]) -> Result<(), String> {
    let Some((first, State::There)) = wanted.get(target) else {
        return Err("is a further name of what did not come before it".to_owned());
    };
    let (size, sha256) = (first.size, first.sha256.clone());
    match wanted.get_mut(name) {
        Some((record, state @ State::Missing)) => {
            *state = State::There;
            match (record.size, &record.sha256) == (size, &sha256) {
                true => Ok(()),
                false => Err("is another name of a file with another content".to_owned()),
            }
        }
        _ => Err("is not in the manifest, or there twice".to_owned()),
    }
}

impl Verified {
    fn find(&mut self, what: String) {
        if self.findings.len() < TOLD {
            self.findings.push(what);
        }
    }
}

/// What describes the others.
#[derive(Debug, Default)]
struct Described {
    guide: Option<String>,
    manifest: Option<String>,
    sums: Option<Vec<u8>>,
}

impl Described {
    fn compare(&self, verified: &mut Verified) {
        let Some(sums) = &self.sums else {
            verified.find(format!("{SUMS} is missing"));
            return;
        };
        for (name, sha256) in [(GUIDE, &self.guide), (MANIFEST, &self.manifest)] {
            let Some(sha256) = sha256 else {
                verified.find(format!("{name} is missing"));
                continue;
            };
            let line = super::sum_line(sha256, name.as_bytes());
            if !sums.windows(line.len()).any(|window| window == line) {
                verified.find(format!("{SUMS} says another SHA-256 of {name}"));
            }
        }
    }
}

fn manifest(entry: &mut impl Read, size: u64) -> anyhow::Result<(Manifest, String)> {
    let bytes = small(entry, size)?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).context("its manifest cannot be read")?;
    if manifest.format != MANIFEST_FORMAT {
        bail!(
            "its manifest is of format {}; this program knows {MANIFEST_FORMAT}",
            manifest.format
        );
    }
    Ok((manifest, hash_of(&bytes)))
}

fn small(entry: &mut impl Read, size: u64) -> anyhow::Result<Vec<u8>> {
    if DESCRIBING_MAX < size {
        bail!("a member that describes the others has {size} bytes, which is too much");
    }
    let mut bytes = Vec::new();
    entry
        .take(size)
        .read_to_end(&mut bytes)
        .context("it is cut off, or damaged")?;
    Ok(bytes)
}

fn hash(entry: &mut impl Read, cancel: &CancellationToken) -> anyhow::Result<(String, u64)> {
    let mut hashed = Hashing::new(io::sink());
    let mut buffer = vec![0; 256 << 10];
    loop {
        if cancel.is_cancelled() {
            return Err(Stopped.into());
        }
        let count = entry
            .read(&mut buffer)
            .context("it is cut off, or damaged")?;
        if count == 0 {
            let (_, sha256, bytes) = hashed.into_all();
            return Ok((sha256, bytes));
        }
        io::Write::write_all(&mut hashed, &buffer[..count])?;
    }
}
