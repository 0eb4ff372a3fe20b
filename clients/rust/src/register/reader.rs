//! Reads a register, whichever form it has.

use std::{
    fmt,
    io::{self, Read},
};

use super::{
    Dialect, FileRow, Form, Hints, RegisterError,
    csv::Records,
    input::{self, Input, Opened},
    json_lines::Lines,
};
use crate::pb::BadRow;

/// The rows of a file, good and bad, in its order. Blank lines are passed over.
pub struct Reader<R> {
    rows: Rows<R>,
    dialect: Dialect,
}

enum Rows<R> {
    Csv(Box<Records<Input<R>>>),
    JsonLines(Box<Lines<Input<R>>>),
}

impl<R: Read> Reader<R> {
    /// Reads as far as it takes to know that this is a register: a CSV file's header.
    ///
    /// # Errors
    /// Where it cannot be read, or is none.
    pub fn open(form: Form, source: R) -> Result<Self, RegisterError> {
        Self::open_as(form, source, &Hints::default())
    }

    /// The same with what was said of the file beforehand.
    ///
    /// # Errors
    /// Where it cannot be read, or is none.
    pub fn open_as(form: Form, source: R, hints: &Hints) -> Result<Self, RegisterError> {
        let Opened {
            input,
            encoding,
            head,
        } = input::open(form, source, hints.encoding)?;
        match form {
            Form::Csv => {
                let (records, dialect) = Records::open(input, &head, encoding, hints)?;
                Ok(Self {
                    rows: Rows::Csv(Box::new(records)),
                    dialect,
                })
            }
            Form::JsonLines => Ok(Self {
                rows: Rows::JsonLines(Box::new(Lines::open(input, hints.clone()))),
                dialect: Dialect {
                    encoding,
                    ..Dialect::default()
                },
            }),
        }
    }

    /// How the file was taken.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
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
