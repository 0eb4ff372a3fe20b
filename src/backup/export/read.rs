//! Reading an export: every member, every hash, and nothing that does not belong there.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, bail};
use tar::EntryType;
use tokio_util::sync::CancellationToken;

use super::{
    GUIDE, MANIFEST, SUMS,
    holes::Filled,
    records,
    sparse::{Sparse, read_map},
    sum_line,
    wanted::Wanted,
};
use crate::{
    backup::{
        child::Stopped,
        manifests::{Stored, manifest_from},
        read_back::Hashing,
    },
    domain::backup::manifest::FileRecord,
};

/// Bytes of a line of the sums: of a path that is longer, more follows as if it were another.
const LINE_MAX: u64 = 64 << 10;
/// Findings that are told.
pub(super) const TOLD: usize = 1000;

/// Lines of the sums that end with one name: there is one, unless a file is called alike.
const LINES_MAX: usize = 16;
const NO_ARCHIVE: &str = "it is no archive of tar and zstd";
const DAMAGED: &str = "it is cut off, or damaged";

/// What an export holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub files: u64,
    pub bytes: u64,
    /// Directories, symbolic links, fifos and devices.
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
            "{} that are no files are in it, and {others} were written",
            verified.others
        ),
    }
}

/// Members may be in any order: who has unpacked an export and packed it anew has the same.
fn unpack(path: &Path, cancel: &CancellationToken) -> anyhow::Result<Verified> {
    let stored = described_by(path, cancel)?;
    let mut verified = Verified {
        frozen_at: Some(stored.manifest.frozen_at),
        ..Verified::default()
    };
    let mut wanted = Wanted::of(stored)?;
    let mut described = Described::default();
    let mut tar = opened(path)?;
    for entry in tar.entries().context(NO_ARCHIVE)? {
        if cancel.is_cancelled() {
            return Err(Stopped.into());
        }
        let mut entry = entry.context(DAMAGED)?;
        let sparse = Sparse::of(&mut entry).context(DAMAGED)?;
        let name = match &sparse {
            Some(sparse) => without_dot(&sparse.name).to_vec(),
            None => name_of(&mut entry).context(DAMAGED)?,
        };
        match entry.header().entry_type() {
            EntryType::Regular => {}
            // An older kind of sparse files, whose holes the library fills.
            EntryType::GNUSparse => {}
            EntryType::Directory
            | EntryType::Symlink
            | EntryType::Fifo
            | EntryType::Char
            | EntryType::Block => {
                verified.others += 1;
                continue;
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                verified.files += 1;
                wanted.meet_name(&name, without_dot(&target))?;
                continue;
            }
            _ => {
                verified.find(format!(
                    "{} is of a kind that no export holds",
                    shown(&name)
                ));
                continue;
            }
        }
        if sparse.is_none() && described.meet(&name, &mut entry, &mut verified, cancel)? {
            continue;
        }
        let Some(record) = wanted.meet(&name)? else {
            continue;
        };
        let (name, stored) = (shown(&name), entry.size());
        match sparse {
            None => compare(&record, &name, stored, &mut entry, &mut verified, cancel)?,
            Some(sparse) => match read_map(&mut entry, stored, sparse.size).context(DAMAGED)? {
                None => verified.find(format!("{name}: the map of its holes is damaged")),
                Some(map) => {
                    let mut filled = Filled::new(map, entry);
                    let size = sparse.size;
                    compare(&record, &name, size, &mut filled, &mut verified, cancel)?;
                }
            },
        }
    }
    wanted.end(&mut verified)?;
    described.compare(&mut verified);
    Ok(verified)
}

type Opened = tar::Archive<zstd::Decoder<'static, BufReader<BufReader<File>>>>;

fn opened(path: &Path) -> anyhow::Result<Opened> {
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let decoder = zstd::Decoder::new(BufReader::with_capacity(256 << 10, file))?;
    Ok(tar::Archive::new(decoder))
}

/// The manifest in it, which is near its beginning where nobody has packed it anew.
fn described_by(path: &Path, cancel: &CancellationToken) -> anyhow::Result<Stored> {
    let mut tar = opened(path)?;
    for entry in tar.entries().context(NO_ARCHIVE)? {
        if cancel.is_cancelled() {
            return Err(Stopped.into());
        }
        let mut entry = entry.context(DAMAGED)?;
        let is_file = entry.header().entry_type() == EntryType::Regular;
        if is_file && name_of(&mut entry).context(DAMAGED)? == MANIFEST.as_bytes() {
            let size = entry.size();
            return manifest_from(&mut entry, size, path.parent())
                .context("its manifest cannot be read");
        }
    }
    bail!("{MANIFEST} is not in it")
}

fn name_of(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<u8>> {
    Ok(without_dot(&records::name_of(entry)?).to_vec())
}

/// As it is where a whole directory was packed by the name of a point.
fn without_dot(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"./").unwrap_or(name)
}

/// Compares a file with what the manifest says of it.
fn compare(
    record: &FileRecord,
    shown: &str,
    size: u64,
    content: &mut impl Read,
    verified: &mut Verified,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    if size != record.size {
        verified.find(format!(
            "{shown} has {size} bytes; the manifest says {}",
            record.size
        ));
        return Ok(());
    }
    let (sha256, bytes) = hash(content, cancel)?;
    verified.files += 1;
    verified.bytes += bytes;
    if sha256 != record.sha256 || bytes != record.size {
        verified.find(format!(
            "{shown} has the SHA-256 {sha256}; the manifest says {}",
            record.sha256
        ));
    }
    Ok(())
}

/// A member's name, for people.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

impl Verified {
    pub(super) fn find(&mut self, what: String) {
        if self.findings.len() < TOLD {
            self.findings.push(what);
        }
    }
}

/// What describes the others.
#[derive(Debug, Default)]
struct Described {
    /// Hashes.
    guide: Option<String>,
    manifest: Option<String>,
    /// Lines of the sums that are of the guide, and of the manifest.
    sums: Option<[Vec<Vec<u8>>; 2]>,
}

impl Described {
    /// Takes a member that is one of these; says whether it is.
    fn meet(
        &mut self,
        name: &[u8],
        entry: &mut impl Read,
        verified: &mut Verified,
        cancel: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let is_another = match name {
            name if name == GUIDE.as_bytes() => {
                self.guide.replace(hash(entry, cancel)?.0).is_some()
            }
            name if name == MANIFEST.as_bytes() => {
                self.manifest.replace(hash(entry, cancel)?.0).is_some()
            }
            name if name == SUMS.as_bytes() => self.sums.replace(lines(entry)?).is_some(),
            _ => return Ok(false),
        };
        if is_another {
            verified.find(format!("{} is in it more than once", shown(name)));
        }
        Ok(true)
    }

    fn compare(&self, verified: &mut Verified) {
        let Some([of_guide, of_manifest]) = &self.sums else {
            verified.find(format!("{SUMS} is missing"));
            return;
        };
        for (name, sha256, lines) in [
            (GUIDE, &self.guide, of_guide),
            (MANIFEST, &self.manifest, of_manifest),
        ] {
            let Some(sha256) = sha256 else {
                verified.find(format!("{name} is missing"));
                continue;
            };
            if !lines.contains(&sum_line(sha256, name.as_bytes())) {
                verified.find(format!("{SUMS} says another SHA-256 of {name}"));
            }
        }
    }
}

/// Lines of the sums that are of the guide, and of the manifest.
fn lines(sums: &mut impl Read) -> anyhow::Result<[Vec<Vec<u8>>; 2]> {
    let endings = [GUIDE, MANIFEST].map(|name| format!("  {name}\n").into_bytes());
    let mut found = [Vec::new(), Vec::new()];
    let mut from = BufReader::new(sums);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = from
            .by_ref()
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)
            .context(DAMAGED)?;
        if count == 0 {
            return Ok(found);
        }
        for (found, ending) in found.iter_mut().zip(&endings) {
            if line.ends_with(ending) && found.len() < LINES_MAX {
                found.push(line.clone());
            }
        }
    }
}

fn hash(entry: &mut impl Read, cancel: &CancellationToken) -> anyhow::Result<(String, u64)> {
    let mut hashed = Hashing::new(io::sink());
    let mut buffer = vec![0; 256 << 10];
    loop {
        if cancel.is_cancelled() {
            return Err(Stopped.into());
        }
        let count = entry.read(&mut buffer).context(DAMAGED)?;
        if count == 0 {
            let (_, sha256, bytes) = hashed.into_all();
            return Ok((sha256, bytes));
        }
        io::Write::write_all(&mut hashed, &buffer[..count])?;
    }
}
