//! The hash of a file, by which the server knows its content.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use sha2::{Digest as _, Sha256};

use super::TransferError;

const PIECE: usize = 256 * 1024;

/// What is known of a content before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// Hashes the file at `path`, away from the threads that must not wait.
///
/// # Errors
/// Where it cannot be read, or is no file.
pub async fn digest(path: &Path) -> Result<Digest, TransferError> {
    let path = path.to_owned();
    let hashing = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || of_file(&path))
    };
    let hashed = hashing
        .await
        .unwrap_or_else(|died| Err(io::Error::other(died)));
    hashed.map_err(|source| TransferError::File { path, source })
}

fn of_file(path: &Path) -> io::Result<Digest> {
    let mut file = open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(piece.get(..read).unwrap_or_default());
        size += read as u64;
    }
    Ok(Digest {
        sha256: hex(&hasher.finalize()),
        size,
    })
}

/// Opens a regular file: a pipe would be empty the second time.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(path)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_known_by_its_hash_and_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let known = digest(&path).await.unwrap();
        assert_eq!(known.size, 3);
        assert_eq!(
            known.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(digest(folder.path()).await.is_err());
    }
}
