//! Rows on their way: in a file that has no name any more, and goes with the process.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use uuid::Uuid;

use crate::{
    domain::document::row::{COLUMNS, RawRow},
    error::{Error, Result},
};

/// What an import may take on the disk.
const BYTES_MAX: u64 = 4 << 30;
/// Written at once.
const BUFFER: usize = 256 << 10;

/// Rows, one after another.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    buffer: Vec<u8>,
    written: u64,
}

impl Spool {
    pub(super) fn open(data: &Path) -> Result<Self> {
        let folder = data.join("imports");
        let file = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .and_then(|()| {
                let path = folder.join(Uuid::now_v7().to_string());
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)?;
                std::fs::remove_file(&path)?;
                Ok(file)
            });
        Ok(Self {
            file: file.map_err(away)?,
            buffer: Vec::with_capacity(BUFFER),
            written: 0,
        })
    }

    /// Where the next row will be.
    pub(super) fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(super) fn push(&mut self, row: &RawRow) -> Result<()> {
        self.buffer.extend(row.line.to_le_bytes());
        for field in row.fields() {
            let length = u32::try_from(field.len()).map_err(Error::internal)?;
            self.buffer.extend(length.to_le_bytes());
            self.buffer.extend(field.as_bytes());
        }
        if BYTES_MAX < self.end() {
            let message = format!(
                "the rows of an import take more than {} GiB: bring them in by several",
                BYTES_MAX >> 30
            );
            return Err(Error::Exhausted(message));
        }
        if BUFFER <= self.buffer.len() {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer).map_err(away)?;
        self.written += self.buffer.len() as u64;
        // One long row must not keep its room.
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        Ok(())
    }

    /// The rows between two places. All must have been flushed.
    pub(super) fn read(&self, from: u64, to: u64) -> Result<Vec<RawRow>> {
        let length = usize::try_from(to - from).map_err(Error::internal)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, from).map_err(away)?;
        let mut rest = bytes.as_slice();
        let mut rows = Vec::new();
        while !rest.is_empty() {
            rows.push(row(&mut rest).ok_or_else(|| Error::internal("a spooled row is broken"))?);
        }
        Ok(rows)
    }
}

fn row(bytes: &mut &[u8]) -> Option<RawRow> {
    let mut row = RawRow {
        line: i64::from_le_bytes(*bytes.split_off(..8)?.first_chunk()?),
        ..RawRow::default()
    };
    debug_assert_eq!(row.fields().len(), COLUMNS.len());
    for field in row.fields_mut() {
        let length = u32::from_le_bytes(*bytes.split_off(..4)?.first_chunk()?);
        let text = bytes.split_off(..length as usize)?;
        std::str::from_utf8(text).ok()?.clone_into(field);
    }
    Some(row)
}

fn away(error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::StorageFull {
        let message = "there is no room in the data directory for the rows of an import";
        return Error::Exhausted(message.to_owned());
    }
    Error::unavailable(super::SPOOL, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_and_nothing_is_left() {
        let data = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(data.path()).unwrap();
        let rows: Vec<RawRow> = (0..3)
            .map(|line| RawRow {
                line,
                number: format!("SOP-{line}"),
                content_file_name: "ü".repeat(line as usize),
                ..RawRow::default()
            })
            .collect();
        let mut places = Vec::new();
        for row in &rows {
            places.push(spool.end());
            spool.push(row).unwrap();
        }
        spool.flush().unwrap();
        assert_eq!(spool.read(0, spool.end()).unwrap(), rows);
        assert_eq!(spool.read(places[1], places[2]).unwrap(), rows[1..2]);
        let left = std::fs::read_dir(data.path().join("imports")).unwrap();
        assert_eq!(left.count(), 0);
    }
}
