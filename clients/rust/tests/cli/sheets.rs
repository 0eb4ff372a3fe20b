//! Registers that come from spreadsheets and go to them, and lists that are printed.

use std::fs;

use serde_json::Value;
use watchbell_client::{
    pb::{Document, DocumentRow, DocumentStatus},
    register::{Form, Reader},
};

use crate::harness::Harness;

/// A register as a German spreadsheet writes it.
fn german() -> Vec<u8> {
    let text = "Dokumente;;;;\r\nNummer;Titel;Ort;effective_date;\r\nB-1;Gr\u{f6}\u{df}e; Haus;1.12.2026;\r\n\
                B-2;'=1+1;;;\r\n;;;;\r\n";
    text.chars()
        .map(|letter| u8::try_from(letter).unwrap())
        .collect()
}

const SAID: [&str; 7] = [
    "--map",
    "Nummer=number",
    "--map",
    "titel=title",
    "--ignore-unknown",
    "--date-format",
    "31.12.2026",
];

#[tokio::test]
async fn a_spreadsheets_register_is_brought_in_and_what_was_bent_is_told() {
    let harness = Harness::start().await;
    let file = harness.bytes("Register.csv", &german());
    let mut args = vec!["document", "import", &file];
    args.extend(SAID);

    let done = harness.run(&args).await;

    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.stdout, "created 2, unchanged 0, bad 0 of 2 rows\n");
    for told in [
        "read as Windows-1252, separated by semicolons, with the header in line 2",
        "columns: Nummer is number, Titel is title",
        "left out: Ort",
        "days: as 31.12.2026",
        ":4: title: read \"=1+1\" without the quote before it",
        ":3: effective_date: read as 2026-12-01",
    ] {
        assert!(done.stderr.contains(told), "{told}: {}", done.stderr);
    }
    let script = harness.script();
    assert_eq!(script.documents.imports[0].date_format, "31.12.2026");
    let rows: Vec<_> = script
        .documents
        .imported
        .iter()
        .map(|row| (row.line, row.title.as_str()))
        .collect();
    assert_eq!(rows, [(3, "Größe"), (4, "=1+1")]);
}

#[tokio::test]
async fn a_dry_run_shows_how_the_file_is_understood() {
    let harness = Harness::start().await;
    let file = harness.bytes("Register.csv", &german());
    let mut args = vec!["document", "import", &file, "--dry-run"];
    args.extend(SAID);
    let done = harness.run(&args).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.stderr
            .contains(":3: number \"B-1\", title \"Größe\", effective_date \"1.12.2026\""),
        "{}",
        done.stderr
    );
    assert!(harness.script().documents.imports[0].validate_only);
    // Also where there was nothing to guess.
    let plain = harness.text("plain.csv", "number,title\nA,One\n");
    let done = harness
        .run(&["document", "import", &plain, "--dry-run"])
        .await;
    assert!(
        done.stderr
            .contains("read as UTF-8, separated by commas, with the header in line 1"),
        "{done:?}"
    );
    let done = harness.run(&["document", "import", &plain]).await;
    assert_eq!(done.stderr, "", "there is nothing to tell");
}

#[tokio::test]
async fn what_is_not_known_of_a_file_can_be_said() {
    let harness = Harness::start().await;
    let file = harness.text("a.csv", "Doc No,Title,Rev\nB-702,Seven,A\n");
    let refused = harness.run(&["document", "import", &file]).await;
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(refused.stderr.contains("--map 'Doc No="), "{refused:?}");
    for (map, told) in [
        ("Doc No", "NAME=COLUMN"),
        ("Doc No=nummer", "is no column"),
        ("Nummer=number", "no column `Nummer`"),
    ] {
        let wrong = harness
            .run(&[
                "document",
                "import",
                &file,
                "--ignore-unknown",
                "--map",
                map,
            ])
            .await;
        assert_ne!(wrong.code, 0, "{wrong:?}");
        assert!(wrong.stderr.contains(told), "{map}: {wrong:?}");
    }
    assert!(harness.script().documents.imports.is_empty());
    let said = [
        "document",
        "import",
        &file,
        "--ignore-unknown",
        "--map",
        "Doc No=number",
        "--separator",
        "comma",
        "--encoding",
        "utf-8",
    ];
    let done = harness.run(&said).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stderr.contains("left out: Rev"), "{done:?}");
}

#[tokio::test]
async fn many_notes_are_told_in_part_and_counted() {
    let harness = Harness::start().await;
    let rows = (0..150).map(|row| format!("N{row},T \n"));
    let file = harness.text(
        "a.csv",
        &format!("number,title\n{}", rows.collect::<String>()),
    );
    let done = harness.run(&["document", "import", &file]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.stderr.lines().count(), 21, "{}", done.stderr);
    assert!(done.stderr.contains("130 more fields"), "{}", done.stderr);
    let done = harness
        .run(&["document", "import", &file, "-o", "json"])
        .await;
    let lines: Vec<Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let notes = lines.iter().filter(|line| line.get("note").is_some());
    assert_eq!(notes.count(), 100);
    assert_eq!(lines.last().unwrap()["summary"]["noteCount"], "150");
}

#[tokio::test]
async fn an_export_for_excel_is_opened_by_a_click_and_read_again() {
    let harness = Harness::start().await;
    let row = DocumentRow {
        number: "SOP-1".into(),
        title: "=1+1; Größe".into(),
        author: "ada".into(),
        ..DocumentRow::default()
    };
    harness.script().documents.rows = vec![row.clone()];
    for (locale, separator) in [("de_DE.UTF-8", ';'), ("en_US.UTF-8", ',')] {
        let output = harness
            .command(&["document", "export", "--for", "excel"])
            .env("LC_ALL", locale)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.starts_with(&format!("\u{feff}number{separator}title")),
            "{text}"
        );
        assert!(text.contains("'=1+1; Größe"), "{text}");
        let read: Vec<_> = Reader::open(Form::Csv, text.as_bytes()).unwrap().collect();
        let mut read = read.into_iter().next().unwrap().unwrap().unwrap();
        read.row.line = 0;
        assert_eq!(read.row, row);
    }
    let file = harness.path("a.csv");
    let done = harness
        .run(&[
            "document",
            "export",
            &file,
            "--for",
            "excel",
            "--separator",
            "semicolon",
        ])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stderr.contains("separated by semicolons"), "{done:?}");
    assert!(fs::read(&file).unwrap().starts_with(b"\xef\xbb\xbfnumber;"));
    let wrong = harness
        .run(&["document", "export", "--for", "excel", "--form", "jsonl"])
        .await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
}

#[tokio::test]
async fn a_list_is_printed_as_a_page_of_its_own() {
    let harness = Harness::start().await;
    let document = |name: &str, title: &str| Document {
        name: format!("documents/{name}"),
        title: title.into(),
        status: DocumentStatus::Effective.into(),
        ..Document::default()
    };
    harness.script().documents.documents = vec![
        document("SOP-1@1.0", "<b>Bold</b> & more"),
        document("SOP-2@1.0", "Two"),
    ];
    let list = ["document", "list", "-o", "html", "--status", "effective"];
    let part = harness.run(&list).await;
    assert_eq!(part.code, 0, "{part:?}");
    assert!(
        part.stdout.contains("1 document, and there are more"),
        "{part:?}"
    );
    let mut all = list.to_vec();
    all.push("--all");
    let whole = harness.run(&all).await;
    let page = &whole.stdout;
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(page.trim_end().ends_with("</html>"), "{page}");
    for held in [
        "<td class=\"whole\">SOP-1@1.0</td>",
        "&lt;b&gt;Bold&lt;/b&gt; &amp; more",
        "<p>Only: status effective</p>",
        "<p>2 documents</p>",
        "<p>Made ",
        "display:table-header-group",
    ] {
        assert!(page.contains(held), "{held}: {page}");
    }
    assert!(!page.contains("http"), "nothing is fetched: {page}");
    let other = harness.run(&["task", "list", "-o", "html"]).await;
    assert_eq!(other.code, 2, "{other:?}");
}
