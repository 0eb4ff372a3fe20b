//! What JSON Lines may hold, and what becomes of it.

use std::io::{BufReader, Read};

use super::*;

type Rows = Vec<Result<FileRow, BadRow>>;

fn read(text: impl AsRef<[u8]>) -> Rows {
    let mut lines = Lines::open(BufReader::with_capacity(3, text.as_ref()), Hints::default());
    std::iter::from_fn(|| lines.next_row().unwrap()).collect()
}

#[test]
fn texts_numbers_lists_and_nulls_become_text() {
    let rows = read(
        "\n{\"number\": \" SOP-1 \", \"title\": \"A\", \"version_major\": 2, \"author\": null, \
         \"depends_on\": [\"B\", \"C\"], \"content_path\": \"a.pdf\"}\r\n",
    );
    let row = rows[0].as_ref().unwrap();
    assert_eq!(row.row.line, 2);
    assert_eq!(row.row.number, "SOP-1");
    assert_eq!(row.row.version_major, "2");
    assert_eq!(row.row.author, "");
    assert_eq!(row.row.depends_on, "B;C");
    assert_eq!(row.content_path, "a.pdf");
}

#[test]
fn what_is_no_row_is_told_with_line_and_field_and_the_rest_is_read() {
    let text = b"{\"number\":\"A\",\"titel\":\"x\"}\n\
        {\"number\":\"B\",\"title\":[\"x\"]}\n\
        {\"number\":\"C\",\"title\":true}\n\
        {\"number\":\"D\",\"title\":\"x\n\
        {\"number\":\"E\",\"depends_on\":[1]}\n\
        {\"number\":\"F\",\"title\":\"\xff\"}\n\
        {\"number\":\"G\",\"title\":\"a\\u0000b\"}\n\
        [1]\n\
        {\"number\":\"H\"}";
    let rows = read(text);
    let expected = [
        (1, "A", "titel", "did you mean `title`"),
        (2, "B", "title", "not a list"),
        (3, "C", "title", "expected a text or a number"),
        (4, "", "", "not a JSON object"),
        (5, "E", "depends_on", "expected a list of texts"),
        (6, "", "", "byte 24 of the line is not UTF-8"),
        (7, "G", "title", "NUL"),
        (8, "", "", "not a JSON object"),
    ];
    for (row, (line, number, field, reason)) in rows.iter().zip(expected) {
        let bad = row.as_ref().unwrap_err();
        assert_eq!(
            (bad.line, bad.number.as_str(), bad.field.as_str()),
            (line, number, field)
        );
        assert!(bad.reason.contains(reason), "{bad:?}");
        assert!(!bad.reason.contains("at line"), "{bad:?}");
    }
    assert_eq!(rows[8].as_ref().unwrap().row.number, "H");
}

#[test]
fn a_line_that_is_far_too_large_takes_no_more_memory_and_the_next_one_is_read() {
    let source = b"{\"number\":\""
        .chain(io::repeat(b'x').take(65 * 1024 * 1024))
        .chain(&b"\"}\n{\"number\":\"B\"}\n"[..]);
    let mut lines = Lines::open(
        BufReader::with_capacity(64 * 1024, source),
        Hints::default(),
    );
    let rows: Rows = std::iter::from_fn(|| lines.next_row().unwrap()).collect();
    assert!(lines.line.capacity() <= LARGEST_RECORD);
    let bad = rows[0].as_ref().unwrap_err();
    assert_eq!((bad.line, bad.reason.contains("256 KiB")), (1, true));
    let row = rows[1].as_ref().unwrap();
    assert_eq!((row.row.line, row.row.number.as_str()), (2, "B"));
}

#[test]
fn what_is_wrong_is_told_in_brief_however_large_it_is() {
    let long = "x".repeat(100_000);
    for text in [
        format!("{{\"{long}\":1}}"),
        format!("{{\"depends_on\":[[\"{long}\"]]}}"),
        format!("{{\"number\":\"{long}\",\"title\":true}}"),
        format!("\"{long}\""),
    ] {
        let bad = read(&text).remove(0).unwrap_err();
        let told = bad.number.len() + bad.field.len() + bad.reason.len();
        assert!(told < 1_000, "{told}");
    }
}
