//! Sending a content back: hashed while it is read, and its end held back until the hash is right.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
};

use async_stream::try_stream;
use futures_util::Stream;
use sha2::{Digest as _, Sha256};

use super::{away, blocking, files::Files, health::Fault, hex};
use crate::{
    domain::document::{Content, key::Named},
    error::{Error, Reason, Result},
    records::Documents,
};

/// Bytes of a piece, which is a message of a download.
const PIECE: u64 = 256 << 10;
/// Pieces that are read at once, while those before them are sent.
const PIECES: usize = 4;
/// Bytes that are hashed at once on the way to the first that is wanted.
const PASSED_AT_ONCE: u64 = 8 << 20;

/// A content that is being read.
#[derive(Debug)]
struct Reader {
    file: File,
    digest: Sha256,
    sha256: String,
    size: u64,
    at: u64,
    /// The first byte that is wanted.
    from: u64,
}

/// What was read.
#[derive(Debug)]
enum Read {
    Pieces(Vec<Vec<u8>>),
    /// The last pieces: the whole is what it should be.
    Last(Vec<Vec<u8>>),
    /// The whole is not what it should be.
    Damaged(String),
}

impl Documents {
    /// The content of a document, without a version the newest, from `offset` on. However far it is sent, it is
    /// verified as a whole, and ends with an error where it is not what it should be.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] `NO_CONTENT`, `CONTENT_MISSING` or `CONTENT_DAMAGED`;
    /// [`Error::Invalid`] for `offset`.
    pub async fn download(
        &self,
        named: &Named,
        offset: u64,
    ) -> Result<(Content, impl Stream<Item = Result<Vec<u8>>> + Send + use<>)> {
        let document = self.store().document(named).await?;
        let Some(content) = document.content.clone() else {
            let message = format!("{} has no content yet", document.key);
            return Err(Error::conflict(
                Reason::NoContent,
                document.resource_name(),
                message,
            ));
        };
        let size = u64::try_from(content.size).map_err(Error::internal)?;
        if size < offset {
            let what = format!("{offset} given; the content has {size} bytes");
            return Err(Error::invalid("offset", what));
        }
        let (files, sha256) = (self.files(), content.sha256.clone());
        let opened = blocking(move || Reader::open(&files, sha256, size, offset)).await?;
        let reader = match opened {
            Ok(reader) => reader,
            Err(fault) => return Err(self.at_fault(&content.sha256, fault).await),
        };
        Ok((content, self.clone().pieces(reader)))
    }

    fn pieces(self, reader: Reader) -> impl Stream<Item = Result<Vec<u8>>> + Send + use<> {
        try_stream! {
            let sha256 = reader.sha256.clone();
            let read = |reader: Reader| tokio::spawn(blocking(|| reader.read()));
            let mut next = Some(read(reader));
            while let Some(job) = next.take() {
                let (reader, part) = job.await.map_err(Error::internal)??;
                let pieces = match part {
                    Read::Pieces(pieces) => {
                        // While these are sent.
                        next = Some(read(reader));
                        pieces
                    }
                    Read::Last(pieces) => {
                        if self.is_at_fault(&sha256).await? {
                            // Someone has put it back.
                            self.clear_fault(&sha256).await?;
                        }
                        pieces
                    }
                    Read::Damaged(what) => {
                        let file = reader.file.metadata().map_err(away)?;
                        drop(reader);
                        Err(self.at_fault(&sha256, Fault::Damaged { file, what }).await)?;
                        return;
                    }
                };
                for piece in pieces {
                    yield piece;
                }
            }
        }
    }
}

impl Reader {
    /// Opens a content, and sees that it has its size; else, what is wrong with it.
    fn open(
        files: &Files,
        sha256: String,
        size: u64,
        from: u64,
    ) -> Result<std::result::Result<Self, Fault>> {
        let file = match File::open(files.place(&sha256)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(Fault::Missing)),
            Err(error) => return Err(away(error)),
        };
        let about = file.metadata().map_err(away)?;
        if about.len() != size {
            let what = format!("it has {} bytes instead of {size}", about.len());
            return Ok(Err(Fault::Damaged { file: about, what }));
        }
        Ok(Ok(Self {
            file,
            digest: Sha256::new(),
            sha256,
            size,
            at: 0,
            from,
        }))
    }

    /// Reads on: to the first byte that is wanted, or some pieces.
    fn read(mut self) -> Result<(Self, Read)> {
        let mut pieces = Vec::new();
        let mut passed = 0;
        while pieces.len() < PIECES && self.at < self.size && passed < PASSED_AT_ONCE {
            let bound = match self.at < self.from {
                true => self.from,
                false => self.size,
            };
            let wanted = PIECE.min(bound - self.at);
            let mut piece = Vec::with_capacity(usize::try_from(wanted).map_err(Error::internal)?);
            let mut part = (&self.file).take(wanted);
            let read = part.read_to_end(&mut piece).map_err(away)? as u64;
            self.digest.update(&piece);
            let is_wanted = self.from <= self.at;
            self.at += read;
            if read < wanted {
                let what = format!("it ends after {} bytes of {}", self.at, self.size);
                return Ok((self, Read::Damaged(what)));
            }
            if is_wanted {
                pieces.push(piece);
            } else {
                passed += read;
            }
        }
        if self.at < self.size {
            return Ok((self, Read::Pieces(pieces)));
        }
        let found = hex(&std::mem::take(&mut self.digest).finalize());
        if found != self.sha256 {
            let what = format!("its SHA-256 is {found}");
            return Ok((self, Read::Damaged(what)));
        }
        Ok((self, Read::Last(pieces)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all; the bytes, or what is wrong.
    fn read(data: &std::path::Path, sha256: &str, size: u64, from: u64) -> Result<Vec<u8>, String> {
        let files = Files::below(data);
        let mut reader = Reader::open(&files, sha256.to_owned(), size, from)
            .unwrap()
            .map_err(|fault| format!("{fault:?}"))?;
        let mut bytes = Vec::new();
        loop {
            let (next, part) = reader.read().unwrap();
            reader = next;
            match part {
                Read::Pieces(pieces) => bytes.extend(pieces.concat()),
                Read::Last(pieces) => {
                    bytes.extend(pieces.concat());
                    return Ok(bytes);
                }
                Read::Damaged(what) => return Err(what),
            }
        }
    }

    #[test]
    fn from_wherever_it_is_read_the_whole_is_verified() {
        let dir = tempfile::tempdir().unwrap();
        let whole: Vec<u8> = (0..3 * PIECE + 17).map(|at| (at % 251) as u8).collect();
        let size = whole.len() as u64;
        let sha256 = hex(&Sha256::digest(&whole));
        let place = Files::below(dir.path()).place(&sha256);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, &whole).unwrap();

        for from in [0, 1, PIECE, 2 * PIECE + 5, size - 1, size] {
            let wanted = &whole[usize::try_from(from).unwrap()..];
            assert!(read(dir.path(), &sha256, size, from).unwrap() == wanted);
        }
        let mut damaged = whole.clone();
        damaged[7] ^= 1;
        std::fs::write(&place, &damaged).unwrap();
        for from in [0, size] {
            let wrong = read(dir.path(), &sha256, size, from).unwrap_err();
            assert!(wrong.contains("SHA-256"), "{wrong}");
        }
        std::fs::write(&place, &whole[1..]).unwrap();
        let wrong = read(dir.path(), &sha256, size, 0).unwrap_err();
        assert!(wrong.contains("instead of"), "{wrong}");
    }
}
