//! Files as spreadsheets write them, and how they are taken.

use super::*;
use crate::register::{Form, Reader};

/// Line, number and title of each row, and how the file was taken.
#[track_caller]
fn read_as(text: &str, hints: &Hints) -> (Vec<(i64, String, String)>, Dialect) {
    let reader = Reader::open_as(Form::Csv, text.as_bytes(), hints).unwrap();
    let dialect = reader.dialect().clone();
    let rows = reader.map(|row| {
        let row = row.unwrap().unwrap().row;
        (row.line, row.number, row.title)
    });
    (rows.collect(), dialect)
}

#[track_caller]
fn one(text: &str) -> (i64, String, Dialect) {
    let (mut rows, dialect) = read_as(text, &Hints::default());
    assert_eq!(rows.len(), 1, "{rows:?}");
    let (line, number, title) = rows.remove(0);
    assert_eq!(number, "A");
    (line, title, dialect)
}

#[test]
fn columns_are_separated_by_whatever_separates_the_names_that_are_needed() {
    for (text, separator) in [
        ("number,title\nA,one", Separator::Comma),
        ("number;title\r\nA;one\r\n", Separator::Semicolon),
        ("number\ttitle\nA\tone", Separator::Tab),
        ("number|title\nA|one", Separator::Bar),
        ("\"number\";\"title\"\n\"A\";one", Separator::Semicolon),
    ] {
        let (line, title, dialect) = one(text);
        assert_eq!((line, title.as_str()), (2, "one"));
        assert_eq!(dialect.separator, Some(separator));
        assert_eq!(dialect.is_plain(), separator == Separator::Comma);
    }
    let (_, title, _) = one("number;title\nA;\"1,5 mm; \"\"two\nlines\"\"\"");
    assert_eq!(title, "1,5 mm; \"two\nlines\"");
    assert_eq!(one("number;title\nA;1,5 mm, or so").1, "1,5 mm, or so");
}

#[test]
fn a_first_line_that_names_the_separator_is_none_of_the_rows() {
    for text in [
        "sep=;\r\nnumber;title\r\nA;one",
        "SEP=;\nnumber;title\nA;one",
        "\"sep=;\"\nnumber;title\nA;one",
    ] {
        let (line, title, dialect) = one(text);
        assert_eq!((line, title.as_str(), dialect.header_line), (3, "one", 2));
    }
    let refusal = Reader::open(Form::Csv, &b"sep=;\nnumber,title\nA,one"[..]).unwrap_err();
    assert!(refusal.to_string().starts_with("line 2: "), "{refusal}");
}

#[test]
fn the_header_is_the_first_line_that_names_what_is_needed() {
    for (text, line) in [
        ("Register as of 1 December\n\nnumber;title\nA;one", 3),
        ("Register; of; documents;;\nnumber;title\nA;one", 2),
        ("Stand:;1.12.2026;\n;;\n number ; Title ;status\nA;one;", 3),
    ] {
        let (_, title, dialect) = one(text);
        assert_eq!(
            (title.as_str(), dialect.header_line),
            ("one", line),
            "{text}"
        );
        assert!(!dialect.is_plain());
    }
    // A sheet that was sorted with its header.
    let sorted = "A-1,lost,ann\nnumber,title,author\nB-1,kept,ann\n";
    let refusal = Reader::open(Form::Csv, sorted.as_bytes()).unwrap_err();
    let told = refusal.to_string();
    assert!(
        told.starts_with("line 1: it stands before the header"),
        "{told}"
    );
    // Not among the first lines.
    let text = format!("{}number,title\nA,one", "x,y\n".repeat(LINES_LOOKED_AT));
    let refusal = Reader::open(Form::Csv, text.as_bytes()).unwrap_err();
    assert!(refusal.to_string().contains("unknown column"), "{refusal}");
}

#[test]
fn a_header_without_what_is_needed_is_told_with_what_to_say() {
    let text = "Doc No;Title;Rev;Status\nB-702;Seven;A;Draft";
    let refusal = Reader::open(Form::Csv, text.as_bytes()).unwrap_err();
    let told = refusal.to_string();
    assert!(
        told.starts_with("line 1: unknown column `Doc No`"),
        "{told}"
    );
    assert!(told.contains("--map"), "{told}");
    assert!(told.ends_with("unknown as well: `Rev`"), "{told}");
    let hints = Hints {
        map: vec![("doc no".to_owned(), Column::Number)],
        ignore_unknown: true,
        ..Hints::default()
    };
    let (rows, dialect) = read_as(text, &hints);
    assert_eq!(rows, [(2, "B-702".to_owned(), "Seven".to_owned())]);
    assert_eq!(
        dialect.headings[2],
        Heading {
            name: "Rev".to_owned(),
            place: Place::LeftOut
        }
    );
}

#[test]
fn what_was_said_of_a_file_is_not_guessed() {
    let hints = Hints {
        separator: Some(Separator::Comma),
        ..Hints::default()
    };
    let refusal = Reader::open_as(Form::Csv, &b"number;title\nA;one"[..], &hints);
    assert!(refusal.is_err());
    let hints = Hints {
        encoding: Some(Encoding::Windows1252),
        ..Hints::default()
    };
    let reader = Reader::open_as(Form::Csv, &b"number,title\nA,\x96"[..], &hints).unwrap();
    let row = reader.last().unwrap().unwrap().unwrap();
    assert_eq!(row.row.title, "–");
}

#[test]
fn empty_rows_at_the_end_are_passed_over() {
    let text = "number;title\nA;one\n;\n ; \n;\n";
    assert_eq!(one(text).0, 2);
}
