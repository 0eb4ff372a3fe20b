//! Registers of documents as files: CSV or JSON Lines, with the columns of [`Column`].
//!
//! [`Reader`] makes rows of a file, one at a time and in bounded memory, whatever the file holds: what
//! cannot be a row is told with its line, and reading goes on behind it. What the values mean is the
//! server's to say, so they are passed on as they stand, trimmed. Spreadsheets write CSV in ways of their own:
//! [`survey`] finds out what the bytes are, and [`Dialect`] says how the rest was taken. [`Writer`] writes what
//! [`Reader`] reads, and what spreadsheets open. [`Folder`] finds the contents that rows name, and none elsewhere.

mod column;
mod csv;
mod dialect;
mod encoding;
mod folder;
mod guard;
mod input;
mod json_lines;
mod reader;
#[cfg(test)]
mod round_trip_tests;
mod writer;

use std::{io, path::Path};

pub use self::{
    column::Column,
    dialect::{Dialect, Heading, Hints, Place, Separator},
    encoding::{Encoding, survey},
    folder::Folder,
    reader::Reader,
    writer::Writer,
};
use crate::pb::{BadRow, DocumentRow, RowNote, RowNoteKind};

/// The largest record or line, in bytes. A larger one is a bad row.
pub const LARGEST_RECORD: usize = 256 * 1024;

/// How a register is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A header with the names of columns, then a record for each document.
    Csv,
    /// A JSON object on each line.
    JsonLines,
}

/// A row of a file: what the server is told, and where its content lies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileRow {
    /// What the server is told.
    pub row: DocumentRow,
    /// The content, relative to the file's folder; empty where there is none.
    pub content_path: String,
    /// What was bent to read it.
    pub notes: Vec<RowNote>,
}

/// Why a file is no register.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The file cannot be read: nothing is known of it.
    #[error("cannot read the register")]
    Read(#[from] io::Error),
    /// It is not such a file: mend it, or say which form it has.
    #[error("line {line}: {reason}")]
    Refused {
        /// Where.
        line: u64,
        /// What is wrong, and what was expected.
        reason: String,
    },
}

impl Form {
    /// The form that the file's suffix tells.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        let suffix = path.extension()?.to_str()?.to_ascii_lowercase();
        match suffix.as_str() {
            "csv" | "tsv" | "tab" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

impl FileRow {
    /// The value in a column; empty where there is none.
    #[must_use]
    pub fn get(&self, column: Column) -> &str {
        let row = &self.row;
        match column {
            Column::Number => &row.number,
            Column::Title => &row.title,
            Column::DocumentType => &row.document_type,
            Column::VersionMajor => &row.version_major,
            Column::VersionMinor => &row.version_minor,
            Column::Status => &row.status,
            Column::Author => &row.author,
            Column::Reviewer => &row.reviewer,
            Column::Approver => &row.approver,
            Column::EffectiveDate => &row.effective_date,
            Column::ObsolescenceDate => &row.obsolescence_date,
            Column::Supersedes => &row.supersedes,
            Column::DependsOn => &row.depends_on,
            Column::ContentPath => &self.content_path,
        }
    }

    /// Sets the value in a column, trimmed.
    pub fn set(&mut self, column: Column, value: &str) {
        self.set_whole(column, value.trim());
    }

    /// Sets the value in a column as it stands.
    fn set_whole(&mut self, column: Column, value: &str) {
        let row = &mut self.row;
        let place = match column {
            Column::Number => &mut row.number,
            Column::Title => &mut row.title,
            Column::DocumentType => &mut row.document_type,
            Column::VersionMajor => &mut row.version_major,
            Column::VersionMinor => &mut row.version_minor,
            Column::Status => &mut row.status,
            Column::Author => &mut row.author,
            Column::Reviewer => &mut row.reviewer,
            Column::Approver => &mut row.approver,
            Column::EffectiveDate => &mut row.effective_date,
            Column::ObsolescenceDate => &mut row.obsolescence_date,
            Column::Supersedes => &mut row.supersedes,
            Column::DependsOn => &mut row.depends_on,
            Column::ContentPath => &mut self.content_path,
        };
        value.clone_into(place);
    }

    /// The value trimmed; that there was something to trim is noted.
    fn trimmed<'a>(&mut self, column: Column, value: &'a str) -> &'a str {
        let trimmed = value.trim();
        if trimmed.len() < value.len() && !trimmed.is_empty() {
            let note = format!("{:?} without the blanks around it", brief(value));
            self.note(column, RowNoteKind::Blanks, note);
        }
        trimmed
    }

    fn note_guard(&mut self, column: Column, value: &str) {
        let note = format!("{:?} without the quote before it", brief(value));
        self.note(column, RowNoteKind::Guard, note);
    }

    fn note(&mut self, column: Column, kind: RowNoteKind, note: String) {
        self.notes.push(RowNote {
            line: self.row.line,
            number: String::new(),
            field: column.name().to_owned(),
            kind: kind.into(),
            note,
        });
    }

    /// Gives the notes the number, which may come after what they are on.
    fn number_notes(&mut self) {
        for note in &mut self.notes {
            note.number = brief(&self.row.number);
        }
    }

    /// The row as one that is not kept.
    #[must_use]
    pub fn bad(&self, column: Option<Column>, reason: String) -> BadRow {
        BadRow {
            line: self.row.line,
            number: brief(&self.row.number),
            field: column.map(Column::name).unwrap_or_default().to_owned(),
            reason,
        }
    }
}

/// As much of a text as helps to find it, and nothing that a terminal obeys: a field may be as large as a record, and hold
/// anything.
fn brief(text: &str) -> String {
    const LONGEST: usize = 100;
    let shown = |letter: char| match letter.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => letter,
    };
    let mut brief: String = text.chars().take(LONGEST).map(shown).collect();
    if text.chars().nth(LONGEST).is_some() {
        brief.push('…');
    }
    brief
}
