//! Lists of somebody's documents: by author, reviewer and approver, in any case, with all other filters.

use std::collections::BTreeSet;

use tonic::Code;
use watchbell_client::{client::Client, pb};

use super::lists::all;
use crate::support::office::{Step, create, does, draft, named};
use crate::support::{Database, Site, on_both, refused, violations};

on_both!(
    whose_documents_are_wanted_is_found_in_pages_of_every_size,
    a_wrong_name_names_its_field,
);

async fn listed(client: &Client, request: &pb::ListDocumentsRequest) -> Vec<String> {
    let found = all(client, request).await.into_iter();
    found.map(|found| found.name).collect()
}

async fn whose_documents_are_wanted_is_found_in_pages_of_every_size(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    for (number, author, reviewer, approver) in [
        ("A-1", "ann", "rex", "pat"),
        ("A-2", "Ann", "", ""),
        ("A-3", "ANN", "Åsa Öst", "Pat"),
        ("B-1", "bob", "åsa öst", ""),
        ("B-2", "bob", "ÅSA ÖST", "ann"),
        ("B-3", "bob", "Rex", ""),
    ] {
        let mut request = draft(number);
        request.actor = author.to_owned();
        let document = request.document.as_mut().unwrap();
        document.reviewer = reviewer.to_owned();
        document.approver = approver.to_owned();
        create(client, request).await;
    }
    does(client, "A-1", "ann", Step::Submit(String::new()))
        .await
        .unwrap();

    let asked = |author: &str, reviewer: &str, approver: &str| pb::ListDocumentsRequest {
        author: author.to_owned(),
        reviewer: reviewer.to_owned(),
        approver: approver.to_owned(),
        ..Default::default()
    };
    let draft = pb::DocumentStatus::Draft.into();
    let effective = pb::DocumentStatus::Effective.into();
    let cases: Vec<(pb::ListDocumentsRequest, &[&str])> = vec![
        (asked("ann", "", ""), &["A-1", "A-2", "A-3"]),
        (asked("ANN", "", ""), &["A-1", "A-2", "A-3"]),
        (asked("", "REX", ""), &["A-1", "B-3"]),
        (asked("", "Åsa öst", ""), &["A-3", "B-1", "B-2"]),
        (asked("", "", "pat"), &["A-1", "A-3"]),
        (asked("bob", "ÅSA ÖST", "Ann"), &["B-2"]),
        (asked("zoe", "", ""), &[]),
        (
            pb::ListDocumentsRequest {
                statuses: vec![draft],
                ..asked("ann", "", "")
            },
            &["A-2", "A-3"],
        ),
        (
            pb::ListDocumentsRequest {
                statuses: vec![draft, effective],
                ..asked("", "", "PAT")
            },
            &["A-3"],
        ),
        (
            pb::ListDocumentsRequest {
                number: "A-*".to_owned(),
                ..asked("", "åsa öst", "")
            },
            &["A-3"],
        ),
        (
            pb::ListDocumentsRequest {
                document_type: "SOP".to_owned(),
                ..asked("bob", "", "")
            },
            &["B-1", "B-2", "B-3"],
        ),
    ];
    for (request, wanted) in cases {
        let wanted: BTreeSet<String> = wanted
            .iter()
            .map(|number| named(&format!("{number}@1.0")))
            .collect();
        for page_size in [1, 2, 1000] {
            let request = pb::ListDocumentsRequest {
                page_size,
                ..request.clone()
            };
            let found = listed(client, &request).await;
            assert!(found.is_sorted(), "{request:?}: {found:?}");
            let names: BTreeSet<String> = found.iter().cloned().collect();
            assert_eq!(names, wanted, "{request:?}");
            assert_eq!(found.len(), names.len(), "none twice: {request:?}");
        }
    }
    server.stop().await;
}

async fn a_wrong_name_names_its_field(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    for (author, reviewer, approver, field) in [
        ("a\nb", "", "", "author"),
        ("", "\0", "", "reviewer"),
        ("", "", &*"x".repeat(129), "approver"),
    ] {
        let request = pb::ListDocumentsRequest {
            author: author.to_owned(),
            reviewer: reviewer.to_owned(),
            approver: approver.to_owned(),
            ..Default::default()
        };
        let (code, _, status) = refused(client.documents().list_documents(request).await);
        assert_eq!(
            (code, violations(&status)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
    server.stop().await;
}
