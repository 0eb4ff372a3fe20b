//! Writes a register that [`super::Reader`] reads.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use super::{
    Column, Encoding, FileRow, Form, Separator,
    guard::{guarded, is_formula, looks_guarded},
};

/// Rows into a file.
#[derive(Debug)]
pub struct Writer<W> {
    form: Form,
    separator: char,
    /// Whether spreadsheets are to open it: then what they would take for a formula is guarded.
    for_spreadsheets: bool,
    target: W,
    line: String,
}

impl<W: Write> Writer<W> {
    /// Writes the header, where the form has one. Give it a buffered target.
    ///
    /// # Errors
    /// Where the target does not take it.
    pub fn open(form: Form, mut target: W) -> io::Result<Self> {
        if form == Form::Csv {
            writeln!(target, "{}", Column::ALL.map(Column::name).join(","))?;
        }
        Ok(Self {
            form,
            separator: ',',
            for_spreadsheets: false,
            target,
            line: String::new(),
        })
    }

    /// Writes the header of a file that spreadsheets open by a click: marked as UTF-8, separated as they expect it,
    /// and without formulas.
    ///
    /// # Errors
    /// Where the target does not take it.
    pub fn for_spreadsheets(separator: Separator, mut target: W) -> io::Result<Self> {
        let separator = char::from(separator.byte());
        target.write_all(Encoding::Utf8.mark())?;
        let names = Column::ALL.map(Column::name);
        write!(target, "{}\r\n", names.join(&separator.to_string()))?;
        Ok(Self {
            form: Form::Csv,
            separator,
            for_spreadsheets: true,
            target,
            line: String::new(),
        })
    }

    /// Writes a row.
    ///
    /// # Errors
    /// Where the target does not take it.
    pub fn write(&mut self, row: &FileRow) -> io::Result<()> {
        self.line.clear();
        match self.form {
            Form::Csv => self.record(row),
            Form::JsonLines => self.object(row)?,
        }
        self.line.push_str(match self.for_spreadsheets {
            true => "\r\n",
            false => "\n",
        });
        self.target.write_all(self.line.as_bytes())
    }

    /// Hands the target back, flushed.
    ///
    /// # Errors
    /// Where the target does not take what was buffered.
    pub fn finish(mut self) -> io::Result<W> {
        self.target.flush()?;
        Ok(self.target)
    }

    fn record(&mut self, row: &FileRow) {
        let marks = [self.separator, '"', '\r', '\n'];
        for (index, column) in Column::ALL.into_iter().enumerate() {
            if index > 0 {
                self.line.push(self.separator);
            }
            let value = row.get(column);
            let is_guarded = self.for_spreadsheets && is_formula(value) || looks_guarded(value);
            let value = match is_guarded {
                true => Cow::Owned(guarded(value)),
                false => Cow::Borrowed(value),
            };
            if value.contains(marks) {
                self.line.push('"');
                self.line.push_str(&value.replace('"', "\"\""));
                self.line.push('"');
            } else {
                self.line.push_str(&value);
            }
        }
    }

    /// In the order of the columns, which a map of JSON does not keep. What is empty is left out.
    fn object(&mut self, row: &FileRow) -> io::Result<()> {
        self.line.push('{');
        for column in Column::ALL {
            let value = row.get(column);
            if value.is_empty() {
                continue;
            }
            if self.line.len() > 1 {
                self.line.push(',');
            }
            let value = serde_json::to_string(value)?;
            self.line
                .push_str(&format!("\"{}\":{value}", column.name()));
        }
        self.line.push('}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, rows: &[FileRow]) -> String {
        let mut writer = Writer::open(form, Vec::new()).unwrap();
        for row in rows {
            writer.write(row).unwrap();
        }
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    fn row() -> FileRow {
        let mut row = FileRow::default();
        row.set(Column::Number, "SOP-1");
        row.set(Column::Title, "Say \"when\", twice\nor more");
        row.set(Column::ContentPath, "content/a.pdf");
        row
    }

    #[test]
    fn csv_quotes_what_needs_it_and_nothing_else() {
        assert_eq!(
            written(Form::Csv, &[row()]),
            "number,title,document_type,version_major,version_minor,status,author,reviewer,approver,\
             effective_date,obsolescence_date,supersedes,depends_on,content_path\n\
             SOP-1,\"Say \"\"when\"\", twice\nor more\",,,,,,,,,,,,content/a.pdf\n"
        );
    }

    #[test]
    fn spreadsheets_get_a_mark_their_separator_and_no_formula() {
        let mut row = row();
        row.set(Column::Title, "=1+1; \"x\"");
        row.set(Column::Author, "ann");
        row.set(Column::Reviewer, "@rex");
        let mut writer = Writer::for_spreadsheets(Separator::Semicolon, Vec::new()).unwrap();
        writer.write(&row).unwrap();
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(lines[0].starts_with("\u{feff}number;title;"), "{text}");
        assert_eq!(
            lines[1],
            "SOP-1;\"'=1+1; \"\"x\"\"\";;;;;ann;'@rex;;;;;;content/a.pdf"
        );
    }

    #[test]
    fn json_lines_hold_what_is_there_in_the_order_of_the_columns() {
        assert_eq!(
            written(Form::JsonLines, &[row()]),
            "{\"number\":\"SOP-1\",\"title\":\"Say \\\"when\\\", twice\\nor more\",\
             \"content_path\":\"content/a.pdf\"}\n"
        );
    }
}
