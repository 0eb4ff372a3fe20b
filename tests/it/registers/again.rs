//! The same again changes nothing: the same lines, or what an export says.

use watchbell_client::{client::Client, pb};

use super::desk::{export, import, lined, row, send, version};
use crate::support::{Database, Site, on_both};

on_both!(
    a_line_that_was_brought_in_changes_nothing_and_another_one_is_a_conflict,
    an_import_of_an_export_changes_nothing,
    an_export_brings_the_register_to_another_server,
    what_broke_off_is_brought_in_by_the_same_file_again,
    days_that_have_come_since_do_not_make_a_line_wrong,
);

/// Some of everything.
fn register() -> Vec<pb::DocumentRow> {
    let people = |row: pb::DocumentRow| pb::DocumentRow {
        reviewer: "rex".to_owned(),
        approver: "pat".to_owned(),
        document_type: "SOP".to_owned(),
        ..row
    };
    let mut scheduled = people(version("SOP-3@1.0", "SCHEDULED_FOR_OBSOLESCENCE"));
    scheduled.effective_date = "today-400".to_owned();
    scheduled.obsolescence_date = "today+10".to_owned();
    let mut pending = people(version("SOP-1@2.0", "APPROVED_PENDING_EFFECTIVE"));
    pending.effective_date = "today+1".to_owned();
    pending.depends_on = "SOP-3; SOP-2".to_owned();
    vec![
        people(version("SOP-1@1.0", "EFFECTIVE")),
        pending,
        people(version("SOP-2@1.0", "UNDER_REVIEW")),
        scheduled,
        row("SOP-4"),
    ]
}

async fn does(client: &Client, number: &str, actor: &str) {
    let request = pb::SubmitDocumentRequest {
        name: format!("documents/{number}"),
        actor: actor.to_owned(),
        reviewer: "rex".to_owned(),
        ..Default::default()
    };
    client.documents().submit_document(request).await.unwrap();
}

async fn a_line_that_was_brought_in_changes_nothing_and_another_one_is_a_conflict(
    database: Database,
) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let rows = lined(register());
    assert_eq!(import(client, rows.clone()).await.counts(), (5, 0, 0));
    let before = export(client).await;
    // Also after it has moved, written otherwise, and brought in by someone else.
    does(client, "SOP-4", "ann").await;
    let mut same = rows.clone();
    same[0].status = "effective".to_owned();
    same.reverse();
    let told = send(client, "bob", false, same).await.unwrap();
    assert_eq!(told.counts(), (0, 5, 0), "{told:?}");
    assert_eq!(export(client).await[..3], before[..3]);

    type Change = fn(&mut pb::DocumentRow);
    let changes: [(usize, Change, &str); 5] = [
        (0, |row| row.title = "Another".into(), "title"),
        (1, |row| row.depends_on = "SOP-2".into(), "depends_on"),
        (2, |row| row.reviewer = "rix".into(), "reviewer"),
        (
            3,
            |row| row.obsolescence_date = "today+11".into(),
            "obsolescence_date",
        ),
        (
            4,
            |row| {
                row.reviewer = "rex".into();
                row.status = "PENDING_REVIEW".into();
                row.author = "bob".into();
            },
            "author",
        ),
    ];
    let mut changed = rows;
    for (index, change, _) in &changes {
        change(&mut changed[*index]);
    }
    let told = import(client, changed).await;
    assert_eq!(told.counts(), (0, 0, 5));
    for (index, _, field) in changes {
        assert_eq!(told.bad[&(index as i64 + 2)].field, field);
    }
    assert!(
        told.reason(2).contains("\"About SOP-1\""),
        "{}",
        told.reason(2)
    );
    server.stop().await;
}

async fn an_import_of_an_export_changes_nothing(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let sha256 = "0c".repeat(32);
    let shelf = site.data().join("contents/0c");
    std::fs::create_dir_all(&shelf).unwrap();
    std::fs::write(shelf.join(&sha256), "cleaning").unwrap();
    let mut rows = register();
    rows[4].content_sha256 = sha256;
    rows[4].content_file_name = "cleaning.md".to_owned();
    assert_eq!(import(client, lined(rows)).await.counts(), (5, 0, 0));
    does(client, "SOP-4", "ann").await;
    let request = pb::CreateDocumentRequest {
        document: Some(pb::Document {
            number: "SOP-5".to_owned(),
            title: "Made here".to_owned(),
            depends_on: vec!["SOP-4".to_owned(), "SOP-1".to_owned()],
            ..Default::default()
        }),
        actor: "cid".to_owned(),
        ..Default::default()
    };
    client.documents().create_document(request).await.unwrap();
    let exported = export(client).await;
    assert!(exported.iter().all(|row| row.line == 0));

    let told = send(client, "bob", false, lined(exported.clone()))
        .await
        .unwrap();

    assert_eq!(told.counts(), (0, 6, 0), "{told:?}");
    assert_eq!(export(client).await, exported);
    server.stop().await;
}

async fn an_export_brings_the_register_to_another_server(database: Database) {
    let (one, other) = (Site::new(Database::sqlite()), Site::new(database));
    let (from, to) = (one.start().await, other.start().await);
    import(&from.client, lined(register())).await;
    let exported = export(&from.client).await;
    let told = send(&to.client, "bob", false, lined(exported.clone()))
        .await
        .unwrap();
    assert_eq!(told.counts(), (5, 0, 0), "{told:?}");
    assert_eq!(export(&to.client).await, exported);
    from.stop().await;
    to.stop().await;
}

async fn what_broke_off_is_brought_in_by_the_same_file_again(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let mut rows = lined(
        (0..1500)
            .map(|number| row(&format!("SOP-{number}")))
            .collect(),
    );
    for (number, row) in rows.iter_mut().enumerate().take(1499) {
        row.depends_on = format!("SOP-{}", number + 1);
    }
    // Of a file that ended too soon, what leads beyond its end is not kept, nor what leads there.
    let told = import(client, rows[..700].to_vec()).await;
    assert_eq!(told.counts(), (0, 0, 700));
    let told = import(client, rows[700..].to_vec()).await;
    assert_eq!(told.counts(), (800, 0, 0));
    let told = import(client, rows.clone()).await;
    assert_eq!(told.counts(), (700, 800, 0));
    assert_eq!(import(client, rows).await.counts(), (0, 1500, 0));
    server.stop().await;
}

async fn days_that_have_come_since_do_not_make_a_line_wrong(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut effective = version("SOP-1@1.0", "EFFECTIVE");
    effective.effective_date = "today".to_owned();
    effective.obsolescence_date = "2026-03-09".to_owned();
    let rows = lined(vec![effective]);
    assert_eq!(
        import(&server.client, rows.clone()).await.counts(),
        (1, 0, 0)
    );
    server.without_backups().await;
    server.advance(30 * 24 * 3600);
    // Today is behind that day now.
    assert_eq!(
        import(&server.client, rows.clone()).await.counts(),
        (0, 1, 0)
    );
    let mut other = rows;
    other[0].number = "SOP-2".to_owned();
    let told = import(&server.client, other).await;
    assert_eq!(told.fields(), [(2, "obsolescence_date")]);
    server.stop().await;
}
