//! Rows of a file of JSON Lines.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use super::{Column, FileRow, Hints, LARGEST_RECORD, brief, column::unknown};
use crate::pb::BadRow;

/// The lines of a file.
pub(super) struct Lines<B> {
    input: B,
    /// One line. It is made as large as it may get.
    line: Vec<u8>,
    number: u64,
    hints: Hints,
}

impl<B: BufRead> Lines<B> {
    pub(super) fn open(input: B, hints: Hints) -> Self {
        Self {
            input,
            line: Vec::with_capacity(LARGEST_RECORD),
            number: 0,
            hints,
        }
    }

    /// The row of the next line that is not empty; none at the end of the file.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Result<FileRow, BadRow>>> {
        while let Some(fits) = self.read_line()? {
            let mut row = FileRow::default();
            row.row.line = i64::try_from(self.number).unwrap_or(i64::MAX);
            if !fits {
                let limit = LARGEST_RECORD / 1024;
                let reason = format!("the line is larger than {limit} KiB");
                return Ok(Some(Err(row.bad(None, reason))));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(filled(row, &self.line, &self.hints)));
            }
        }
        Ok(None)
    }

    /// Reads the next line, and says whether it fits; what does not is read to its end, and dropped.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        self.number += 1;
        let mut fits = true;
        let mut begun = false;
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                return Ok(begun.then_some(fits));
            }
            begun = true;
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            fits = fits && self.line.len() + part.len() <= LARGEST_RECORD;
            if fits {
                self.line.extend_from_slice(part);
            }
            let read = part.len() + usize::from(end.is_some());
            self.input.consume(read);
            if end.is_some() {
                return Ok(Some(fits));
            }
        }
    }
}

/// The row with the values of the line.
fn filled(mut row: FileRow, line: &[u8], hints: &Hints) -> Result<FileRow, BadRow> {
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => {
            let place = error.valid_up_to() + 1;
            let reason = format!("byte {place} of the line is not UTF-8: save the file as UTF-8");
            return Err(row.bad(None, reason));
        }
    };
    let object: Map<String, Value> = match serde_json::from_str(text) {
        Ok(object) => object,
        Err(error) => return Err(row.bad(None, told(&error))),
    };
    if let Some(Value::String(number)) = object.get(Column::Number.name()) {
        row.set(Column::Number, number);
    }
    let mut seen = Vec::with_capacity(object.len());
    for (key, value) in &object {
        let Some(column) = hints.column(key) else {
            if hints.ignore_unknown {
                continue;
            }
            return Err(BadRow {
                field: brief(key),
                ..row.bad(None, unknown(key, &[]))
            });
        };
        if seen.contains(&column) {
            return Err(row.bad(Some(column), "it is there twice".to_owned()));
        }
        seen.push(column);
        match text_of(column, value) {
            Ok(text) if text.contains('\0') => {
                return Err(row.bad(Some(column), "holds a NUL character".to_owned()));
            }
            Ok(text) => {
                let value = row.trimmed(column, &text);
                row.set_whole(column, value);
            }
            Err(reason) => return Err(row.bad(Some(column), reason)),
        }
    }
    row.number_notes();
    Ok(row)
}

/// The value as a spreadsheet would hold it.
fn text_of(column: Column, value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Array(items) if column == Column::DependsOn => {
            let texts = items.iter().map(|item| match item {
                Value::String(text) => Ok(text.as_str()),
                other => {
                    let other = brief(&other.to_string());
                    Err(format!("expected a list of texts, which {other} is not"))
                }
            });
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join(";"))
        }
        Value::Array(_) if column != Column::DependsOn => {
            Err("expected a text or a number, not a list".to_owned())
        }
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err("expected a text or a number".to_owned())
        }
    }
}

/// What is wrong with the JSON. Its own line is always the first of the text it was given.
fn told(error: &serde_json::Error) -> String {
    let message = error.to_string();
    // It may quote what it met.
    let message = brief(message.split(" at line ").next().unwrap_or_default());
    format!(
        "not a JSON object: {message}, at character {}",
        error.column()
    )
}

#[cfg(test)]
#[path = "json_lines_tests.rs"]
mod tests;
