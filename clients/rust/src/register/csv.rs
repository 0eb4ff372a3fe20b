//! Records of a CSV file.

use std::io::{self, BufRead};

use csv_core::ReadFieldResult;

use super::{
    Column, FileRow, LARGEST_RECORD, RegisterError,
    column::headings,
    dialect::{Dialect, Found, Hints, Place, Separator, find, no_row_is},
    encoding::Encoding,
    guard::unguarded,
};
use crate::pb::BadRow;

/// Fields of which it is remembered where they end: more than there are columns.
const MOST_FIELDS: usize = 256;

/// The records behind a header.
pub(super) struct Records<B> {
    input: B,
    parser: csv_core::Reader,
    places: Vec<Place>,
    /// Columns that a row must have: what has no name may be missing.
    least: usize,
    /// Whether what stands for no letter was made U+FFFD.
    is_decoded: bool,
    /// The fields of one record, one behind the other. It never grows.
    fields: Box<[u8]>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Whether the byte before is a carriage return: a line end by itself, unless a line feed follows.
    after_return: bool,
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
    /// Records of which nothing is known but what separates their fields.
    pub(super) fn bare(input: B, separator: Separator) -> Self {
        let parser = csv_core::ReaderBuilder::new()
            .delimiter(separator.byte())
            .build();
        Self {
            input,
            parser,
            places: Vec::new(),
            least: 0,
            is_decoded: false,
            fields: vec![0; LARGEST_RECORD].into_boxed_slice(),
            ends: Vec::with_capacity(MOST_FIELDS),
            after_return: false,
        }
    }

    /// Reads the header, which is looked for in `head`, the beginning of the input.
    ///
    /// # Errors
    /// Where the file cannot be read, or its header is none.
    pub(super) fn open(
        input: B,
        head: &[u8],
        encoding: Encoding,
        hints: &Hints,
    ) -> Result<(Self, Dialect), RegisterError> {
        let Found { separator, before } = find(head, hints);
        let mut records = Self::bare(input, separator);
        records.is_decoded = encoding != Encoding::Utf8;
        let mut passed_over: Vec<(u64, Vec<bool>)> = Vec::with_capacity(before);
        for _ in 0..before {
            if let Some(record) = records.record()? {
                let filled = records.fields().map(|field| !is_blank(field)).collect();
                passed_over.push((record.line, filled));
            }
        }
        let Some(record) = records.record()? else {
            return Err(RegisterError::Refused {
                line: 1,
                reason: "the file is empty: one of its first lines must name the columns"
                    .to_owned(),
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
        let names = records.texts().map_err(refused)?;
        let headings = headings(&names, hints).map_err(refused)?;
        records.places = headings.iter().map(|heading| heading.place).collect();
        no_row_is(&passed_over, &records.places)?;
        let named = records
            .places
            .iter()
            .rposition(|place| *place != Place::Nameless);
        records.least = named.map_or(0, |last| last + 1);
        let dialect = Dialect {
            encoding,
            separator: Some(separator),
            header_line: record.line,
            headings,
        };
        Ok((records, dialect))
    }

    /// The fields of the next record as they may be in a header; none at the end, or where it is broken.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn names(&mut self) -> io::Result<Option<Vec<String>>> {
        let record = self.record()?.filter(|record| record.fault.is_none());
        Ok(record.map(|_| {
            let names = self.fields().map(String::from_utf8_lossy);
            names.map(|name| name.trim().to_owned()).collect()
        }))
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
        for (index, (&place, field)) in self.places.iter().zip(self.fields()).enumerate() {
            let column = match place {
                Place::Column(column) => column,
                Place::LeftOut => continue,
                Place::Nameless => {
                    if !is_blank(field) {
                        let reason = format!(
                            "column {} has no name, and holds {:?} here: name it in the header, or empty it",
                            index + 1,
                            super::brief(&String::from_utf8_lossy(field))
                        );
                        bad.get_or_insert((None, reason));
                    }
                    continue;
                }
            };
            match std::str::from_utf8(field) {
                Ok(text) if text.contains('\0') => {
                    bad.get_or_insert((Some(column), "holds a NUL byte".to_owned()));
                }
                Ok(text) if self.is_decoded && text.contains('\u{fffd}') => {
                    let reason = "holds bytes that stand for no letter: the file is damaged";
                    bad.get_or_insert((Some(column), reason.to_owned()));
                }
                Ok(text) => take(&mut row, column, text),
                Err(error) => {
                    let place = error.valid_up_to() + 1;
                    let reason = format!(
                        "byte {place} of it is not UTF-8, as most of the file is: save it as UTF-8, or say \
                         what it is by --encoding"
                    );
                    bad.get_or_insert((Some(column), reason));
                }
            }
        }
        if !self.is_as_long(record) {
            let expected = self.least;
            let count = record.field_count;
            let mut reason =
                format!("the row has {count} fields, where the header names {expected}");
            if (expected as u64) < count {
                reason.push_str(": is a field with a separator in it not quoted?");
            }
            if self.filled().contains(&b'\n') {
                reason.push_str("; it goes over several lines: is a quote missing?");
            }
            return Err(row.bad(None, reason));
        }
        match bad {
            Some((column, reason)) => Err(row.bad(column, reason)),
            None => {
                row.number_notes();
                Ok(row)
            }
        }
    }

    /// Whether the record has the fields that the header has, or those that it names alone. One more, even an empty one,
    /// tells that a separator stands within a field: all behind it would be another column's.
    fn is_as_long(&self, record: &Record) -> bool {
        let count = record.field_count;
        count == self.places.len() as u64 || count == self.least as u64
    }

    /// The fields of the header as text, trimmed.
    fn texts(&self) -> Result<Vec<&str>, String> {
        let texts = self.fields().map(|field| match std::str::from_utf8(field) {
            Ok(text) => Ok(text.trim()),
            Err(_) => Err(
                "the header is not UTF-8: save the file as UTF-8, or say what it is by --encoding"
                    .to_owned(),
            ),
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
            let ended_by = read.checked_sub(1).and_then(|last| chunk.get(last));
            self.after_return = ended_by == Some(&b'\r');
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

    /// The parser skips empty lines too, but then the line of the record is not known. Nor does it count those that end in
    /// a carriage return alone.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            let chunk = self.input.fill_buf()?;
            let mut line = self.parser.line();
            let mut skipped = 0;
            let mut is_over = chunk.is_empty();
            for &byte in chunk {
                line += u64::from(byte == b'\n' || self.after_return);
                self.after_return = byte == b'\r';
                if !matches!(byte, b'\r' | b'\n') {
                    is_over = true;
                    break;
                }
                skipped += 1;
            }
            self.parser.set_line(line);
            self.input.consume(skipped);
            if is_over {
                return Ok(());
            }
        }
    }
}

fn is_blank(field: &[u8]) -> bool {
    std::str::from_utf8(field).is_ok_and(|text| text.trim().is_empty())
}

/// Takes a value into its column, without the quote that guards it, and notes what was left out of it.
fn take(row: &mut FileRow, column: Column, text: &str) {
    let trimmed = row.trimmed(column, text);
    match unguarded(trimmed) {
        Some(value) => {
            row.set_whole(column, value);
            row.note_guard(column, value);
        }
        None => row.set_whole(column, trimmed),
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
