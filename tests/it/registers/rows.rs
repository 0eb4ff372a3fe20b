//! What is wrong with a row by itself is told by its line and column, and the good rest is kept.

use tonic::Code;
use watchbell_client::{
    pb,
    register::{Form, Reader},
};

use super::desk::{header, import, kept, lined, message, row, say, send, version};
use crate::support::{Database, Site, on_both, refused, violations};

on_both!(
    what_is_wrong_with_a_row_is_told_by_line_and_column_and_the_rest_is_kept,
    a_row_of_which_two_columns_are_wrong_at_once_is_refused_like_any_other,
    every_status_can_be_brought_in,
    the_register_that_ships_is_good,
    a_header_comes_first_and_once,
    only_to_check_keeps_nothing,
    a_content_that_a_row_names_must_be_stored,
    twenty_thousand_rows_are_brought_in_as_sets,
);

async fn what_is_wrong_with_a_row_is_told_by_line_and_column_and_the_rest_is_kept(
    database: Database,
) {
    let site = Site::new(database);
    let server = site.start().await;
    let with = |change: fn(&mut pb::DocumentRow)| {
        let mut row = row("SOP-BAD");
        change(&mut row);
        row
    };
    let good = |number: &str| (row(number), "");
    let rows = vec![
        good("SOP-1"),
        (with(|row| row.number.clear()), "number"),
        (with(|row| row.number = "SOP\u{0}1".into()), "number"),
        (with(|row| row.title.clear()), "title"),
        (with(|row| row.title = "two\nlines".into()), "title"),
        (with(|row| row.title = "x".repeat(1 << 20)), "title"),
        (
            with(|row| row.document_type = "x".repeat(101)),
            "document_type",
        ),
        (
            with(|row| row.version_major = "one".into()),
            "version_major",
        ),
        (with(|row| row.version_minor = "-1".into()), "version_minor"),
        (with(|row| row.status = "DONE".into()), "status"),
        (with(|row| row.author = "x".repeat(129)), "author"),
        (with(|row| row.reviewer = "Ann".into()), "reviewer"),
        (with(|row| row.approver = "ANN".into()), "approver"),
        (
            with(|row| row.effective_date = "31.12.2026".into()),
            "effective_date",
        ),
        (
            with(|row| row.effective_date = "2026-02-29".into()),
            "effective_date",
        ),
        (
            with(|row| row.obsolescence_date = "today+99999".into()),
            "obsolescence_date",
        ),
        (
            with(|row| {
                row.effective_date = "today".into();
                row.obsolescence_date = "today-1".into();
            }),
            "obsolescence_date",
        ),
        (
            with(|row| {
                row.status = "EFFECTIVE".into();
                row.effective_date = "today+1".into();
            }),
            "effective_date",
        ),
        (
            with(|row| row.status = "approved pending effective".into()),
            "effective_date",
        ),
        (with(|row| row.supersedes = "SOP-1@1".into()), "supersedes"),
        (with(|row| row.depends_on = "SOP-BAD".into()), "depends_on"),
        (
            with(|row| row.depends_on = "SOP-1;SOP-1".into()),
            "depends_on",
        ),
        (
            with(|row| row.content_sha256 = "123".into()),
            "content_sha256",
        ),
        (
            with(|row| row.content_file_name = "a.pdf".into()),
            "content_file_name",
        ),
        good("SOP-2"),
    ];
    let (rows, fields): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    // Each under a number of its own, so that none is the same document as another.
    let rows = rows.into_iter().enumerate().map(|(index, mut row)| {
        if row.number == "SOP-BAD" {
            let number = format!("SOP-BAD-{index}");
            row.depends_on = row.depends_on.replace("SOP-BAD", &number);
            row.number = number;
        }
        row
    });
    let rows = lined(rows.collect());

    let told = import(&server.client, rows).await;

    let wrong: Vec<(i64, &str)> = (2..)
        .zip(fields)
        .filter(|(_, field)| !field.is_empty())
        .collect();
    assert_eq!(told.fields(), wrong);
    for bad in told.bad.values() {
        assert!(!bad.reason.is_empty() && bad.reason.len() < 500, "{bad:?}");
        assert!(!bad.number.contains(char::is_control), "{bad:?}");
    }
    assert!(told.reason(11).contains("SCHEDULED_FOR_OBSOLESCENCE"));
    let keys: Vec<String> = kept(&server.client)
        .await
        .into_iter()
        .map(|kept| kept.0)
        .collect();
    assert_eq!(keys, ["SOP-1@1.0", "SOP-2@1.0"]);
    server.stop().await;
}

async fn a_row_of_which_two_columns_are_wrong_at_once_is_refused_like_any_other(
    database: Database,
) {
    let site = Site::new(database);
    let server = site.start().await;
    let rows = lined(vec![
        row("SOP-1"),
        version("SOP-2@100000.100001", "DRAFT"),
        row("SOP-3"),
    ]);

    let told = import(&server.client, rows).await;

    assert_eq!(told.counts(), (2, 0, 1));
    assert_eq!(told.fields(), [(3, "")]);
    for says in [
        "version_major: 100000 given",
        "version_minor: 100001 given; expected 0 to 99999",
    ] {
        assert!(told.reason(3).contains(says), "{}", told.reason(3));
    }
    assert_eq!(told.bad[&3].number, "SOP-2");
    server.stop().await;
}

async fn every_status_can_be_brought_in(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let statuses: Vec<&str> = (1..=12)
        .map(|number| pb::DocumentStatus::try_from(number).unwrap().as_str_name())
        .map(|name| name.strip_prefix("DOCUMENT_STATUS_").unwrap())
        .collect();
    let rows = statuses.iter().map(|status| pb::DocumentRow {
        reviewer: "rex".to_owned(),
        approver: "pat".to_owned(),
        effective_date: match *status {
            "APPROVED_PENDING_EFFECTIVE" => "today+3",
            _ => "today-3",
        }
        .to_owned(),
        obsolescence_date: match *status {
            "SCHEDULED_FOR_OBSOLESCENCE" => "2026-03-05",
            _ => "",
        }
        .to_owned(),
        ..version(&format!("SOP-{}@2.1", status.replace('_', "-")), status)
    });

    let told = import(&server.client, lined(rows.collect())).await;

    assert_eq!(told.counts(), (12, 0, 0), "{told:?}");
    for (line, status) in (2..).zip(&statuses) {
        let name = format!("documents/SOP-{}@2.1", status.replace('_', "-"));
        let request = pb::GetDocumentRequest { name: name.clone() };
        let answer = server.client.documents().get_document(request).await;
        let document = answer.unwrap().into_inner().document.unwrap();
        let is = document.status().as_str_name();
        assert_eq!(is, format!("DOCUMENT_STATUS_{status}"));
        assert_eq!(document.author, "ann");
        // What really happened then, nobody knows.
        assert_eq!((document.activate_time, document.retire_time), (None, None));
        let request = pb::ListDocumentHistoryRequest {
            name,
            ..Default::default()
        };
        let answer = server
            .client
            .documents()
            .list_document_history(request)
            .await;
        let entries = answer.unwrap().into_inner().entries;
        let [entry] = entries.as_slice() else {
            panic!("{entries:?}");
        };
        assert_eq!(
            (entry.verb.as_str(), entry.actor.as_str()),
            ("import", "ann")
        );
        assert_eq!(entry.comment, format!("line {line}"));
        assert!(!entry.principal.is_empty());
    }
    server.stop().await;
}

async fn the_register_that_ships_is_good(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/register.csv");
    let reader = Reader::open(Form::Csv, std::fs::File::open(file).unwrap()).unwrap();
    let rows: Vec<pb::DocumentRow> = reader.map(|row| row.unwrap().unwrap().row).collect();
    let count = rows.len() as i64;

    let told = import(&server.client, rows).await;

    assert_eq!(told.counts(), (count, 0, 0), "{:?}", told.bad);
    assert!(30 < count);
    server.stop().await;
}

async fn a_header_comes_first_and_once(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let rows = || message(&lined(vec![row("SOP-1")]));
    let empty = pb::ImportDocumentsRequest { message: None };
    for (messages, field) in [
        (vec![], "header"),
        (vec![rows()], "header"),
        (vec![empty.clone()], "message"),
        (vec![header("", false), rows()], "header.actor"),
        (
            vec![header("ann", false), rows(), header("ann", false)],
            "header",
        ),
        (vec![header("ann", false), rows(), empty], "message"),
    ] {
        let (code, _, status) = refused(say(client, messages).await);
        assert_eq!(code, Code::InvalidArgument, "{status:?}");
        assert_eq!(violations(&status), [field]);
    }
    let long = message(&lined(vec![row("SOP-1"); 200_000]));
    let (code, _, status) = refused(say(client, vec![header("ann", false), long]).await);
    assert_eq!(code, Code::ResourceExhausted, "{status:?}");
    assert_eq!(kept(client).await, []);
    let told = say(client, vec![header("ann", false)]).await.unwrap();
    assert_eq!(told.summary.row_count, 0);
    server.stop().await;
}

async fn only_to_check_keeps_nothing(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    import(&server.client, lined(vec![row("SOP-1")])).await;
    let rows = lined(vec![
        row("SOP-1"),
        pb::DocumentRow {
            depends_on: "SOP-3".to_owned(),
            ..row("SOP-2")
        },
        row("SOP-3"),
        pb::DocumentRow {
            depends_on: "SOP-9".to_owned(),
            ..row("SOP-4")
        },
    ]);

    let checked = send(&server.client, "ann", true, rows.clone())
        .await
        .unwrap();

    assert_eq!(kept(&server.client).await.len(), 1);
    let told = import(&server.client, rows).await;
    assert_eq!(told.counts(), (2, 1, 1));
    assert_eq!(checked.summary, told.summary);
    assert_eq!(checked.bad, told.bad);
    server.stop().await;
}

async fn a_content_that_a_row_names_must_be_stored(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let stored = "ab".repeat(32);
    let shelf = site.data().join("contents/ab");
    std::fs::create_dir_all(&shelf).unwrap();
    std::fs::write(shelf.join(&stored), "what it says").unwrap();
    let with = |number: &str, sha256: &str| pb::DocumentRow {
        content_sha256: sha256.to_owned(),
        content_file_name: "cleaning.pdf".to_owned(),
        ..row(number)
    };
    let mut dependent = row("SOP-3");
    dependent.depends_on = "SOP-2".to_owned();
    let rows = lined(vec![
        with("SOP-1", &stored.to_uppercase()),
        with("SOP-2", &"cd".repeat(32)),
        dependent,
    ]);

    let told = import(&server.client, rows.clone()).await;

    assert_eq!(told.fields(), [(3, "content_sha256"), (4, "depends_on")]);
    let request = pb::GetDocumentRequest {
        name: "documents/SOP-1".to_owned(),
    };
    let answer = server.client.documents().get_document(request).await;
    let content = answer
        .unwrap()
        .into_inner()
        .document
        .unwrap()
        .content
        .unwrap();
    assert_eq!((content.sha256, content.size), (stored, 12));
    assert_eq!(content.file_name, "cleaning.pdf");
    assert_eq!(import(&server.client, rows).await.counts(), (0, 1, 2));
    server.stop().await;
}

async fn twenty_thousand_rows_are_brought_in_as_sets(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let rows = (0..20_000).map(|number| pb::DocumentRow {
        document_type: "SOP".to_owned(),
        status: "EFFECTIVE".to_owned(),
        effective_date: "2025-06-01".to_owned(),
        reviewer: "rex".to_owned(),
        depends_on: format!("SOP-{}", (number + 10_000) % 30_000),
        ..row(&format!("SOP-{number}"))
    });
    let mut rows = lined(rows.collect());
    // 20000 and after are nowhere.
    for row in &mut rows[10_000..] {
        row.depends_on.clear();
    }

    // A statement for each row would take longer than a test waits.
    let told = import(&server.client, rows.clone()).await;
    assert_eq!(told.counts(), (20_000, 0, 0));
    assert!(
        20_000 / 1000 < told.progress.len(),
        "{}",
        told.progress.len()
    );
    assert_eq!(import(&server.client, rows).await.counts(), (0, 20_000, 0));
    server.stop().await;
}
