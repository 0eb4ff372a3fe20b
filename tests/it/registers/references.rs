//! What rows refer to: anywhere in the file or the register; and what refers to a bad row is bad itself.

use watchbell_client::{client::Client, pb};

use super::desk::{import, kept, lined, row, version};
use crate::support::{Database, Site, on_both, until};

on_both!(
    rows_may_refer_to_what_comes_later,
    what_a_row_supersedes_is_found,
    what_is_nowhere_cannot_be_referred_to,
    what_refers_to_a_bad_row_is_bad_however_long_the_chain,
    a_document_is_in_a_file_once,
    one_version_of_a_number_is_in_force,
    rows_in_a_circle_are_told_with_its_names,
    a_circle_may_lead_through_the_register,
    of_an_import_and_a_correction_at_once_one_closes_no_circle,
);

fn depends(number: &str, on: &str) -> pb::DocumentRow {
    pb::DocumentRow {
        depends_on: on.to_owned(),
        ..row(number)
    }
}

fn supersedes(key: &str, other: &str) -> pb::DocumentRow {
    pb::DocumentRow {
        supersedes: other.to_owned(),
        ..version(key, "DRAFT")
    }
}

async fn superseded(client: &Client, key: &str) -> String {
    let request = pb::GetDocumentRequest {
        name: format!("documents/{key}"),
    };
    let answer = client.documents().get_document(request).await;
    let document = answer.unwrap().into_inner().document.unwrap();
    document.supersedes.replace("documents/", "")
}

async fn rows_may_refer_to_what_comes_later(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let rows = lined(vec![
        depends("SOP-1", "SOP-2; SOP-3"),
        supersedes("SOP-2@1.0", "SOP-3@1.0"),
        row("SOP-3"),
    ]);
    let told = import(&server.client, rows).await;
    assert_eq!(told.counts(), (3, 0, 0), "{told:?}");
    assert_eq!(superseded(&server.client, "SOP-2").await, "SOP-3@1.0");
    server.stop().await;
}

async fn what_a_row_supersedes_is_found(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    import(
        client,
        lined(vec![
            version("SOP-1@1.0", "OBSOLETE"),
            version("POL-1@3.0", "DRAFT"),
        ]),
    )
    .await;
    let told = import(
        client,
        lined(vec![
            // By default the newest lower one, of the register or of the file.
            version("SOP-1@2.0", "DRAFT"),
            version("SOP-1@1.5", "DRAFT"),
            version("SOP-1@0.9", "DRAFT"),
            // A number alone is its newest version, of its own the newest lower one.
            supersedes("SOP-2@1.0", "SOP-1"),
            supersedes("SOP-1@3.0", "SOP-1"),
            supersedes("SOP-3@1.0", "POL-1"),
            supersedes("SOP-4@1.0", "SOP-1@1.5"),
        ]),
    )
    .await;
    assert_eq!(told.counts(), (7, 0, 0), "{told:?}");
    for (key, expected) in [
        ("SOP-1@2.0", "SOP-1@1.5"),
        ("SOP-1@1.5", "SOP-1@1.0"),
        ("SOP-1@0.9", ""),
        ("SOP-2@1.0", "SOP-1@3.0"),
        ("SOP-1@3.0", "SOP-1@2.0"),
        ("SOP-3@1.0", "POL-1@3.0"),
        ("SOP-4@1.0", "SOP-1@1.5"),
    ] {
        assert_eq!(superseded(client, key).await, expected, "{key}");
    }
    server.stop().await;
}

async fn what_is_nowhere_cannot_be_referred_to(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let rows = lined(vec![
        depends("SOP-1", "POL-1"),
        supersedes("SOP-2@1.0", "POL-1"),
        supersedes("SOP-3@1.0", "SOP-9@2.0"),
        supersedes("SOP-4@1.0", "SOP-4"),
        supersedes("SOP-5@1.0", "SOP-5@1.0"),
        supersedes("SOP-5@1.1", "SOP-5@1.2"),
        row("SOP-9"),
    ]);
    let told = import(&server.client, rows).await;
    let fields = [
        (2, "depends_on"),
        (3, "supersedes"),
        (4, "supersedes"),
        (5, "supersedes"),
        (6, "supersedes"),
        (7, "supersedes"),
    ];
    assert_eq!(told.fields(), fields);
    assert!(told.reason(2).contains("POL-1"), "{told:?}");
    assert!(told.reason(4).contains("SOP-9@2.0"), "{told:?}");
    assert!(told.reason(5).contains("no lower version"), "{told:?}");
    assert_eq!(kept(&server.client).await.len(), 1);
    server.stop().await;
}

async fn what_refers_to_a_bad_row_is_bad_however_long_the_chain(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut rows: Vec<pb::DocumentRow> = (0..3000)
        .map(|number| depends(&format!("SOP-{number}"), &format!("SOP-{}", number + 1)))
        .collect();
    let mut end = row("SOP-3000");
    end.effective_date = "soon".to_owned();
    rows.push(end);
    rows.push(version("SOP-0@2.0", "DRAFT"));
    rows.push(supersedes("SOP-4000@1.0", "SOP-0@2.0"));
    // This one stands by another version.
    rows.push(depends("SOP-4001", "SOP-4002"));
    let mut bad = version("SOP-4002@1.0", "DRAFT");
    bad.title.clear();
    rows.push(bad);
    rows.push(supersedes("SOP-4002@0.9", ""));

    let told = import(&server.client, lined(rows)).await;

    assert_eq!(told.counts(), (2, 0, 3004));
    assert_eq!(told.bad[&3002].field, "effective_date");
    assert_eq!(told.bad[&3001].field, "depends_on");
    assert!(
        told.reason(3001).contains("line 3002"),
        "{}",
        told.reason(3001)
    );
    assert!(
        told.reason(2).contains("SOP-1 in line 3"),
        "{}",
        told.reason(2)
    );
    assert_eq!(told.bad[&3003].field, "supersedes");
    assert!(
        told.reason(3004).contains("SOP-0@2.0 in line 3003"),
        "{}",
        told.reason(3004)
    );
    let keys: Vec<String> = kept(&server.client)
        .await
        .into_iter()
        .map(|kept| kept.0)
        .collect();
    assert_eq!(keys, ["SOP-4001@1.0", "SOP-4002@0.9"]);
    server.stop().await;
}

async fn a_document_is_in_a_file_once(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let rows = lined(vec![
        row("SOP-1"),
        row("SOP-2"),
        row("SOP-1"),
        version("SOP-1@1.0", "OBSOLETE"),
        version("SOP-1@1.1", "DRAFT"),
    ]);
    let told = import(&server.client, rows).await;
    assert_eq!(told.fields(), [(4, ""), (5, "")]);
    assert_eq!(told.reason(4), "the same document as line 2");
    assert_eq!(told.reason(5), "the same document as line 2");
    server.stop().await;
}

async fn one_version_of_a_number_is_in_force(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let told = import(
        client,
        lined(vec![
            version("SOP-1@1.0", "SUPERSEDED"),
            version("SOP-1@2.0", "EFFECTIVE"),
            version("SOP-2@1.0", "EFFECTIVE"),
            version("SOP-2@2.0", "EFFECTIVE"),
            version("SOP-2@0.1", "OBSOLETE"),
        ]),
    )
    .await;
    // Nobody knows which of the two is meant.
    assert_eq!(told.fields(), [(4, "status"), (5, "status")]);
    assert!(told.reason(4).contains("SOP-2@2.0 in line 5"), "{told:?}");
    let mut scheduled = version("SOP-1@3.0", "SCHEDULED_FOR_OBSOLESCENCE");
    scheduled.obsolescence_date = "today+9".to_owned();
    let told = import(
        client,
        lined(vec![scheduled, version("SOP-2@2.0", "EFFECTIVE")]),
    )
    .await;
    assert_eq!(told.fields(), [(2, "status")]);
    assert!(
        told.reason(2).contains("SOP-1@2.0 is in force already"),
        "{told:?}"
    );
    server.stop().await;
}

async fn rows_in_a_circle_are_told_with_its_names(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut final_one = depends("SOP-9", "SOP-8");
    final_one.status = "OBSOLETE".to_owned();
    let mut rows = vec![
        depends("SOP-1", "SOP-2"),
        depends("SOP-2", "SOP-3"),
        depends("SOP-3", "SOP-1"),
        depends("SOP-4", "SOP-3"),
        supersedes("SOP-5@1.0", "SOP-6"),
        supersedes("SOP-6@1.0", "SOP-5"),
        supersedes("SOP-7@1.0", "SOP-5@1.0"),
        // What is final depends on nothing any more.
        depends("SOP-8", "SOP-9"),
        final_one,
    ];
    let long = 100..120;
    for number in long.clone() {
        let next = if number + 1 == long.end {
            long.start
        } else {
            number + 1
        };
        rows.push(depends(&format!("SOP-{number}"), &format!("SOP-{next}")));
    }

    let told = import(&server.client, lined(rows)).await;

    assert_eq!(told.counts(), (2, 0, 27));
    assert_eq!(told.bad[&2].field, "depends_on");
    assert_eq!(told.reason(2), "a circle: SOP-1 → SOP-2 → SOP-3 → SOP-1");
    assert_eq!(told.reason(3), "a circle: SOP-2 → SOP-3 → SOP-1 → SOP-2");
    assert!(
        told.reason(5).contains("SOP-3 in line 4 is not kept"),
        "{told:?}"
    );
    assert_eq!(told.bad[&6].field, "supersedes");
    assert_eq!(
        told.reason(6),
        "a circle: SOP-5@1.0 → SOP-6@1.0 → SOP-5@1.0"
    );
    assert!(told.reason(8).contains("SOP-5@1.0 in line 6"), "{told:?}");
    assert!(told.reason(11).ends_with('…'), "{}", told.reason(11));
    server.stop().await;
}

async fn a_circle_may_lead_through_the_register(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let told = import(
        client,
        lined(vec![
            row("SOP-1"),
            depends("SOP-2", "SOP-1"),
            depends("SOP-3", "SOP-2"),
        ]),
    )
    .await;
    assert_eq!(told.counts(), (3, 0, 0));
    // A new version of the one that the others depend on.
    let mut closing = version("SOP-1@2.0", "DRAFT");
    closing.depends_on = "SOP-4".to_owned();
    let told = import(
        client,
        lined(vec![
            closing.clone(),
            depends("SOP-4", "SOP-3"),
            row("SOP-5"),
        ]),
    )
    .await;
    assert_eq!(told.fields(), [(2, "depends_on"), (3, "depends_on")]);
    assert_eq!(
        told.reason(2),
        "a circle: SOP-1 → SOP-4 → SOP-3 → SOP-2 → SOP-1"
    );
    closing.status = "TERMINATED".to_owned();
    let told = import(client, lined(vec![closing, depends("SOP-4", "SOP-3")])).await;
    assert_eq!(told.counts(), (2, 0, 0), "{told:?}");
    server.stop().await;
}

/// The correction comes while the rows before are written: or, where it is late, is refused itself.
async fn of_an_import_and_a_correction_at_once_one_closes_no_circle(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let told = import(client, lined(vec![row("SOP-1"), row("SOP-2")])).await;
    assert_eq!(told.counts(), (2, 0, 0));
    let mut rows: Vec<_> = (0..4000)
        .map(|at| depends(&format!("X-{at}"), "SOP-1"))
        .collect();
    rows.push(pb::DocumentRow {
        depends_on: "SOP-2".to_owned(),
        ..version("SOP-1@2.0", "DRAFT")
    });
    rows.push(depends("Y-1", "SOP-1"));
    let correction = async {
        until("the first rows", async || {
            let request = pb::GetDocumentRequest {
                name: "documents/X-1".to_owned(),
            };
            client.documents().get_document(request).await.ok()
        })
        .await;
        let request = pb::UpdateDocumentRequest {
            document: Some(pb::Document {
                name: "documents/SOP-2".to_owned(),
                depends_on: vec!["SOP-1".to_owned()],
                ..Default::default()
            }),
            actor: "ann".to_owned(),
            ..Default::default()
        };
        client.documents().update_document(request).await
    };

    let (told, corrected) = tokio::join!(import(client, lined(rows)), correction);

    match corrected {
        Ok(_) => {
            assert_eq!(told.fields(), [(4002, "depends_on")]);
            assert_eq!(told.reason(4002), "SOP-2 depends on SOP-1: a circle");
        }
        Err(status) => {
            assert!(status.message().contains("a circle"), "{status:?}");
            assert_eq!(told.counts(), (4002, 0, 0), "{told:?}");
        }
    }
    server.stop().await;
}
