//! The files that are backed up: half of each compresses well, half not at all, as documents do.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A set of files below one folder.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) count: usize,
    size: usize,
}

impl Files {
    /// Makes `count` files of `mib` MiB together, in folders of a hundred.
    pub(super) fn make(folder: PathBuf, count: usize, mib: usize) -> anyhow::Result<Self> {
        let size = mib * (1 << 20) / count;
        let files = Self {
            folder,
            count,
            size,
        };
        for number in 0..count {
            files.write(number, 0)?;
        }
        Ok(files)
    }

    /// Changes one file in a hundred.
    pub(super) fn change(&self, version: u64) -> anyhow::Result<()> {
        for number in (0..self.count).step_by(100) {
            self.write(number, version)?;
        }
        Ok(())
    }

    /// Gives every file other contents.
    pub(super) fn renew(&self, version: u64) -> anyhow::Result<()> {
        for number in 0..self.count {
            self.write(number, version)?;
        }
        Ok(())
    }

    fn write(&self, number: usize, version: u64) -> anyhow::Result<()> {
        let path = self.path(number);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ version.wrapping_mul(0xd134_2543_de82_ef95);
        let mut bytes = Vec::with_capacity(self.size);
        while bytes.len() < self.size / 2 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_be_bytes());
        }
        while bytes.len() < self.size {
            let line = format!(
                "line {} of document {number}, version {version}\n",
                bytes.len()
            );
            bytes.extend_from_slice(line.as_bytes());
        }
        bytes.truncate(self.size);
        Ok(fs::write(path, bytes)?)
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder
            .join(format!("{:03}", number / 100))
            .join(format!("{number:05}"))
    }
}

/// How many files lie below a folder, and their bytes.
pub(super) fn count(folder: &Path) -> anyhow::Result<(usize, u64)> {
    let (mut files, mut bytes) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                files += 1;
                bytes += about.len();
            }
        }
    }
    Ok((files, bytes))
}
