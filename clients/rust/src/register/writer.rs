//! Writes a register that [`super::Reader`] reads.

use std::io::{self, Write};

use super::{Column, FileRow, Form};

/// Rows into a file.
#[derive(Debug)]
pub struct Writer<W> {
    form: Form,
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
        self.line.push('\n');
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
        for (index, column) in Column::ALL.into_iter().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            let value = row.get(column);
            if value.contains([',', '"', '\r', '\n']) {
                self.line.push('"');
                self.line.push_str(&value.replace('"', "\"\""));
                self.line.push('"');
            } else {
                self.line.push_str(value);
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
    fn json_lines_hold_what_is_there_in_the_order_of_the_columns() {
        assert_eq!(
            written(Form::JsonLines, &[row()]),
            "{\"number\":\"SOP-1\",\"title\":\"Say \\\"when\\\", twice\\nor more\",\
             \"content_path\":\"content/a.pdf\"}\n"
        );
    }
}
