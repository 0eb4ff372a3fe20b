//! What is bent to read a row, what is told of it, and what is refused instead.

use tonic::Code;
use watchbell_client::pb::{self, RowNoteKind};

use super::desk::{export, import, import_dated, kept, lined, row, send};
use crate::support::office::{Step, create, does, draft};
use crate::support::{Database, Site, on_both, refused, violations};

on_both!(
    days_are_read_as_the_sample_says_and_others_are_refused_with_what_to_say,
    numbers_that_look_alike_are_read_alike_and_told,
    notes_are_bounded_and_counted,
    a_day_that_nobody_can_have_meant_is_refused,
);

fn dated(number: usize, day: &str) -> pb::DocumentRow {
    pb::DocumentRow {
        effective_date: day.to_owned(),
        ..row(&format!("B-04{number:02}"))
    }
}

async fn days_are_read_as_the_sample_says_and_others_are_refused_with_what_to_say(
    database: Database,
) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let days = [
        ("2026-12-01", ""),
        ("1.12.2026", "--date-format 31.12.2026"),
        ("01.12.2026", "--date-format 31.12.2026"),
        ("01/12/2026", "--date-format 12/31/2026"),
        ("2026/12/01", "--date-format 2026/12/31"),
        ("12/1/26", "four digits"),
        ("01-Dec-26", "expected one such as 2026-03-01"),
        ("46357", "count of days, for 2026-12-01"),
        ("2026-12-01T00:00:00+02:00", "expected one such as"),
        ("2026-2-9", ""),
        ("2026-12-01 00:00:00", ""),
        ("TODAY+3", ""),
    ];
    let rows = days.iter().enumerate();
    let rows = lined(rows.map(|(index, (day, _))| dated(index, day)).collect());

    let told = send(client, "ann", true, rows.clone()).await.unwrap();

    for (line, (day, reason)) in (2..).zip(days) {
        match (told.bad.get(&line), reason) {
            (None, "") => {}
            (Some(bad), reason) if !reason.is_empty() => {
                assert_eq!(bad.field, "effective_date");
                assert!(bad.reason.contains(reason), "{day}: {}", bad.reason);
            }
            (bad, _) => panic!("{day}: {bad:?}"),
        }
    }
    let told = import_dated(client, "31.12.2026", rows).await.unwrap();
    assert_eq!(told.counts(), (6, 0, 6), "{:?}", told.bad);
    for key in ["B-0400", "B-0401", "B-0402", "B-0410"] {
        let found = export(client)
            .await
            .into_iter()
            .find(|row| row.number == key);
        assert_eq!(found.unwrap().effective_date, "2026-12-01", "{key}");
    }
    let lines: Vec<i64> = told.notes.iter().map(|note| note.line).collect();
    assert_eq!(lines, [3, 4, 11, 12]);
    assert!(
        told.notes
            .iter()
            .all(|note| note.kind() == RowNoteKind::Day)
    );
    let wrong = import_dated(client, "31.12.26", lined(vec![row("X")])).await;
    let (code, _, status) = refused(wrong);
    assert_eq!(code, Code::InvalidArgument, "{status:?}");
    assert_eq!(violations(&status), ["header.date_format"]);
    server.stop().await;
}

async fn numbers_that_look_alike_are_read_alike_and_told(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let looks = [
        ("B-500", true),
        ("B\u{2011}500", true),
        ("B\u{2013}500", true),
        ("b-500", true),
        ("B-500 ", true),
        (" B-500", true),
        ("B-500\u{a0}", true),
        ("B-\u{200b}500", true),
        ("B\u{ad}-500", true),
        ("\u{412}-500", false),
        ("\u{ff22}-500", true),
        ("B- 500", false),
        ("B--500", false),
        ("B-500@1.0", false),
        ("B-0500", false),
        ("\u{e9}-500", false),
    ];
    let rows = looks.iter().map(|(number, _)| pb::DocumentRow {
        title: "Look-alike".to_owned(),
        ..row(number)
    });
    let rows = rows.collect();

    let told = import(&server.client, lined(rows)).await;

    let keys: Vec<String> = kept(&server.client)
        .await
        .into_iter()
        .map(|kept| kept.0)
        .collect();
    assert_eq!(keys, ["B--500@1.0", "B-0500@1.0", "B-500@1.0"]);
    for (line, (number, alike)) in (2..).zip(looks).skip(1) {
        match told.bad.get(&line) {
            Some(bad) if alike => {
                assert_eq!(bad.reason, "the same document as line 2", "{number}");
            }
            Some(bad) => assert_eq!(bad.field, "number", "{number}: {bad:?}"),
            None => assert!(!alike, "{number}"),
        }
    }
    assert!(
        told.reason(11).contains("only looks like B"),
        "{}",
        told.reason(11)
    );
    let lines: Vec<i64> = told.notes.iter().map(|note| note.line).collect();
    assert_eq!(lines, [3, 4, 6, 7, 8, 9, 10, 12]);
    assert_eq!(told.notes[0].field, "number");
    assert_eq!(told.summary.note_count, 8);
    server.stop().await;
}

async fn notes_are_bounded_and_counted(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let rows = (0..150).map(|index| pb::DocumentRow {
        title: "About it ".to_owned(),
        author: "Amy\u{a0}Smith".to_owned(),
        ..row(&format!("N-{index}"))
    });

    let told = import(&server.client, lined(rows.collect())).await;

    assert_eq!(told.counts(), (150, 0, 0), "{:?}", told.bad);
    assert_eq!(told.summary.note_count, 300);
    for kind in [RowNoteKind::Blanks, RowNoteKind::Characters] {
        let count = told.notes.iter().filter(|note| note.kind() == kind).count();
        assert_eq!(count, 100, "{kind:?}");
    }
    let kept = export(&server.client).await;
    assert!(
        kept.iter()
            .all(|row| row.author == "Amy Smith" && row.title == "About it")
    );
    server.stop().await;
}

async fn a_day_that_nobody_can_have_meant_is_refused(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let rows = ["0026-01-01", "2205-03-01", "9999-12-31", "26-01-01"];
    let rows = rows.iter().enumerate();
    let told = import(
        client,
        lined(rows.map(|(index, day)| dated(index, day)).collect()),
    )
    .await;
    assert_eq!(told.counts(), (0, 0, 4));
    assert!(
        told.reason(2).contains("did you mean 2026-01-01?"),
        "{}",
        told.reason(2)
    );
    assert!(
        told.reason(3).contains("did you mean 2025-03-01?"),
        "{}",
        told.reason(3)
    );
    for line in 2..=4 {
        assert!(told.reason(line).contains("from 1900-01-01 to 2199-12-31"));
    }

    create(client, draft("SOP-1")).await;
    for (who, step) in [
        ("ann", Step::Submit("rex".into())),
        ("rex", Step::StartReview),
        ("rex", Step::PassReview("good".into())),
        ("ann", Step::RequestApproval("pat".into())),
    ] {
        does(client, "SOP-1", who, step).await.unwrap();
    }
    let approve = Step::Approve("0026-01-01".to_owned());
    let (code, _, status) = refused(does(client, "SOP-1", "pat", approve).await);
    assert_eq!(code, Code::InvalidArgument, "{status:?}");
    assert_eq!(violations(&status), ["effective_date"]);
    assert!(
        status.message().contains("did you mean 2026-01-01?"),
        "{status:?}"
    );
    server.stop().await;
}
