//! What a CSV file may hold, and what becomes of it.

use std::io::{BufReader, Read};

use super::*;
use crate::pb::RowNoteKind;

type Rows = Vec<Result<FileRow, BadRow>>;

fn open<B: BufRead>(input: B, head: &[u8]) -> Result<Records<B>, RegisterError> {
    let opened = Records::open(input, head, Encoding::Utf8, &Hints::default());
    opened.map(|(records, _)| records)
}

fn read(text: impl AsRef<[u8]>) -> Rows {
    // Small pieces, so that each thing is cut somewhere.
    let input = BufReader::with_capacity(3, text.as_ref());
    let mut records = open(input, text.as_ref()).unwrap();
    std::iter::from_fn(|| records.next_row().unwrap()).collect()
}

fn refusal(text: impl AsRef<[u8]>) -> String {
    let opened = open(text.as_ref(), text.as_ref());
    opened.map(|_| ()).unwrap_err().to_string()
}

/// Line and title of good rows, line, field and reason of bad ones.
fn told(rows: Rows) -> Vec<String> {
    let told = rows.into_iter().map(|row| match row {
        Ok(row) => format!("{} {}", row.row.line, row.row.title),
        Err(bad) => format!("{} bad {}: {}", bad.line, bad.field, bad.reason),
    });
    told.collect()
}

#[test]
fn a_row_is_read_into_its_columns_trimmed() {
    let rows = read("title,number,content_path\n A title , SOP-1,\"a, \"\"b\"\".pdf\"\n");
    let row = rows[0].as_ref().unwrap();
    assert_eq!(row.row.number, "SOP-1");
    assert_eq!(row.row.title, "A title");
    assert_eq!(row.content_path, "a, \"b\".pdf");
    assert_eq!(row.row.line, 2);
}

#[test]
fn lines_are_counted_over_quoted_line_ends_and_empty_lines() {
    let text = "number,title\n\nA,one\nB,\"two\nlines\"\r\n\r\n\n,\n  ,\nC,three";
    assert_eq!(told(read(text)), ["3 one", "4 two\nlines", "10 three"]);
}

#[test]
fn lines_that_end_in_a_carriage_return_alone_are_counted() {
    let text = "number,title\rA,one\r\rB,two\r\n\rC,\"three\"\r\nD,four";
    assert_eq!(told(read(text)), ["2 one", "4 two", "6 three", "7 four"]);
}

#[test]
fn line_ends_of_windows_are_line_ends() {
    assert_eq!(
        told(read("number,title\r\nA,one\r\nB,two\r\n")),
        ["2 one", "3 two"]
    );
}

#[test]
fn a_row_of_another_length_is_bad_and_the_rest_is_read() {
    let text = "number,title\nA\nB,two,three\nC,four\n";
    assert_eq!(
        told(read(text)),
        [
            "2 bad : the row has 1 fields, where the header names 2",
            "3 bad : the row has 3 fields, where the header names 2: is a field with a separator in it not quoted?",
            "4 four"
        ]
    );
}

#[test]
fn a_row_that_swallowed_others_says_so() {
    let rows = told(read("number,title\nA,\"one\nB,\"two\",three\nD,four\n"));
    assert!(rows[0].starts_with("2 bad"), "{rows:?}");
    assert!(rows[0].contains("is a quote missing"), "{rows:?}");
    assert_eq!(rows[1], "4 four");
}

#[test]
fn a_quote_that_stays_open_is_told_with_its_line() {
    let text = "number,title\nA,one\n\"B\nb\",\"two\nC,three\n";
    assert_eq!(
        told(read(text)),
        [
            "2 one",
            "4 bad : the quote that opens on line 4 is open at the end of the file"
        ]
    );
    // A quote that is closed by the end of the file is closed.
    assert_eq!(told(read("number,title\nA,\"one\"")), ["2 one"]);
    assert_eq!(told(read("number,title\nA,\"\"")), ["2 "]);
    assert_eq!(told(read("number,title\nA,")), ["2 "]);
}

#[test]
fn other_encodings_and_nul_bytes_are_told_with_line_and_column() {
    let rows = told(read(b"number,title\nA,Gr\xfc\xdfe\nB,n\0l\nC,\xc3\xa9\n"));
    assert_eq!(
        rows,
        [
            "2 bad title: byte 3 of it is not UTF-8, as most of the file is: save it as UTF-8, or say what it is by \
             --encoding",
            "3 bad title: holds a NUL byte",
            "4 é"
        ]
    );
}

#[test]
fn a_column_without_a_name_must_be_empty_and_may_be_missing() {
    let text = "number,title,,\nA,one,,\nB,two\nC,three,, \nD,four,,,,\nE,five,,x\n";
    assert_eq!(
        told(read(text)),
        [
            "2 one",
            "3 two",
            "4 three",
            "5 bad : the row has 6 fields, where the header names 2: is a field with a separator in it not quoted?",
            "6 bad : column 4 has no name, and holds \"x\" here: name it in the header, or empty it"
        ]
    );
}

/// What stands behind it would be another column's: who reviewed would be who wrote.
#[test]
fn a_separator_within_a_field_shifts_no_column() {
    let text = "number,title,author,reviewer\nA,Pumps, large,ann,\nB,\"Use of \"x\", y\",ann,\nC,good,ann,rex\n";
    let told = told(read(text));
    assert!(
        told[0].starts_with("2 bad : the row has 5 fields, where the header names 4"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("3 bad : the row has 5 fields"),
        "{told:?}"
    );
    assert_eq!(told[2], "4 good");
    let nameless = "number;title;author;;\nT-1;Pumps; large;ann;;\n";
    assert!(read(nameless)[0].is_err());
}

#[test]
fn what_is_bent_is_noted() {
    let rows = read("number,title,author\n A ,'=1+1,\u{a0}\nB,'b',\n");
    let notes = &rows[0].as_ref().unwrap().notes;
    let told: Vec<_> = notes
        .iter()
        .map(|note| {
            (
                note.line,
                note.number.as_str(),
                note.field.as_str(),
                note.kind(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (2, "A", "number", RowNoteKind::Blanks),
            (2, "A", "title", RowNoteKind::Guard)
        ]
    );
    assert_eq!(rows[0].as_ref().unwrap().row.title, "=1+1");
    let plain = rows[1].as_ref().unwrap();
    assert_eq!((plain.row.title.as_str(), plain.notes.len()), ("'b'", 0));
}

#[test]
fn a_file_without_a_header_is_refused() {
    for (text, expected) in [
        ("", "line 1: the file is empty"),
        ("\n\n", "line 1: the file is empty"),
        ("\nnumber;titel\n", "line 2: unknown column `titel`"),
        ("number\ttitel\n", "line 1: unknown column `titel`"),
        ("number,titel\n", "did you mean `title`?"),
        ("number,title,number\n", "`number` is there twice"),
        ("number\n", "column `title` is missing"),
        ("number,\"title\n", "opens on line 1"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(expected), "{text:?}: {refusal}");
    }
    assert!(refusal(b"number,t\xeftle\n").contains("UTF-8"));
    assert!(read("number,title\n").is_empty());
    assert!(read(" number , title ").is_empty());
}

#[test]
fn a_field_that_is_far_too_large_takes_no_more_memory_and_the_next_row_is_read() {
    const SIZE: u64 = 65 * 1024 * 1024;
    let source = b"number,title\nA,\""
        .chain(io::repeat(b'x').take(SIZE))
        .chain(&b"\"\nB,two\n"[..]);
    let input = BufReader::with_capacity(64 * 1024, source);
    let mut records = open(input, b"number,title\n").unwrap();
    let rows: Rows = std::iter::from_fn(|| records.next_row().unwrap()).collect();
    assert_eq!(records.fields.len(), LARGEST_RECORD);
    assert!(records.ends.capacity() <= MOST_FIELDS);
    let rows = told(rows);
    assert!(
        rows[0].starts_with("2 bad : it is larger than 256 KiB"),
        "{rows:?}"
    );
    assert_eq!(rows[1..], ["3 two"]);
}

#[test]
fn a_record_of_very_many_fields_takes_no_more_memory() {
    let source = b"number,title\n"
        .chain(io::repeat(b',').take(4 * 1024 * 1024))
        .chain(&b"x\nB,two\n"[..]);
    let mut records = open(BufReader::new(source), b"number,title\n").unwrap();
    let rows: Rows = std::iter::from_fn(|| records.next_row().unwrap()).collect();
    assert!(records.ends.capacity() <= MOST_FIELDS);
    let rows = told(rows);
    assert!(rows[0].contains("has 4194305 fields"), "{rows:?}");
    assert_eq!(rows[1..], ["3 two"]);
}
