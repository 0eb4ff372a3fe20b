//! Rows: what is taken, what is refused, and how they are told apart.

use super::*;
use crate::domain::{DocumentId, document::Content};

fn reading() -> Reading {
    Reading {
        actor: "ann".to_owned(),
        today: "2026-03-02".parse().unwrap(),
        day_form: None,
    }
}

fn plain() -> RawRow {
    RawRow {
        line: 2,
        number: "SOP-1".to_owned(),
        title: "Cleaning".to_owned(),
        ..RawRow::default()
    }
}

fn with(change: impl Fn(&mut RawRow)) -> RawRow {
    let mut row = plain();
    change(&mut row);
    row
}

fn read(mut raw: RawRow) -> Result<Row> {
    raw.bend(&reading());
    let key = raw.key()?;
    let row = raw.read(key, &reading())?;
    row.dates_fit(reading().today)?;
    Ok(row)
}

#[track_caller]
fn refused(raw: RawRow) -> (String, String) {
    match read(raw.clone()) {
        Err(Error::Invalid { field, reason }) => (field, reason),
        other => panic!("{raw:?} was read as {other:?}"),
    }
}

#[test]
fn what_is_left_out_has_defaults() {
    let row = read(plain()).unwrap();
    assert_eq!(row.key.to_string(), "SOP-1@1.0");
    assert_eq!(row.status, DocumentStatus::Draft);
    assert_eq!((row.author.as_str(), row.author_told), ("ann", false));
    assert_eq!(row.supersedes, None);
    let half = read(with(|row| row.version_major = "3".into())).unwrap();
    assert_eq!(half.key.to_string(), "SOP-1@3.0");
}

#[test]
fn fields_are_read_as_people_write_them() {
    let row = read(with(|row| {
        row.status = " scheduled for-obsolescence ".into();
        row.effective_date = "today - 7".into();
        row.obsolescence_date = "Today+30".into();
        row.depends_on = "POL-1; POL-2  POL-3;".into();
        row.supersedes = "SOP-0@2.1".into();
        row.content_sha256 = "AB".repeat(32);
        row.content_file_name = "cleaning.pdf".into();
    }))
    .unwrap();
    assert_eq!(row.status, DocumentStatus::ScheduledForObsolescence);
    assert_eq!(row.effective_date.unwrap().to_string(), "2026-02-23");
    assert_eq!(row.obsolescence_date.unwrap().to_string(), "2026-04-01");
    let depends_on: Vec<&str> = row.depends_on.iter().map(Number::as_str).collect();
    assert_eq!(depends_on, ["POL-1", "POL-2", "POL-3"]);
    assert_eq!(row.supersedes.unwrap().to_string(), "SOP-0@2.1");
    assert_eq!(row.content_sha256.unwrap(), "ab".repeat(32));
    let today = read(with(|row| row.effective_date = "TODAY".into())).unwrap();
    assert_eq!(today.effective_date.unwrap().to_string(), "2026-03-02");
}

#[test]
fn what_is_wrong_names_its_column() {
    type Change = fn(&mut RawRow);
    let table: &[(&str, Change)] = &[
        ("number", |row| row.number.clear()),
        ("number", |row| row.number = "SOP 1".into()),
        ("number", |row| row.number = "x".repeat(100_000)),
        ("title", |row| row.title.clear()),
        ("title", |row| row.title = "a\nb".into()),
        ("title", |row| row.title = "a\n".into()),
        ("title", |row| row.title = "ü".repeat(501)),
        ("title", |row| row.title = "x".repeat(3 << 20)),
        ("document_type", |row| row.document_type = "x".repeat(101)),
        ("document_type", |row| row.document_type = "\u{7}".into()),
        ("version_major", |row| row.version_major = "1.0".into()),
        ("version_major", |row| row.version_major = "-1".into()),
        ("version_major", |row| row.version_major = "100000".into()),
        ("version_minor", |row| row.version_minor = "9".repeat(40)),
        ("status", |row| row.status = "DONE".into()),
        ("author", |row| row.author = "x".repeat(129)),
        ("reviewer", |row| row.reviewer = "Ann".into()),
        ("approver", |row| row.approver = "ann".into()),
        ("approver", |row| {
            row.reviewer = "rex".into();
            row.approver = "REX".into();
        }),
        ("effective_date", |row| {
            row.effective_date = "1.3.2026".into()
        }),
        ("effective_date", |row| {
            row.effective_date = "2026-02-30".into()
        }),
        ("effective_date", |row| {
            row.effective_date = "0026-01-01".into()
        }),
        ("obsolescence_date", |row| {
            row.obsolescence_date = "2205-01-01".into()
        }),
        ("effective_date", |row| {
            row.effective_date = "tomorrow".into()
        }),
        ("effective_date", |row| row.effective_date = "today+".into()),
        ("effective_date", |row| {
            row.effective_date = "today*2".into()
        }),
        ("effective_date", |row| {
            row.effective_date = "today+36501".into()
        }),
        ("effective_date", |row| row.effective_date = "todayé".into()),
        ("effective_date", |row| {
            row.effective_date = format!("today+{}", "9".repeat(5000));
        }),
        ("obsolescence_date", |row| {
            row.effective_date = "2026-03-02".into();
            row.obsolescence_date = "2026-03-01".into();
        }),
        ("effective_date", |row| {
            row.status = "APPROVED_PENDING_EFFECTIVE".into();
        }),
        ("obsolescence_date", |row| {
            row.status = "SCHEDULED_FOR_OBSOLESCENCE".into();
        }),
        ("obsolescence_date", |row| {
            row.status = "OBSOLETE".into();
            row.obsolescence_date = "today+1".into();
        }),
        ("reviewer", |row| row.status = "PENDING_REVIEW".into()),
        ("reviewer", |row| row.status = "under review".into()),
        ("approver", |row| row.status = "PENDING_APPROVAL".into()),
        ("approver", |row| row.status = "UNDER_APPROVAL".into()),
        ("supersedes", |row| row.supersedes = "SOP-0@1".into()),
        ("supersedes", |row| {
            row.supersedes = "documents/SOP-0".into()
        }),
        ("depends_on", |row| row.depends_on = "SOP-1".into()),
        ("depends_on", |row| row.depends_on = "POL-1 POL-1".into()),
        ("depends_on", |row| row.depends_on = "POL-1 pol-1".into()),
        ("depends_on", |row| row.depends_on = "sop-1".into()),
        ("depends_on", |row| row.depends_on = "POL-1,POL-2".into()),
        ("depends_on", |row| {
            let numbers: Vec<String> = (0..101).map(|number| format!("POL-{number}")).collect();
            row.depends_on = numbers.join(";");
        }),
        ("content_sha256", |row| row.content_sha256 = "abc".into()),
        ("content_file_name", |row| {
            row.content_file_name = "a.pdf".into()
        }),
        ("content_file_name", |row| {
            row.content_sha256 = "ab".repeat(32);
            row.content_file_name = "../a.pdf".into();
        }),
    ];
    for (column, change) in table {
        let (field, reason) = refused(with(change));
        assert_eq!(field, *column, "{reason}");
        assert!(reason.len() < 500, "{column}: {reason}");
    }
    for status in ["EFFECTIVE", "SUPERSEDED", "OBSOLETE"] {
        let (field, reason) = refused(with(|row| {
            row.status = status.into();
            row.effective_date = "today+1".into();
        }));
        assert_eq!(field, "effective_date");
        assert!(reason.contains(status), "{reason}");
    }
    let (_, reason) = refused(with(|row| row.status = "DONE".into()));
    for status in DocumentStatus::ALL {
        assert!(reason.contains(&status.shouted()), "{reason}");
    }
}

#[test]
fn a_line_has_one_fingerprint_however_it_is_written() {
    let of = |change: fn(&mut RawRow)| read(with(change)).unwrap().fingerprint;
    let same = of(|_| ());
    assert_eq!(same, of(|row| row.title = "  Cleaning ".into()));
    assert_eq!(same, of(|row| row.status = "draft".into()));
    assert_eq!(same, of(|row| row.version_major = "1".into()));
    assert_eq!(same, of(|row| row.line = 9));
    assert_ne!(same, of(|row| row.author = "ann".into()));
    assert_ne!(same, of(|row| row.title = "cleaning".into()));
    assert_ne!(
        of(|row| row.effective_date = "today".into()),
        of(|row| row.effective_date = "2026-03-02".into())
    );
    assert_ne!(
        of(|row| row.reviewer = "rex".into()),
        of(|row| row.approver = "rex".into())
    );
}

#[test]
fn a_document_as_a_row_says_what_it_is() {
    let row = read(with(|row| {
        row.status = "EFFECTIVE".into();
        row.effective_date = "2026-01-01".into();
        row.depends_on = "POL-1;POL-2".into();
    }))
    .unwrap();
    let now = jiff::Timestamp::UNIX_EPOCH;
    let document = Document {
        id: DocumentId::new(),
        key: row.key.clone(),
        title: row.title.clone(),
        document_type: row.document_type.clone(),
        status: row.status,
        author: "bob".to_owned(),
        reviewer: row.reviewer.clone(),
        approver: row.approver.clone(),
        effective_date: row.effective_date,
        activated_at: None,
        obsolescence_date: None,
        retired_at: None,
        supersedes: Some(Key {
            number: "SOP-0".parse().unwrap(),
            version: Version::FIRST,
        }),
        depends_on: row.depends_on.iter().rev().cloned().collect(),
        content: Some(Content {
            sha256: "ab".repeat(32),
            size: 3,
            file_name: "a.pdf".to_owned(),
        }),
        backdated_reason: String::new(),
        supersedes_nothing: String::new(),
        created_at: now,
        updated_at: now,
        status_at: now,
        revision: 1,
    };
    // What has a default is not said.
    row.says_what_is(&document).unwrap();
    let exported = read(RawRow::of(&document)).unwrap();
    exported.says_what_is(&document).unwrap();
    assert_eq!(
        exported.supersedes.as_ref().unwrap().to_string(),
        "SOP-0@1.0"
    );
    type Change = fn(&mut Document);
    let table: &[(&str, Change)] = &[
        ("title", |document| document.title = "Other".into()),
        ("status", |document| {
            document.status = DocumentStatus::Obsolete
        }),
        ("author", |document| document.author = "cid".into()),
        ("effective_date", |document| document.effective_date = None),
        ("supersedes", |document| document.supersedes = None),
        ("depends_on", |document| document.depends_on.clear()),
        ("content_sha256", |document| document.content = None),
    ];
    for (column, change) in table {
        let mut other = document.clone();
        change(&mut other);
        let error = exported.says_what_is(&other).unwrap_err().to_string();
        assert!(error.starts_with(&format!("invalid {column}: ")), "{error}");
    }
}
