//! Reads a register, whichever form it has.

use std::{
    fmt,
    io::{self, Read},
};

use super::{
    FileRow, Form, RegisterError,
    csv::Records,
    input::{self, Input},
    json_lines::Lines,
};
use crate::pb::BadRow;

/// The rows of a file, good and bad, in its order. Blank lines are passed over.
pub struct Reader<R> {
    rows: Rows<R>,
}

enum Rows<R> {
    Csv(Box<Records<Input<R>>>),
    JsonLines(Lines<Input<R>>),
}

impl<R: Read> Reader<R> {
    /// Reads as far as it takes to know that this is a register: a CSV file's header.
    ///
    /// # Errors
    /// Where it cannot be read, or is none.
    pub fn open(form: Form, source: R) -> Result<Self, RegisterError> {
        let input = input::open(form, source)?;
        let rows = match form {
            Form::Csv => Rows::Csv(Box::new(Records::open(input)?)),
            Form::JsonLines => Rows::JsonLines(Lines::open(input)),
        };
        Ok(Self { rows })
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = io::Result<Result<FileRow, BadRow>>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match &mut self.rows {
            Rows::Csv(records) => records.next_row(),
            Rows::JsonLines(lines) => lines.next_row(),
        };
        row.transpose()
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}
