//! What is written is read again, whatever it holds; and files are recognised by how they begin.

use std::path::Path;

use super::*;

/// Numbers that look random and are the same each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 18] = [
            "a", "Z", "7", " ", ",", ";", "\"", "\"\"", "\n", "\r\n", "\r", "'", "é", "📦", "\t",
            "{", "=", "-",
        ];
        let length = self.below(12);
        let text: String = (0..length).map(|_| PARTS[self.below(18)]).collect();
        text.trim().to_owned()
    }

    fn row(&mut self) -> FileRow {
        let mut row = FileRow::default();
        for column in Column::ALL {
            row.set(column, &self.text());
        }
        // A row without a value is none.
        row.set(Column::Number, &format!("N{}", self.below(1_000)));
        row
    }
}

/// Hands out a few bytes at a time.
struct Trickle<'a>(&'a [u8], Draw);

impl io::Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bound = buffer.len().min(self.0.len()).min(1 + self.1.below(9));
        let (given, kept) = self.0.split_at(bound);
        buffer[..bound].copy_from_slice(given);
        self.0 = kept;
        Ok(bound)
    }
}

#[test]
fn what_is_written_is_read_again() {
    for seed in 1..200 {
        let mut draw = Draw(seed);
        let rows: Vec<FileRow> = (0..draw.below(6)).map(|_| draw.row()).collect();
        let sheets = [Separator::Comma, Separator::Semicolon].map(Some);
        for (form, sheet) in [(Form::Csv, None), (Form::JsonLines, None)]
            .into_iter()
            .chain(sheets.map(|sheet| (Form::Csv, sheet)))
        {
            let mut writer = match sheet {
                None => Writer::open(form, Vec::new()).unwrap(),
                Some(separator) => Writer::for_spreadsheets(separator, Vec::new()).unwrap(),
            };
            for row in &rows {
                writer.write(row).unwrap();
            }
            let text = writer.finish().unwrap();
            let reader = Reader::open(form, Trickle(&text, Draw(seed))).unwrap();
            let mut line = 0;
            let read = reader.map(|row| {
                let mut row = row.unwrap().unwrap();
                assert!(row.row.line > line);
                line = row.row.line;
                row.row.line = 0;
                row.notes.clear();
                row
            });
            assert_eq!(read.collect::<Vec<_>>(), rows, "seed {seed}, {form:?}");
        }
    }
}

#[test]
fn no_bytes_at_all_upset_the_reader() {
    const BYTES: [u8; 12] = *b",\"\r\n\0{}:[\xff\xc3a";
    for seed in 1..500 {
        let mut draw = Draw(seed);
        let noise: Vec<u8> = (0..draw.below(200))
            .map(|_| BYTES[draw.below(12)])
            .collect();
        let mut text = b"number,title\n".to_vec();
        text.extend(&noise);
        let rows = Reader::open(Form::Csv, Trickle(&text, Draw(seed))).unwrap();
        let lines: Vec<_> = rows
            .map(|row| row.unwrap().map_or_else(|bad| bad.line, |row| row.row.line))
            .collect();
        assert!(lines.is_sorted(), "seed {seed}: {lines:?}");
        if let Ok(rows) = Reader::open(Form::JsonLines, noise.as_slice()) {
            assert!(rows.count() <= noise.len());
        }
    }
}

#[test]
fn marks_are_skipped_and_tell_what_follows() {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for (text, encoding) in [
        (
            b"\xef\xbb\xbfnumber,title\nA,one\n".to_vec(),
            Encoding::Utf8,
        ),
        (
            wide("\u{feff}number\ttitle\r\nA\tone\r\n"),
            Encoding::Utf16Le,
        ),
        (wide("number;title\r\nA;one\r\n"), Encoding::Utf16Le),
    ] {
        let reader = Reader::open(Form::Csv, Trickle(&text, Draw(7))).unwrap();
        assert_eq!(reader.dialect().encoding, encoding);
        let rows: Vec<_> = reader.map(|row| row.unwrap().unwrap()).collect();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].row.number.as_str(), rows[0].row.title.as_str()),
            ("A", "one")
        );
    }
    let refusal = Reader::open(Form::Csv, &b"PK\x03\x04"[..]).unwrap_err();
    assert!(refusal.to_string().contains("save it as CSV"), "{refusal}");
}

#[test]
fn a_file_of_another_form_is_told_at_once() {
    for (form, text, told) in [
        (Form::Csv, " {\"number\":\"A\"}", "its form is jsonl"),
        (Form::JsonLines, "[{}]", "an object on each line"),
        (Form::JsonLines, "number,title\n", "its form is csv"),
    ] {
        let refusal = Reader::open(form, text.as_bytes()).unwrap_err().to_string();
        assert!(refusal.contains(told), "{refusal}");
    }
    assert_eq!(Reader::open(Form::JsonLines, &b""[..]).unwrap().count(), 0);
}

#[test]
fn the_suffix_tells_the_form() {
    for (name, form) in [
        ("a.csv", Some(Form::Csv)),
        ("a.b.CSV", Some(Form::Csv)),
        ("a.tsv", Some(Form::Csv)),
        ("a.jsonl", Some(Form::JsonLines)),
        ("a.ndjson", Some(Form::JsonLines)),
        ("a.json", None),
        ("csv", None),
    ] {
        assert_eq!(Form::of_path(Path::new(name)), form, "{name}");
    }
}
