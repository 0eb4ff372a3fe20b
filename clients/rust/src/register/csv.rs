//! Records of a CSV file.

use std::io::{self, BufRead};

use csv_core::ReadFieldResult;

use super::{Column, FileRow, LARGEST_RECORD, RegisterError, column::header};
use crate::pb::BadRow;

/// Fields of which it is remembered where they end: more than there are columns.
const MOST_FIELDS: usize = 64;

/// The records behind a header.
pub(super) struct Records<B> {
    input: B,
    parser: csv_core::Reader,
    columns: Vec<Column>,
    /// The fields of one record, one behind the other. It never grows.
    fields: Box<[u8]>,
    /// Where each ends.
    ends: Vec<usize>,
}

/// A record that was read, or what it was instead.
struct Record {
    /// The line on which it begins.
    line: u64,
    /// Fields there are, also where they were too many to remember.
    field_count: u64,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    TooLarge,
    /// A quote that opens on this line is open at the end of the file.
    OpenQuote(u64),
}

impl<B: BufRead> Records<B> {
    /// Reads the header.
    ///
    /// # Errors
    /// Where the file cannot be read, or its header is none.
    pub(super) fn open(input: B) -> Result<Self, RegisterError> {
        let mut records = Self {
            input,
            parser: csv_core::Reader::new(),
            columns: Vec::new(),
            fields: vec![0; LARGEST_RECORD].into_boxed_slice(),
            ends: Vec::with_capacity(MOST_FIELDS),
        };
        let Some(record) = records.record()? else {
            return Err(RegisterError::Refused {
                line: 1,
                reason: "the file is empty: its first line must name the columns".to_owned(),
            });
        };
        let refused = |reason| RegisterError::Refused {
            line: record.line,
            reason,
        };
        if let Some(fault) = record.fault {
            return Err(refused(format!(
                "the header is no header: {}",
                fault.told()
            )));
        }
        let named = records.texts().and_then(|names| header(&names));
        records.columns = named.map_err(refused)?;
        Ok(records)
    }

    /// The next record that is not blank; none at the end of the file.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Result<FileRow, BadRow>>> {
        while let Some(record) = self.record()? {
            if let Some(fault) = record.fault {
                return Ok(Some(Err(fault.into_bad_row(&record))));
            }
            // Spreadsheets write rows that were emptied as commas alone.
            let remembered = record.field_count <= MOST_FIELDS as u64;
            if !(remembered && self.filled().trim_ascii().is_empty()) {
                return Ok(Some(self.row(&record)));
            }
        }
        Ok(None)
    }

    fn row(&self, record: &Record) -> Result<FileRow, BadRow> {
        let mut row = FileRow::default();
        row.row.line = i64::try_from(record.line).unwrap_or(i64::MAX);
        let mut bad = None;
        for (&column, field) in self.columns.iter().zip(self.fields()) {
            match std::str::from_utf8(field) {
                Ok(text) if text.contains('\0') => {
                    bad.get_or_insert((column, "holds a NUL byte".to_owned()));
                }
                Ok(text) => row.set(column, text),
                Err(error) => {
                    let place = error.valid_up_to() + 1;
                    let reason = format!("byte {place} of it is not UTF-8: save the file as UTF-8");
                    bad.get_or_insert((column, reason));
                }
            }
        }
        let expected = self.columns.len();
        if record.field_count != expected as u64 {
            let count = record.field_count;
            let mut reason =
                format!("the row has {count} fields, where the header names {expected}");
            if self.filled().contains(&b'\n') {
                reason.push_str("; it goes over several lines: is a quote missing?");
            }
            return Err(row.bad(None, reason));
        }
        match bad {
            Some((column, reason)) => Err(row.bad(Some(column), reason)),
            None => Ok(row),
        }
    }

    /// The fields of the header as text, trimmed.
    fn texts(&self) -> Result<Vec<&str>, String> {
        let texts = self.fields().map(|field| match std::str::from_utf8(field) {
            Ok(text) => Ok(text.trim()),
            Err(_) => Err("the header is not UTF-8: save the file as UTF-8".to_owned()),
        });
        texts.collect()
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins
            .zip(self.ends.iter().copied())
            .map(|(begin, end)| self.fields.get(begin..end).unwrap_or_default())
    }

    /// All fields of the record, without what is between them.
    fn filled(&self) -> &[u8] {
        let end = self.ends.last().copied().unwrap_or_default();
        self.fields.get(..end).unwrap_or_default()
    }

    /// Reads the next record into `fields`; one that is too large is read to its end, and dropped.
    fn record(&mut self) -> io::Result<Option<Record>> {
        self.skip_line_ends()?;
        let mut record = Record {
            line: self.parser.line(),
            field_count: 0,
            fault: None,
        };
        self.ends.clear();
        let mut begun = false;
        let mut filled = 0;
        let mut field_begins = record.line;
        loop {
            let chunk = self.input.fill_buf()?;
            let at_end = chunk.is_empty();
            if at_end && !begun {
                return Ok(None);
            }
            begun = true;
            // A line end ends the last record too, unless it is within quotes.
            let chunk = if at_end { b"\n" } else { chunk };
            let room = self.fields.get_mut(filled..).unwrap_or_default();
            let (result, read, written) = self.parser.read_field(chunk, room);
            filled += written;
            if !at_end {
                self.input.consume(read);
            }
            match result {
                ReadFieldResult::InputEmpty if at_end => {
                    record.fault = Some(Fault::OpenQuote(field_begins));
                    return Ok(Some(record));
                }
                ReadFieldResult::InputEmpty => {}
                ReadFieldResult::OutputFull => {
                    record.fault = Some(Fault::TooLarge);
                    filled = 0;
                }
                ReadFieldResult::Field { record_end } => {
                    record.field_count += 1;
                    if record.fault.is_some() {
                        filled = 0;
                    } else if self.ends.len() < MOST_FIELDS {
                        self.ends.push(filled);
                    }
                    field_begins = self.parser.line();
                    if record_end {
                        return Ok(Some(record));
                    }
                }
                ReadFieldResult::End => return Ok(None),
            }
        }
    }

    /// The parser skips empty lines too, but then the line of the record is not known.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            let chunk = self.input.fill_buf()?;
            let kept = chunk
                .iter()
                .position(|&byte| !matches!(byte, b'\r' | b'\n'));
            let skipped = kept.unwrap_or(chunk.len());
            let ends = chunk.iter().take(skipped).filter(|&&byte| byte == b'\n');
            let line = self.parser.line() + ends.count() as u64;
            self.parser.set_line(line);
            self.input.consume(skipped);
            if kept.is_some() || skipped == 0 {
                return Ok(());
            }
        }
    }
}

impl Fault {
    fn told(self) -> String {
        match self {
            Self::TooLarge => format!(
                "it is larger than {} KiB; is a quote missing?",
                LARGEST_RECORD / 1024
            ),
            Self::OpenQuote(line) => {
                format!("the quote that opens on line {line} is open at the end of the file")
            }
        }
    }

    fn into_bad_row(self, record: &Record) -> BadRow {
        let line = match self {
            Self::TooLarge => record.line,
            Self::OpenQuote(line) => line,
        };
        BadRow {
            line: i64::try_from(line).unwrap_or(i64::MAX),
            reason: self.told(),
            ..BadRow::default()
        }
    }
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
