//! Writes a file, and leaves holes where its content is zeros: what took no room takes none again.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt as _,
};

/// A hole is of whole blocks of the file system.
const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What is written is gathered, so that it is looked at block by block.
const GATHERED: usize = 64 * BLOCK;

/// A file under way.
pub(super) struct Sparse {
    file: File,
    gathered: Vec<u8>,
    /// Where what is gathered goes: at the beginning of a block.
    at: u64,
    /// Why it could not be written.
    failed: Option<io::Error>,
}

impl Sparse {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            gathered: Vec::new(),
            at: 0,
            failed: None,
        }
    }

    /// Writes the rest; says the file.
    ///
    /// # Errors
    /// What could not be written, now or before.
    pub(super) fn finish(mut self) -> io::Result<File> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let rest = std::mem::take(&mut self.gathered);
        self.put(&rest)?;
        // A hole at the end.
        self.file.set_len(self.at)?;
        Ok(self.file)
    }

    /// Why it could not be written, where that is so: whoever has written says only that it could not.
    pub(super) fn failed(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut full: Option<usize> = None;
        for (number, block) in bytes.chunks(BLOCK).enumerate() {
            let begin = number * BLOCK;
            match block == &ZEROS[..block.len()] {
                false => {
                    full.get_or_insert(begin);
                }
                true => {
                    if let Some(from) = full.take() {
                        self.write_at(&bytes[from..begin], from)?;
                    }
                }
            }
        }
        if let Some(from) = full {
            self.write_at(&bytes[from..], from)?;
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: usize) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at + offset as u64)
    }

    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if !self.gathered.is_empty() {
            let count = bytes.len().min(GATHERED - self.gathered.len());
            self.gathered.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.gathered.len() < GATHERED {
                return Ok(());
            }
            let gathered = std::mem::take(&mut self.gathered);
            self.put(&gathered)?;
            self.gathered = gathered;
            self.gathered.clear();
        }
        let whole = bytes.len() - bytes.len() % GATHERED;
        self.put(&bytes[..whole])?;
        self.gathered.extend_from_slice(&bytes[whole..]);
        Ok(())
    }
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let told = io::Error::from(error.kind());
                self.failed.get_or_insert(error);
                Err(told)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn written(bytes: &[u8], piece: usize) -> (Vec<u8>, u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut sparse = Sparse::new(File::create(&path).unwrap());
        for bytes in bytes.chunks(piece) {
            sparse.write_all(bytes).unwrap();
        }
        let blocks = sparse.finish().unwrap().metadata().unwrap().blocks();
        (std::fs::read(&path).unwrap(), blocks)
    }

    #[test]
    fn content_is_what_it_was_however_it_comes() {
        let mut bytes = vec![0; 3 * GATHERED + 777];
        for at in [0, 5, BLOCK, GATHERED - 1, GATHERED + 3 * BLOCK] {
            bytes[at] = 7;
        }
        for piece in [1000, BLOCK, GATHERED, GATHERED + 1, bytes.len()] {
            assert!(written(&bytes, piece).0 == bytes, "{piece}");
        }
        assert_eq!(written(b"", 1).0, b"");
        assert_eq!(written(b"short", 2).0, b"short");
    }

    #[test]
    fn zeros_take_no_room() {
        let (content, blocks) = written(&vec![0; 10 << 20], 1 << 20);
        assert_eq!(content.len(), 10 << 20);
        assert!(blocks < 100, "{blocks}");
    }
}
