//! Registers as spreadsheets and people write them: read by the client, and brought in by the server.

use watchbell_client::{
    pb,
    register::{
        Column, Dialect, Encoding, FileRow, Form, Hints, Reader, Separator, Writer, survey,
    },
};

use super::desk::{export, import, import_dated, lined, row};
use crate::support::{Database, Site, on_both};

on_both!(
    files_of_spreadsheets_are_brought_in_as_they_are,
    an_export_for_spreadsheets_changes_nothing,
    two_thousand_rows_of_a_sheet_go_in_by_one_import,
);

const TITLE: &str = "Prüfanweisung – Größe";

/// The rows of a file, and how it was taken. None of them is bad.
fn read(bytes: &[u8]) -> (Vec<pb::DocumentRow>, Dialect) {
    let hints = Hints {
        encoding: Some(survey(&mut &*bytes).unwrap()),
        ..Hints::default()
    };
    let reader = Reader::open_as(Form::Csv, bytes, &hints).unwrap();
    let dialect = reader.dialect().clone();
    let rows = reader.map(|row| row.unwrap().unwrap().row);
    (rows.collect(), dialect)
}

fn windows_1252(text: &str) -> Vec<u8> {
    let byte = |letter: char| match letter {
        '–' => 0x96,
        letter => u8::try_from(letter).unwrap(),
    };
    text.chars().map(byte).collect()
}

fn utf_16(text: &str, big: bool) -> Vec<u8> {
    let bytes = |unit: u16| match big {
        true => unit.to_be_bytes(),
        false => unit.to_le_bytes(),
    };
    format!("\u{feff}{text}")
        .encode_utf16()
        .flat_map(bytes)
        .collect()
}

async fn files_of_spreadsheets_are_brought_in_as_they_are(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let plain = format!("number,title,status\r\nN-1,{TITLE},DRAFT\r\n");
    let with_semicolons = plain.replace(',', ";");
    let with_tabs = plain.replace(',', "\t");
    let (comma, semicolon, tab) = (Separator::Comma, Separator::Semicolon, Separator::Tab);
    let files: Vec<(Vec<u8>, Encoding, Separator, u64)> = vec![
        (format!("\u{feff}{plain}").into(), Encoding::Utf8, comma, 1),
        (with_semicolons.clone().into(), Encoding::Utf8, semicolon, 1),
        (windows_1252(&plain), Encoding::Windows1252, comma, 1),
        (
            windows_1252(&with_semicolons),
            Encoding::Windows1252,
            semicolon,
            1,
        ),
        (utf_16(&with_tabs, false), Encoding::Utf16Le, tab, 1),
        (utf_16(&with_tabs, true), Encoding::Utf16Be, tab, 1),
        (
            format!("sep=;\r\n{with_semicolons}").into(),
            Encoding::Utf8,
            semicolon,
            2,
        ),
        (
            windows_1252(&format!("Register à jour;;\r\n\r\n{with_semicolons}")),
            Encoding::Windows1252,
            semicolon,
            3,
        ),
        // A last column without a name, rows that were emptied, and headers as people write them.
        (
            format!("Number;TITLE; Document Type ;\r\nN-1;\"{TITLE}\";SOP;\r\n;;;\r\n;;;\r\n")
                .into(),
            Encoding::Utf8,
            semicolon,
            1,
        ),
        // Other columns first, and a separator at the end of each line.
        (
            windows_1252(&format!("title;number;\r\n{TITLE};N-1;\r\n")),
            Encoding::Windows1252,
            semicolon,
            1,
        ),
    ];
    for (index, (bytes, encoding, separator, header_line)) in files.into_iter().enumerate() {
        let (mut rows, dialect) = read(&bytes);
        assert_eq!(
            (dialect.encoding, dialect.separator, dialect.header_line),
            (encoding, Some(separator), header_line),
            "{index}"
        );
        assert_eq!(rows.len(), 1, "{index}: {rows:?}");
        rows[0].number = format!("N-{index}");

        let told = import(&server.client, rows).await;

        assert_eq!(told.counts(), (1, 0, 0), "{index}: {:?}", told.bad);
        assert!(told.notes.is_empty(), "{index}: {:?}", told.notes);
    }
    for row in export(&server.client).await {
        assert_eq!(row.title, TITLE, "{}", row.number);
    }
    server.stop().await;
}

async fn an_export_for_spreadsheets_changes_nothing(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let titles = [
        "=1+1",
        "'=1+1",
        "+49 30",
        "-5 degrees",
        "@sum",
        "'single'",
        "5\" pipe; 1,5",
        "–",
        "a\tb",
    ];
    let rows: Vec<_> = (0..)
        .zip(titles)
        .filter(|(_, title)| !title.contains('\t'))
        .map(|(index, title)| pb::DocumentRow {
            title: title.to_owned(),
            ..row(&format!("N-{index}"))
        })
        .collect();
    let count = rows.len() as i64;
    assert_eq!(import(client, lined(rows)).await.counts(), (count, 0, 0));
    let before = export(client).await;
    for separator in [Separator::Comma, Separator::Semicolon] {
        let mut writer = Writer::for_spreadsheets(separator, Vec::new()).unwrap();
        for row in before.clone() {
            let row = FileRow {
                row,
                ..FileRow::default()
            };
            assert!(row.get(Column::ContentPath).is_empty());
            writer.write(&row).unwrap();
        }
        let text = writer.finish().unwrap();
        for cell in String::from_utf8(text.clone())
            .unwrap()
            .split([',', ';', '\n'])
        {
            let cell = cell.trim_start_matches('"');
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
        }

        let told = import(client, read(&text).0).await;

        assert_eq!(told.counts(), (0, count, 0), "{:?}", told.bad);
        assert_eq!(export(client).await, before);
    }
    server.stop().await;
}

async fn two_thousand_rows_of_a_sheet_go_in_by_one_import(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let lines = (0..2000).map(|index| {
        format!(
            "A-{index};\"Größe; {index},5 mm\";SOP;1;0;EFFECTIVE;ann;rex;pat;{}.2.2026\r\n",
            1 + index % 28
        )
    });
    let text = format!(
        "Dokumente;;;;;;;;;\r\nNummer;Titel;document_type;version_major;version_minor;status;author;reviewer;approver;\
         effective_date\r\n{}",
        lines.collect::<String>()
    );
    let hints = Hints {
        encoding: Some(Encoding::Windows1252),
        map: vec![
            ("nummer".to_owned(), Column::Number),
            ("Titel".to_owned(), Column::Title),
        ],
        ..Hints::default()
    };
    let bytes = windows_1252(&text);
    let reader = Reader::open_as(Form::Csv, bytes.as_slice(), &hints).unwrap();
    assert_eq!(reader.dialect().header_line, 2);
    let rows = reader.map(|row| row.unwrap().unwrap().row).collect();

    let told = import_dated(&server.client, "31.12.2026", rows)
        .await
        .unwrap();

    assert_eq!(told.counts(), (2000, 0, 0), "{:?}", told.bad);
    let kept = export(&server.client).await;
    let last = kept.iter().find(|row| row.number == "A-1999").unwrap();
    assert_eq!(last.title, "Größe; 1999,5 mm");
    assert_eq!(last.effective_date, "2026-02-12");
    server.stop().await;
}
