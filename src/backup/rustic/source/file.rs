//! One file of a source: opened when its turn comes, read to its end, and hashed as it goes by.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufReader, Read},
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use rustic_core::{ErrorKind, ReadSourceOpen, RusticError, RusticResult};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use sha2::{Digest as _, Sha256};

use super::ledger::{Ledger, Unchanged};
use crate::domain::backup::manifest::{FileRecord, SnapshotPath};

/// What is read from the disk at once.
const READ_BYTES: usize = 256 << 10;
/// After so many bytes of a file it is told how far it is.
const TELL_EVERY: u64 = 1 << 20;

/// A file that may be opened. Where it goes without having been, the library has taken it from the parent.
pub(in super::super) struct Open(Option<Known>);

pub(super) struct Known {
    /// Where its name is; none for one that is a source by itself.
    pub(super) directory: Option<Arc<OwnedFd>>,
    pub(super) name: OsString,
    pub(super) path: SnapshotPath,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) all_or_nothing: bool,
    pub(super) ledger: Arc<Ledger>,
}

impl Open {
    pub(super) fn new(known: Known) -> Self {
        known.ledger.begin_file();
        Self(Some(known))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A walk that was stopped drops files, too; then no snapshot is made.
        if let Some(known) = self.0.take() {
            known.ledger.leave(Unchanged {
                path: known.path,
                size: known.size,
                mtime: known.mtime,
                all_or_nothing: known.all_or_nothing,
            });
        }
    }
}

impl ReadSourceOpen for Open {
    type Reader = Reader;

    fn open(mut self) -> RusticResult<Reader> {
        let known = self
            .0
            .take()
            .ok_or_else(|| RusticError::new(ErrorKind::Internal, "a file was opened twice"))?;
        match known.open() {
            Ok(file) => Ok(Reader::new(known, file)),
            Err(error) => {
                let message = error.to_string();
                known.fail(format!("could not open it: {message}"));
                Err(RusticError::new(ErrorKind::InputOutput, message))
            }
        }
    }
}

impl Known {
    /// It may have become something else since it was listed: a link is not followed, and a fifo not waited for.
    fn open(&self) -> io::Result<File> {
        let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let directory = match &self.directory {
            Some(directory) => {
                flags |= OFlags::NOFOLLOW;
                directory.as_fd()
            }
            None => CWD,
        };
        let file = openat(directory, &self.name, flags, Mode::empty())?;
        let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(io::Error::other("it is no longer a file"));
        }
        Ok(File::from(file))
    }

    fn fail(&self, message: String) {
        let path = self.path.clone();
        self.ledger.fail_file(path, message, self.all_or_nothing);
    }
}

/// Reads as many bytes as the snapshot says that the file has.
pub(in super::super) struct Reader {
    known: Known,
    file: BufReader<File>,
    left: u64,
    untold: u64,
    hash: Sha256,
    ended: bool,
}

impl Reader {
    fn new(known: Known, file: File) -> Self {
        let buffer = usize::try_from(known.size).unwrap_or(READ_BYTES);
        Self {
            file: BufReader::with_capacity(buffer.clamp(4096, READ_BYTES), file),
            left: known.size,
            untold: 0,
            hash: Sha256::new(),
            ended: false,
            known,
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let wanted = wanted.min(buffer.len());
        let filled = fill(&mut self.file, &mut buffer[..wanted])?;
        if filled < wanted {
            let there = self.known.size - self.left + filled as u64;
            return Err(io::Error::other(format!(
                "it was cut off while it was read, from {} bytes to {there}",
                self.known.size
            )));
        }
        Ok(filled)
    }

    fn tell(&mut self) {
        self.known
            .ledger
            .add_bytes(std::mem::take(&mut self.untold));
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.tell();
        let hash = std::mem::take(&mut self.hash).finalize();
        self.known.ledger.finish(FileRecord {
            path: self.known.path.clone(),
            size: self.known.size,
            mtime: self.known.mtime,
            sha256: hex(&hash),
        });
    }
}

/// Fills the buffer where there is more: the library's chunker crawls where reads are short.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.known.ledger.is_to_stop() {
            return Err(io::Error::other("it is to stop"));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.fill(buffer) {
            Ok(0) => {
                self.end();
                Ok(0)
            }
            Ok(count) => {
                self.hash.update(&buffer[..count]);
                self.left -= count as u64;
                self.untold += count as u64;
                if self.untold >= TELL_EVERY {
                    self.tell();
                }
                Ok(count)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.ended, true) {
                    self.known.fail(format!("could not read it: {error}"));
                }
                Err(error)
            }
        }
    }
}

pub(in super::super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, and is interrupted before each.
    struct Short {
        bytes: Vec<u8>,
        at: usize,
        interrupted: bool,
    }

    impl Read for Short {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let Some(byte) = self.bytes.get(self.at) else {
                return Ok(0);
            };
            buffer[0] = *byte;
            self.at += 1;
            Ok(1)
        }
    }

    #[test]
    fn short_reads_are_made_long_ones() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut short = Short {
            bytes: bytes.clone(),
            at: 0,
            interrupted: false,
        };
        let mut buffer = [0; 64];
        assert_eq!(fill(&mut short, &mut buffer).unwrap(), 64);
        assert_eq!(buffer, bytes[..64]);
        assert_eq!(fill(&mut short, &mut buffer).unwrap(), 36);
        assert_eq!(buffer[..36], bytes[64..]);
    }
}
