//! A content that is coming in: a file, and the hash of what is in it so far.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    away,
    files::{Files, is_same},
    hex,
};
use crate::error::{Error, Reason, Result};

/// Only the server's user sees what is not yet whole.
const MODE: u32 = 0o600;
/// How much is read at once of what had come before.
const READ_AT_ONCE: u64 = 1 << 20;
/// Another may move the file away between opening and locking it, but hardly so often.
const ATTEMPTS: u32 = 5;

/// A content that is coming in. It is locked, so that nobody else adds to it, and where its hash was not announced
/// or it can come to nothing, it is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Partial {
    files: Files,
    path: PathBuf,
    file: File,
    digest: Sha256,
    size: u64,
    /// Nobody can go on with it.
    removed_when_dropped: bool,
}

/// What a content must be once it is whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Announced {
    pub(super) sha256: Option<String>,
    pub(super) size: Option<u64>,
}

impl Partial {
    /// Opens what has come of a content, and goes on at `offset`; from 0 it begins anew. Where the hash was not
    /// announced it always begins.
    ///
    /// # Errors
    /// [`Error::Aborted`] where another upload of it is under way; [`Error::Conflict`] `UPLOAD_OFFSET`.
    pub(super) fn open(files: &Files, sha256: Option<&str>, offset: u64) -> Result<Self> {
        let incoming = files.make_incoming().map_err(away)?;
        let path = match sha256 {
            Some(sha256) => files.partial(sha256),
            None => incoming.join(format!("{}.part", Uuid::now_v7())),
        };
        for _ in 0..ATTEMPTS {
            let Some(file) = locked(&path)? else { continue };
            let mut partial = Self {
                files: files.clone(),
                path,
                file,
                digest: Sha256::new(),
                size: 0,
                removed_when_dropped: sha256.is_none(),
            };
            partial.go_to(offset)?;
            return Ok(partial);
        }
        Err(in_progress())
    }

    /// Bytes that have come.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds what has come.
    pub(super) fn add<C: AsRef<[u8]>>(&mut self, chunks: &[C]) -> Result<()> {
        for chunk in chunks {
            let chunk = chunk.as_ref();
            self.file.write_all(chunk).map_err(away)?;
            self.digest.update(chunk);
            self.size += chunk.len() as u64;
        }
        Ok(())
    }

    /// It can come to nothing.
    pub(super) fn give_up(mut self) {
        self.removed_when_dropped = true;
    }

    /// Checks that it is whole, and puts it into its place. Says its hash and its size.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is not what was announced: one that is too short is kept, as more may come.
    pub(super) fn finish(mut self, announced: &Announced) -> Result<(String, u64)> {
        let size = self.size;
        match announced.size {
            Some(whole) if size < whole => {
                let left = match self.removed_when_dropped {
                    true => "nothing is kept of it, as its sha256 was not announced",
                    false => "they are kept: go on from there by `offset`",
                };
                let what =
                    format!("{size} bytes came of the {whole} that header.size announced; {left}");
                return Err(Error::invalid("data", what));
            }
            Some(whole) if whole < size => return Err(self.too_many(whole)),
            None if size == 0 && announced.sha256.is_none() => {
                let what = "no bytes came; a content that is empty is announced by header.size 0";
                return Err(Error::invalid("data", what));
            }
            _ => {}
        }
        let sha256 = hex(&std::mem::take(&mut self.digest).finalize());
        if let Some(wanted) = announced
            .sha256
            .as_ref()
            .filter(|wanted| **wanted != sha256)
        {
            self.give_up();
            let what = format!(
                "{wanted} was announced, and the {size} bytes that came have {sha256}: nothing is kept of them"
            );
            return Err(Error::invalid("header.sha256", what));
        }
        self.files
            .put(&self.file, &self.path, &sha256)
            .map_err(away)?;
        self.removed_when_dropped = false;
        Ok((sha256, size))
    }

    /// More came than was announced.
    pub(super) fn too_many(self, announced: u64) -> Error {
        self.give_up();
        let what = format!(
            "more than the {announced} bytes came that header.size announced: nothing is kept of them"
        );
        Error::invalid("data", what)
    }

    /// Reads what had come before.
    fn go_to(&mut self, offset: u64) -> Result<()> {
        let there = self.file.metadata().map_err(away)?.len();
        if offset == 0 {
            return self.file.set_len(0).map_err(away);
        }
        if offset != there {
            if there == 0 {
                // It was made just now, for nothing.
                self.removed_when_dropped = true;
            }
            let message = format!(
                "header.offset is {offset}, and {there} bytes are here: go on at {there}, or begin anew at 0"
            );
            let subject = self.path.file_name().unwrap_or_default().to_string_lossy();
            let subject = format!("contents/{subject}");
            return Err(Error::conflict(Reason::UploadOffset, subject, message));
        }
        let mut buffer = Vec::new();
        while self.size < there {
            buffer.clear();
            let mut part = (&self.file).take(READ_AT_ONCE);
            let read = part.read_to_end(&mut buffer).map_err(away)?;
            if read == 0 {
                return Err(away(ErrorKind::UnexpectedEof.into()));
            }
            self.digest.update(&buffer);
            self.size += read as u64;
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.removed_when_dropped
            && let Err(error) = fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            // The sweep will find it.
            tracing::warn!(%error, "could not remove an upload that came to nothing");
        }
    }
}

/// Opens and locks a file; none where it was moved away in between.
fn locked(path: &PathBuf) -> Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(path)
        .map_err(away)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_progress()),
        Err(TryLockError::Error(error)) => return Err(away(error)),
    }
    match fs::symlink_metadata(path) {
        Ok(there) if is_same(&there, &file.metadata().map_err(away)?) => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(away(error)),
    }
}

fn in_progress() -> Error {
    Error::Aborted {
        reason: Reason::UploadInProgress,
        message: "another upload of this content is under way: wait for it, then send it again"
            .to_owned(),
    }
}
