//! What is bent, how it is told, and what stays as it is.

use super::*;
use crate::domain::document::written::DayForm;

fn reading(sample: &str) -> Reading {
    Reading {
        actor: "ann".to_owned(),
        today: "2026-03-02".parse().unwrap(),
        day_form: DayForm::read("date_format", sample).unwrap(),
    }
}

/// The row as it is after it was bent, and what was.
fn bent(change: impl Fn(&mut RawRow)) -> (RawRow, Vec<(&'static str, BendKind)>) {
    let mut row = RawRow::default();
    change(&mut row);
    let bends = row.bend(&reading("31.12.2026"));
    for bend in &bends {
        assert!(!bend.note.contains('\u{200b}'), "{bend:?}");
    }
    let told = bends.iter().map(|bend| (bend.field, bend.kind));
    (row, told.collect())
}

#[test]
fn numbers_that_look_alike_are_read_alike() {
    for look in [
        "B\u{2011}500",
        "B\u{2013}500",
        "B-\u{200b}500",
        "B\u{ad}-500",
        "\u{ff22}-500",
        "B\u{2212}500",
    ] {
        let (row, told) = bent(|row| row.number = look.into());
        assert_eq!(row.number, "B-500", "{look:?}");
        assert_eq!(told, [("number", BendKind::Characters)], "{look:?}");
    }
    for blank in [
        " B-500",
        "B-500 ",
        "B-500\u{a0}",
        "\u{feff}B-500",
        "\u{3000}B-500",
    ] {
        let (row, told) = bent(|row| row.number = blank.into());
        assert_eq!(row.number, "B-500", "{blank:?}");
        assert_eq!(told, [("number", BendKind::Blanks)], "{blank:?}");
    }
    // These are other letters, or other numbers.
    for other in [
        "\u{412}-500",
        "B- 500",
        "B--500",
        "é-500",
        "B-0500",
        "b-500",
    ] {
        let (row, told) = bent(|row| row.number = other.into());
        assert_eq!((row.number.as_str(), told.len()), (other, 0));
    }
}

#[test]
fn titles_keep_what_is_in_them_and_names_have_plain_blanks() {
    let (row, told) = bent(|row| {
        row.title = "Titre\u{a0}: pages 1\u{2013}2".into();
        row.author = "Amy\u{a0}Smith".into();
        row.status = "in\u{2009}force".into();
        row.depends_on = "A\u{2011}1;\u{a0}A-2".into();
    });
    assert_eq!(row.title, "Titre\u{a0}: pages 1\u{2013}2");
    assert_eq!(row.author, "Amy Smith");
    assert_eq!(row.status, "in force");
    assert_eq!(row.depends_on, "A-1; A-2");
    let fields: Vec<_> = told.iter().map(|(field, _)| *field).collect();
    assert_eq!(fields, ["status", "author", "depends_on"]);
}

#[test]
fn what_is_plain_is_left_alone_and_nothing_is_told() {
    let (row, told) = bent(|row| {
        row.number = "SOP-1".into();
        row.title = "Größe".into();
        row.effective_date = "2026-03-01".into();
        row.obsolescence_date = "today+30".into();
        row.reviewer = "   ".into();
    });
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(row.reviewer, "");
    let (row, told) = bent(|row| row.title = "two\nlines\n".into());
    assert_eq!((row.title.as_str(), told.len()), ("two\nlines\n", 0));
}

#[test]
fn days_are_written_as_they_are_meant() {
    let (row, told) = bent(|row| {
        row.effective_date = " 1.12.2026".into();
        row.obsolescence_date = "2027-2-9".into();
    });
    assert_eq!(row.effective_date, "2026-12-01");
    assert_eq!(row.obsolescence_date, "2027-02-09");
    assert_eq!(
        told,
        [
            ("effective_date", BendKind::Blanks),
            ("effective_date", BendKind::Day),
            ("obsolescence_date", BendKind::Day)
        ]
    );
}
