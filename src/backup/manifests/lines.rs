//! Manifests as lines: written and read one line at a time, so that none is held in memory as a whole.

use std::{
    cmp::Ordering,
    io::{self, BufRead, Read},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::domain::backup::{
    manifest::{End, FileRecord, MANIFEST_FORMAT, Manifest, SnapshotPath, Totals},
    table::in_order_of_a_walk,
};

/// Begins the last line, and no other.
const END: &[u8] = b"{\"end\":";
/// Begins every manifest; the number of its format follows.
const BEGINNING: &[u8] = b"{\"format\":";
/// Digits that a format may have.
const DIGITS: usize = 9;

/// What is wrong with a manifest that is read.
#[derive(Debug, thiserror::Error)]
pub(in crate::backup) enum Fault {
    #[error("it is cut off: its last line is missing")]
    CutOff,
    #[error("it goes on behind its last line")]
    GoesOn,
    #[error("its line {line} cannot be read: {why}")]
    Line { line: u64, why: String },
    #[error("it is out of order, or has a file twice: see {0}")]
    Order(SnapshotPath),
    #[error("its last line speaks of {} files and {} bytes, and it has {} and {}", .said.files, .said.bytes, .has.files, .has.bytes)]
    Counts { said: Totals, has: Totals },
    #[error("it is of format {0}, and this program knows {MANIFEST_FORMAT}: use a newer one")]
    Newer(u32),
    #[error("it is no manifest")]
    None,
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// The format of what is read, and all of that, as it has to be looked into for that.
///
/// # Errors
/// [`Fault::None`] where it does not begin as a manifest does, [`Fault::Newer`].
pub(super) fn format_of<R: Read>(mut from: R) -> Result<(u32, impl Read), Fault> {
    let mut begin = Vec::with_capacity(BEGINNING.len() + DIGITS + 1);
    let most = begin.capacity() as u64;
    from.by_ref().take(most).read_to_end(&mut begin)?;
    if BEGINNING.starts_with(&begin) {
        return Err(Fault::CutOff);
    }
    let number = begin.strip_prefix(BEGINNING).unwrap_or_default();
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit());
    let number = number.get(..digits.count()).unwrap_or_default();
    let number = std::str::from_utf8(number).unwrap_or_default();
    let format: u32 = number.parse().map_err(|_| Fault::None)?;
    match (1..=MANIFEST_FORMAT).contains(&format) {
        true => Ok((format, io::Cursor::new(begin).chain(from))),
        false => Err(Fault::Newer(format)),
    }
}

/// The lines of a manifest of the present format, as they are read.
#[derive(Debug)]
pub(in crate::backup) struct Lines<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
    /// Of the file before.
    last: Option<SnapshotPath>,
    has: Totals,
    is_over: bool,
}

impl<R: BufRead> Lines<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// [`Fault::CutOff`] where not even that is there as a whole, and where it cannot be read.
    pub(super) fn begin(from: R) -> Result<(Manifest, Self), Fault> {
        let mut lines = Self {
            from,
            line: Vec::new(),
            number: 0,
            last: None,
            has: Totals::default(),
            is_over: false,
        };
        lines.read_line()?;
        let manifest = lines.parse()?;
        // Of what sources lack, it may be long.
        lines.line = Vec::new();
        Ok((manifest, lines))
    }

    /// The next file; none once the last line has said that this is all.
    ///
    /// # Errors
    /// What is wrong with it. None follows then.
    pub(super) fn next_file(&mut self) -> Result<Option<FileRecord>, Fault> {
        if self.is_over {
            return Ok(None);
        }
        // Whatever comes of this line, an error is the last that is heard.
        self.is_over = true;
        self.read_line()?;
        if self.line.starts_with(END) {
            let said = self.parse::<End>()?.end;
            return match (said == self.has, self.from.fill_buf()?.is_empty()) {
                (false, _) => Err(Fault::Counts {
                    said,
                    has: self.has,
                }),
                (true, false) => Err(Fault::GoesOn),
                (true, true) => Ok(None),
            };
        }
        let record: FileRecord = self.parse()?;
        let is_behind = self.last.as_ref().is_none_or(|last| {
            in_order_of_a_walk(last.as_bytes(), record.path.as_bytes()) == Ordering::Less
        });
        if !is_behind {
            return Err(Fault::Order(record.path));
        }
        self.last = Some(record.path.clone());
        self.has.add(record.size);
        self.is_over = false;
        Ok(Some(record))
    }

    /// How much has come so far.
    pub(super) fn has(&self) -> Totals {
        self.has
    }

    fn read_line(&mut self) -> Result<(), Fault> {
        self.line.clear();
        self.number += 1;
        self.from.read_until(b'\n', &mut self.line)?;
        match self.line.pop() {
            Some(b'\n') => Ok(()),
            _ => Err(Fault::CutOff),
        }
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.line).map_err(|error| Fault::Line {
            line: self.number,
            why: error.to_string(),
        })
    }
}

/// A manifest as it is to be written, line by line.
pub(in crate::backup) struct Written<'a, I> {
    manifest: Option<&'a Manifest>,
    files: I,
    has: Totals,
    is_over: bool,
}

impl<'a, I: Iterator<Item = anyhow::Result<FileRecord>>> Written<'a, I> {
    /// `files` are in the order of a walk.
    pub(in crate::backup) fn new(manifest: &'a Manifest, files: I) -> Self {
        Self {
            manifest: Some(manifest),
            files,
            has: Totals::default(),
            is_over: false,
        }
    }

    fn next_line(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        if let Some(manifest) = self.manifest.take() {
            return line(manifest).map(Some);
        }
        if self.is_over {
            return Ok(None);
        }
        match self.files.next() {
            Some(record) => {
                let record = record?;
                self.has.add(record.size);
                line(&record).map(Some)
            }
            None => {
                self.is_over = true;
                line(&End { end: self.has }).map(Some)
            }
        }
    }
}

impl<I: Iterator<Item = anyhow::Result<FileRecord>>> Iterator for Written<'_, I> {
    type Item = anyhow::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.next_line().transpose()?;
        // What is not whole has no last line.
        self.is_over |= line.is_err();
        Some(line)
    }
}

fn line(says: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(says)?;
    line.push(b'\n');
    Ok(line)
}
