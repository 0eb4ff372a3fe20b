//! What holds for any bytes as a register.

use std::io::Read;

use watchbell_client::{
    pb::BadRow,
    register::{FileRow, Form, Hints, Reader, RegisterError, Separator, Writer},
};

/// Hands out a byte at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bound = buffer.len().min(1);
        self.0.read(&mut buffer[..bound])
    }
}

/// It is refused, or each of its rows is good or bad, by the line where it stands; however it arrives. What was read is
/// what is read of it once it is written.
pub(crate) fn check(bytes: &[u8]) {
    for form in [Form::Csv, Form::JsonLines] {
        for separator in [None, Some(Separator::Semicolon)] {
            let hints = Hints {
                separator,
                ignore_unknown: separator.is_none(),
                ..Hints::default()
            };
            let rows = read(form, bytes, &hints);
            assert_eq!(rows, read(form, Trickle(bytes), &hints));
            let Ok(rows) = rows else { continue };
            // Two bytes are a letter, and a letter may be a line.
            assert!(rows.len() <= bytes.len() + 1);
            let good: Vec<FileRow> = rows.into_iter().filter_map(Result::ok).collect();
            written_and_read_again(good);
        }
    }
}

fn read(
    form: Form,
    source: impl Read,
    hints: &Hints,
) -> Result<Vec<Result<FileRow, BadRow>>, String> {
    let reader = match Reader::open_as(form, source, hints) {
        Ok(reader) => reader,
        Err(RegisterError::Read(error)) => panic!("{error}"),
        Err(error) => {
            let told = error.to_string();
            assert!(!told.contains(char::is_control), "{told:?}");
            return Err(told);
        }
    };
    let rows: Vec<Result<FileRow, BadRow>> = reader.map(|row| row.unwrap()).collect();
    let mut before = 0;
    for row in &rows {
        let line = match row {
            Ok(row) => row.row.line,
            Err(bad) => {
                assert!(!bad.reason.contains(char::is_control), "{bad:?}");
                bad.line
            }
        };
        assert!(before < line, "line {line} after {before}");
        before = line;
    }
    Ok(rows)
}

fn written_and_read_again(mut rows: Vec<FileRow>) {
    for row in &mut rows {
        row.row.line = 0;
        row.notes.clear();
    }
    // A row that says nothing is none.
    rows.retain(|row| *row != FileRow::default());
    let mut writer = Writer::open(Form::Csv, Vec::new()).unwrap();
    for row in &rows {
        writer.write(row).unwrap();
    }
    let text = writer.finish().unwrap();
    let again = read(Form::Csv, text.as_slice(), &Hints::default()).unwrap();
    let again = again.into_iter().map(|row| {
        let mut row = row.unwrap();
        row.row.line = 0;
        row.notes.clear();
        row
    });
    assert_eq!(again.collect::<Vec<_>>(), rows);
}
