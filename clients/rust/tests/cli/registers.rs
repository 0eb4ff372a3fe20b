//! Imports and exports of registers.

use std::fs;

use serde_json::Value;
use watchbell_client::{
    pb::{Content, Document, DocumentRow},
    register::{Form, Reader},
};

use crate::{fake_documents::sha256, harness::Harness};

#[tokio::test]
async fn bad_rows_are_told_with_their_lines_and_the_rest_is_kept() {
    let harness = Harness::start().await;
    let file = harness.text(
        "register.csv",
        "number,title,status\nA,One,EFFECTIVE\nB\n\nC,,\n D , \"Two \u{1b}[2J\" ,\nE,Three,\n",
    );
    let done = harness.run(&["document", "import", &file]).await;
    assert_eq!(done.code, 11, "{done:?}");
    assert_eq!(done.stdout, "created 3, unchanged 0, bad 2 of 5 rows\n");
    let told: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(told.len(), 4, "{told:?}");
    for line in [
        format!("{file}:3: the row has 1 fields, where the header names 3"),
        format!("{file}:5: title: is required"),
        format!("{file}:6: number: read \" D \" without the blanks around it"),
    ] {
        assert!(told.contains(&line.as_str()), "{told:?}");
    }
    assert!(!done.stderr.contains('\u{1b}'), "{done:?}");
    let script = harness.script();
    assert_eq!(script.documents.imports[0].actor, "ada");
    assert!(!script.documents.imports[0].validate_only);
    let rows: Vec<_> = script
        .documents
        .imported
        .iter()
        .map(|row| (row.line, row.number.as_str()))
        .collect();
    assert_eq!(rows, [(2, "A"), (6, "D"), (7, "E")]);
}

#[tokio::test]
async fn many_rows_are_sent_in_batches_and_all_arrive() {
    let harness = Harness::start().await;
    let rows = (0..2_345).map(|row| format!("{{\"number\":\"N{row}\",\"title\":\"T\"}}\n"));
    let file = harness.text("register.jsonl", &rows.collect::<String>());
    let done = harness
        .run(&["document", "import", &file, "--dry-run"])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        done.stdout,
        "would create 2345, unchanged 0, bad 0 of 2345 rows\n"
    );
    let script = harness.script();
    assert!(script.documents.imports[0].validate_only);
    let lines: Vec<_> = script
        .documents
        .imported
        .iter()
        .map(|row| row.line)
        .collect();
    assert_eq!(lines, (1..=2_345).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_is_no_register_is_refused_before_anything_is_sent() {
    let harness = Harness::start().await;
    for (name, text, told) in [
        ("a.csv", "number,titel\nA,One\n", "did you mean `title`?"),
        ("b.csv", "number;titel\nA;One\n", "--map 'titel=title'"),
        ("c.csv", "", "is empty"),
        ("d.jsonl", "number,title\n", "its form is csv"),
    ] {
        let file = harness.text(name, text);
        let done = harness.run(&["document", "import", &file]).await;
        assert_eq!(done.code, 7, "{done:?}");
        assert!(
            done.stderr.contains(&format!("{file}: line 1: ")),
            "{done:?}"
        );
        assert!(done.stderr.contains(told), "{done:?}");
    }
    let file = harness.text("register.txt", "number,title\nA,One\n");
    let unknown = harness.run(&["document", "import", &file]).await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("--form"), "{unknown:?}");
    assert!(harness.script().documents.imports.is_empty());
    let said = harness
        .run(&["document", "import", &file, "--form", "csv"])
        .await;
    assert_eq!(said.code, 0, "{said:?}");
}

#[tokio::test]
async fn contents_are_uploaded_once_and_rows_name_them_by_hash() {
    let harness = Harness::start().await;
    harness.folder("content");
    harness.bytes("content/a.pdf", b"one");
    harness.bytes("content/again.pdf", b"one");
    let file = harness.text(
        "register.csv",
        "number,title,content_path\nA,One,content/a.pdf\nB,Two,content/a.pdf\n\
         C,Three,content/again.pdf\nD,Four,../token\nE,Five,content/missing.pdf\nF,Six,\n",
    );
    let dry = harness
        .run(&["document", "import", &file, "--dry-run"])
        .await;
    assert_eq!(dry.code, 11, "{dry:?}");
    assert!(harness.script().documents.uploads.is_empty());
    harness.script().documents.imported.clear();

    let done = harness.run(&["document", "import", &file]).await;
    assert_eq!(done.code, 11, "{done:?}");
    assert!(
        done.stderr
            .contains(":5: content_path: `../token` holds `..`"),
        "{done:?}"
    );
    assert!(
        done.stderr.contains(":6: content_path: cannot read"),
        "{done:?}"
    );
    assert_eq!(done.stdout, "created 4, unchanged 0, bad 2 of 6 rows\n");
    let script = harness.script();
    assert_eq!(script.documents.uploads.len(), 1);
    let header = &script.documents.uploads[0].0;
    assert_eq!(
        (header.document.as_str(), header.actor.as_str()),
        ("", "ada")
    );
    let hash = sha256(b"one");
    let rows: Vec<_> = script
        .documents
        .imported
        .iter()
        .map(|row| (row.content_sha256.as_str(), row.content_file_name.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            (hash.as_str(), "a.pdf"),
            (hash.as_str(), "a.pdf"),
            (hash.as_str(), "again.pdf"),
            ("", "")
        ]
    );
}

#[tokio::test]
async fn programs_read_bad_rows_and_the_summary_as_lines_of_json() {
    let harness = Harness::start().await;
    let file = harness.text("a.csv", "number,title\nA,One\nB,\nC\n");
    let done = harness
        .run(&["document", "import", &file, "-o", "json"])
        .await;
    assert_eq!((done.code, done.stderr.as_str()), (11, ""));
    let mut lines: Vec<Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["summary"]["rowCount"], "3");
    assert_eq!(summary["summary"]["badCount"], "2");
    let told: Vec<_> = lines.iter().map(|line| &line["badRow"]["line"]).collect();
    assert_eq!(told, ["4", "3"]);
}

#[tokio::test]
async fn an_import_that_breaks_off_says_that_it_may_be_run_again() {
    let harness = Harness::start().await;
    harness.script().documents.import_breaks = true;
    let file = harness.text("a.csv", "number,title\nA,One\n");
    let done = harness.run(&["document", "import", &file]).await;
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.stderr.contains("hint: run it again"), "{done:?}");
    assert_eq!(done.stdout, "");
}

fn rows() -> Vec<DocumentRow> {
    let row = |number: &str, title: &str| DocumentRow {
        number: number.into(),
        title: title.into(),
        version_major: "1".into(),
        version_minor: "0".into(),
        status: "EFFECTIVE".into(),
        author: "ada".into(),
        effective_date: "2026-03-01".into(),
        depends_on: "A;B".into(),
        ..DocumentRow::default()
    };
    vec![
        row("SOP-1", "Say \"when\", twice"),
        row("SOP-2", "Größe\nund Form"),
    ]
}

/// The rows of a file, as they were before they had lines.
fn read(form: Form, text: &[u8]) -> Vec<(DocumentRow, String)> {
    let rows = Reader::open(form, text).unwrap().map(|row| {
        let mut row = row.unwrap().unwrap();
        row.row.line = 0;
        (row.row, row.content_path)
    });
    rows.collect()
}

#[tokio::test]
async fn what_is_exported_is_read_as_the_same_rows() {
    let harness = Harness::start().await;
    harness.script().documents.rows = rows();
    let expected: Vec<_> = rows().into_iter().map(|row| (row, String::new())).collect();
    for (name, form) in [("a.csv", Form::Csv), ("a.jsonl", Form::JsonLines)] {
        let file = harness.path(name);
        let done = harness.run(&["document", "export", &file]).await;
        assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{done:?}");
        assert_eq!(read(form, &fs::read(&file).unwrap()), expected);
        let again = harness.run(&["document", "export", &file]).await;
        assert_eq!(again.code, 2, "{again:?}");
        let forced = harness.run(&["document", "export", &file, "--force"]).await;
        assert_eq!(forced.code, 0, "{forced:?}");
    }
    let piped = harness.run(&["document", "export"]).await;
    assert_eq!(read(Form::Csv, piped.stdout.as_bytes()), expected);
    let lines = harness
        .run(&["document", "export", "--form", "jsonl"])
        .await;
    assert_eq!(read(Form::JsonLines, lines.stdout.as_bytes()), expected);
}

#[tokio::test]
async fn contents_are_exported_so_that_they_can_be_imported() {
    let harness = Harness::start().await;
    let hash = sha256(b"one");
    {
        let mut script = harness.script();
        script.documents.rows = rows();
        for row in &mut script.documents.rows {
            row.content_sha256 = hash.clone();
            row.content_file_name = "../cleaning.pdf".into();
        }
        script
            .documents
            .contents
            .insert(hash.clone(), b"one".to_vec());
        let content = Content {
            sha256: hash.clone(),
            size: 3,
            ..Content::default()
        };
        script.documents.documents = vec![Document {
            name: "documents/SOP-1@1.0".into(),
            content: Some(content),
            ..Document::default()
        }];
    }
    let no_file = harness.run(&["document", "export", "--content"]).await;
    assert_eq!(no_file.code, 2, "{no_file:?}");
    let folder = harness.folder("backup");
    let file = harness.path("backup/register.csv");
    let done = harness
        .run(&["document", "export", &file, "--content"])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let name = format!("content/{}-cleaning.pdf", &hash[..16]);
    assert_eq!(fs::read(folder.join(&name)).unwrap(), b"one");
    assert_eq!(harness.script().documents.downloads.len(), 1);
    let exported = read(Form::Csv, &fs::read(&file).unwrap());
    assert!(
        exported.iter().all(|(_, path)| *path == name),
        "{exported:?}"
    );

    let done = harness.run(&["document", "import", &file]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let script = harness.script();
    assert_eq!(script.documents.imported.len(), 2);
    for row in &script.documents.imported {
        assert_eq!(row.content_sha256, hash);
        assert_eq!(row.content_file_name, "cleaning.pdf");
    }
    assert!(script.documents.uploads.is_empty());
}
