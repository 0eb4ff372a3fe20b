//! Reading an export: every member, every hash, and nothing that does not belong there.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, bail};
use tar::EntryType;
use tokio_util::sync::CancellationToken;

use super::{GUIDE, MANIFEST, SUMS, member, path_of, sum_line};
use crate::{
    backup::{
        child::Stopped,
        manifests::{Beside, Files, Stored, manifest_from},
        read_back::Hashing,
    },
    domain::backup::{
        manifest::{FileRecord, SnapshotPath},
        table::in_order_of_a_walk,
    },
};

/// Bytes of a line of the sums: of a path that is longer, more follows as if it were another.
const LINE_MAX: u64 = 64 << 10;
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
        let shown = shown(&name);
        match (entry.header().entry_type(), &mut wanted) {
            (EntryType::Regular, _) => {}
            (EntryType::Directory | EntryType::Symlink, Some(_)) => {
                verified.others += 1;
                continue;
            }
            (EntryType::Link, Some(wanted)) => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                verified.files += 1;
                match wanted.meet(&name, &mut verified)? {
                    Some(record) => wanted.names.push((record, path_of(&target))),
                    None => verified.find(not_wanted(&shown)),
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
                let stored = manifest_from(&mut entry, size, path.parent())
                    .context("its manifest cannot be read")?;
                described.manifest = Some(stored.sha256.clone());
                verified.frozen_at = Some(stored.manifest.frozen_at);
                wanted = Some(Wanted::of(stored)?);
            }
            (b"SHA256SUMS", Some(_)) if described.sums.is_none() => {
                described.sums = Some(described.look_at_sums(&mut entry)?);
            }
            (_, None) => bail!("{shown} comes before {MANIFEST}"),
            (name, Some(wanted)) => {
                let Some(record) = wanted.meet(name, &mut verified)? else {
                    verified.find(not_wanted(&shown));
                    continue;
                };
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
    let Some(wanted) = wanted else {
        bail!("{MANIFEST} is not in it")
    };
    wanted.end(&mut verified)?;
    described.compare(&mut verified);
    Ok(verified)
}

fn not_wanted(shown: &str) -> String {
    format!("{shown} is not in the manifest, or there twice, or out of order")
}

/// A member's name, for people.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).escape_debug().to_string()
}

/// Files of the manifest that are to come: members are in the same order.
struct Wanted {
    stored: Stored,
    files: Beside<Files>,
    /// Further names of files, each with the path of the file whose name it is.
    names: Vec<(FileRecord, SnapshotPath)>,
}

impl Wanted {
    fn of(stored: Stored) -> anyhow::Result<Self> {
        Ok(Self {
            files: Beside::new(stored.files()?),
            stored,
            names: Vec::new(),
        })
    }

    /// What the manifest says of a member. Those before it that did not come are missing.
    fn meet(&mut self, name: &[u8], verified: &mut Verified) -> anyhow::Result<Option<FileRecord>> {
        let missing = |record: &FileRecord| verified.find_missing(record);
        Ok(self.files.meet(&path_of(name), missing)?)
    }

    fn end(mut self, verified: &mut Verified) -> anyhow::Result<()> {
        self.files
            .rest(|record: &FileRecord| verified.find_missing(record))?;
        let targets: HashSet<&SnapshotPath> = self.names.iter().map(|(_, target)| target).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let mut found = HashMap::new();
        for file in self.stored.files()? {
            let file = file?;
            if targets.contains(&file.path) {
                found.insert(file.path, (file.size, file.sha256));
            }
        }
        for (record, target) in &self.names {
            let name = shown(&member(&record.path));
            let comes_before =
                in_order_of_a_walk(target.as_bytes(), record.path.as_bytes()) == Ordering::Less;
            match found.get(target).filter(|_| comes_before) {
                None => verified.find(format!(
                    "{name} is a further name of what did not come before it"
                )),
                Some((size, sha256)) if (*size, sha256) != (record.size, &record.sha256) => {
                    verified.find(format!(
                        "{name} is another name of a file with another content"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

impl Verified {
    fn find(&mut self, what: String) {
        if self.findings.len() < TOLD {
            self.findings.push(what);
        }
    }

    fn find_missing(&mut self, record: &FileRecord) {
        self.find(format!("{} is missing", shown(&member(&record.path))));
    }
}

/// What describes the others.
#[derive(Debug, Default)]
struct Described {
    guide: Option<String>,
    manifest: Option<String>,
    /// Whether the sums have the right lines of the guide and of the manifest.
    sums: Option<[bool; 2]>,
}

impl Described {
    /// Names and hashes of what comes before the sums.
    fn both(&self) -> [(&'static str, &Option<String>); 2] {
        [(GUIDE, &self.guide), (MANIFEST, &self.manifest)]
    }

    fn look_at_sums(&self, entry: &mut impl Read) -> anyhow::Result<[bool; 2]> {
        let lines = self.both().map(|(name, sha256)| {
            let sha256 = sha256.as_deref().unwrap_or_default();
            sum_line(sha256, name.as_bytes())
        });
        let mut found = [false; 2];
        let mut from = BufReader::new(entry);
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = from
                .by_ref()
                .take(LINE_MAX)
                .read_until(b'\n', &mut line)
                .context("it is cut off, or damaged")?;
            if count == 0 {
                return Ok(found);
            }
            for (found, wanted) in found.iter_mut().zip(&lines) {
                *found |= line == *wanted;
            }
        }
    }

    fn compare(&self, verified: &mut Verified) {
        let Some(sums) = self.sums else {
            verified.find(format!("{SUMS} is missing"));
            return;
        };
        for ((name, sha256), is_right) in self.both().into_iter().zip(sums) {
            if sha256.is_none() {
                verified.find(format!("{name} is missing"));
            } else if !is_right {
                verified.find(format!("{SUMS} says another SHA-256 of {name}"));
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
