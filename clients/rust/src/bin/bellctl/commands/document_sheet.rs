//! A file that holds a register, opened as it is found to be written, and how that is told.

use std::{
    fs::File,
    io::{self, Seek as _},
    path::Path,
};

use watchbell_client::{
    pb::BadRow,
    register::{Column, Dialect, FileRow, Form, Hints, Place, Reader, survey},
};

use crate::{failure::Failure, output::remark, text::plain};

/// Rows that a dry run shows.
pub(super) const ROWS_SHOWN: usize = 5;

/// Opens a register. What it is made of is found out by reading all of it, unless it was said.
pub(super) fn open(path: &Path, form: Form, mut hints: Hints) -> Result<Reader<File>, Failure> {
    let unreadable = |source| Failure::File {
        path: path.to_owned(),
        source,
    };
    let mut file = readable_twice(path).map_err(unreadable)?;
    if form == Form::Csv && hints.encoding.is_none() {
        hints.encoding = Some(survey(&mut file).map_err(unreadable)?);
        file.rewind().map_err(unreadable)?;
    }
    Reader::open_as(form, file, &hints).map_err(|source| Failure::Register {
        path: path.to_owned(),
        source,
    })
}

/// What comes through a pipe can be read once only, and is kept in a file that has no name.
fn readable_twice(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut file, &mut copy)?;
    copy.rewind()?;
    Ok(copy)
}

/// Tells how the file was taken, line by line.
pub(super) fn tell(file: &str, dialect: &Dialect, date_format: &str) {
    for line in told(dialect, date_format) {
        remark(&format!("{file}: {line}"));
    }
}

fn told(dialect: &Dialect, date_format: &str) -> Vec<String> {
    let Some(separator) = dialect.separator else {
        return vec![format!(
            "read as {}, an object on each line",
            dialect.encoding
        )];
    };
    let mut lines = vec![format!(
        "read as {}, separated by {separator}, with the header in line {}",
        dialect.encoding, dialect.header_line
    )];
    let renamed: Vec<String> = dialect
        .headings
        .iter()
        .filter_map(|heading| match heading.place {
            Place::Column(column) if heading.name != column.name() => {
                Some(format!("{} is {}", heading.name, column.name()))
            }
            Place::Column(_) | Place::LeftOut | Place::Nameless => None,
        })
        .collect();
    if !renamed.is_empty() {
        lines.push(format!("columns: {}", renamed.join(", ")));
    }
    let left_out: Vec<&str> = dialect
        .headings
        .iter()
        .filter(|heading| heading.place == Place::LeftOut)
        .map(|heading| heading.name.as_str())
        .collect();
    if !left_out.is_empty() {
        lines.push(format!("left out: {}", left_out.join(", ")));
    }
    let nameless = dialect
        .headings
        .iter()
        .filter(|heading| heading.place == Place::Nameless)
        .count();
    if nameless > 0 {
        lines.push(format!(
            "left out: {nameless} without a name, while they are empty"
        ));
    }
    let dates = match date_format.trim() {
        "" => "days: as 2026-12-31 alone; others by --date-format".to_owned(),
        sample => format!("days: as {sample}, and as 2026-12-31"),
    };
    lines.push(dates);
    lines
}

/// Shows the first rows as they are understood.
pub(super) fn show(file: &str, rows: &[io::Result<Result<FileRow, BadRow>>]) {
    for row in rows {
        // What is bad is told besides.
        if let Ok(Ok(row)) = row {
            remark(&format!("{file}:{}: {}", row.row.line, shown(row)));
        }
    }
}

/// Such as `number "SOP-1", title "Cleaning"`.
fn shown(row: &FileRow) -> String {
    const LONGEST: usize = 60;
    let filled = Column::ALL.into_iter().filter_map(|column| {
        let value = row.get(column);
        let mut short: String = value.chars().take(LONGEST).collect();
        if short.len() < value.len() {
            short.push('…');
        }
        (!value.is_empty()).then(|| format!("{} \"{}\"", column.name(), plain(&short)))
    });
    filled.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use watchbell_client::register::{Encoding, Heading, Separator};

    use super::*;

    #[test]
    fn how_a_file_was_taken_is_told_in_words() {
        let heading = |name: &str, place| Heading {
            name: name.to_owned(),
            place,
        };
        let dialect = Dialect {
            encoding: Encoding::Windows1252,
            separator: Some(Separator::Semicolon),
            header_line: 3,
            headings: vec![
                heading("Nummer", Place::Column(Column::Number)),
                heading("title", Place::Column(Column::Title)),
                heading("Ort", Place::LeftOut),
                heading("", Place::Nameless),
            ],
        };
        assert_eq!(
            told(&dialect, "31.12.2026"),
            [
                "read as Windows-1252, separated by semicolons, with the header in line 3",
                "columns: Nummer is number",
                "left out: Ort",
                "left out: 1 without a name, while they are empty",
                "days: as 31.12.2026, and as 2026-12-31",
            ]
        );
    }

    #[test]
    fn a_row_is_shown_by_what_is_in_it() {
        let mut row = FileRow::default();
        row.set(Column::Number, "SOP-1");
        row.set(Column::Title, &"x".repeat(61));
        let shown = shown(&row);
        assert!(
            shown.starts_with("number \"SOP-1\", title \"xxx"),
            "{shown}"
        );
        assert!(shown.ends_with("x…\""), "{shown}");
    }
}
