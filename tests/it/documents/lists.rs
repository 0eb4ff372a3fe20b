//! Lists of documents, beside what they should hold.

use std::collections::BTreeSet;

use tonic::Code;
use watchbell_client::{client::Client, pb};

use crate::support::office::{Step, approved, create, does, draft, named};
use crate::support::{Database, Site, on_both, refused, violations};

on_both!(
    every_filter_finds_what_it_names_in_pages_of_every_size,
    a_wrong_filter_names_its_field,
    a_history_is_paged,
);

/// Every document of the list, page by page.
pub(super) async fn all(client: &Client, request: &pb::ListDocumentsRequest) -> Vec<pb::Document> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListDocumentsRequest {
            page_token,
            ..request.clone()
        };
        let answer = client.documents().list_documents(request).await;
        let answer = answer.unwrap().into_inner();
        found.extend(answer.documents);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

async fn every_filter_finds_what_it_names_in_pages_of_every_size(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    for (index, number) in ["SOP-1", "SOP-10", "SOP-2", "POL-1", "POL-2", "sop-11"]
        .iter()
        .enumerate()
    {
        let mut request = draft(number);
        let document = request.document.as_mut().unwrap();
        document.document_type = if index % 2 == 0 { "SOP" } else { "Policy" }.to_owned();
        create(client, request).await;
    }
    for (number, day) in [
        ("EFF-1", "2026-03-01"),
        ("EFF-2", "2026-02-01"),
        ("EFF-3", "2026-03-02"),
    ] {
        approved(client, number, day).await;
    }
    for (number, day) in [("PEN-1", "2026-05-01"), ("PEN-2", "2026-04-01")] {
        approved(client, number, day).await;
    }
    let plan = Step::ScheduleObsolescence("2026-06-01".into(), "old".into());
    does(client, "EFF-2", "pat", plan).await.unwrap();
    let everything = all(client, &pb::ListDocumentsRequest::default()).await;
    let names: Vec<&str> = everything
        .iter()
        .map(|document| document.name.as_str())
        .collect();
    let numbers = everything.iter().map(|document| &document.number);
    assert!(numbers.is_sorted(), "{names:?}");
    assert_eq!(names.len(), 11);

    type Wants = fn(&pb::Document) -> bool;
    let filters: Vec<(pb::ListDocumentsRequest, Wants)> = vec![
        (
            pb::ListDocumentsRequest {
                statuses: vec![pb::DocumentStatus::Draft.into()],
                ..Default::default()
            },
            |document| document.status() == pb::DocumentStatus::Draft,
        ),
        (
            pb::ListDocumentsRequest {
                statuses: vec![
                    pb::DocumentStatus::Effective.into(),
                    pb::DocumentStatus::ApprovedPendingEffective.into(),
                ],
                ..Default::default()
            },
            |document| {
                matches!(
                    document.status(),
                    pb::DocumentStatus::Effective | pb::DocumentStatus::ApprovedPendingEffective
                )
            },
        ),
        (
            pb::ListDocumentsRequest {
                number: "sop-1".to_owned(),
                ..Default::default()
            },
            |document| document.number == "SOP-1",
        ),
        (
            pb::ListDocumentsRequest {
                number: "SOP-1*".to_owned(),
                ..Default::default()
            },
            |document| document.number.to_uppercase().starts_with("SOP-1"),
        ),
        (
            pb::ListDocumentsRequest {
                number: "s*".to_owned(),
                document_type: "SOP".to_owned(),
                ..Default::default()
            },
            |document| {
                document.number.to_uppercase().starts_with('S') && document.document_type == "SOP"
            },
        ),
        (
            pb::ListDocumentsRequest {
                document_type: "Policy".to_owned(),
                ..Default::default()
            },
            |document| document.document_type == "Policy",
        ),
        (
            pb::ListDocumentsRequest {
                document_type: "SOP".to_owned(),
                statuses: vec![pb::DocumentStatus::Draft.into()],
                ..Default::default()
            },
            |document| {
                document.document_type == "SOP" && document.status() == pb::DocumentStatus::Draft
            },
        ),
        (
            pb::ListDocumentsRequest {
                effective_since: "2026-03-01".to_owned(),
                ..Default::default()
            },
            |document| "2026-03-01" <= document.effective_date.as_str(),
        ),
        (
            pb::ListDocumentsRequest {
                effective_since: "2026-02-01".to_owned(),
                effective_before: "2026-03-02".to_owned(),
                statuses: vec![pb::DocumentStatus::Effective.into()],
                ..Default::default()
            },
            |document| {
                ("2026-02-01".."2026-03-02").contains(&document.effective_date.as_str())
                    && document.status() == pb::DocumentStatus::Effective
            },
        ),
        (
            pb::ListDocumentsRequest {
                obsolescence_before: "2027-01-01".to_owned(),
                ..Default::default()
            },
            |document| !document.obsolescence_date.is_empty(),
        ),
    ];
    for (request, wants) in filters {
        let wanted: BTreeSet<&str> = everything
            .iter()
            .filter(|document| wants(document))
            .map(|document| document.name.as_str())
            .collect();
        assert!(!wanted.is_empty(), "{request:?}");
        for page_size in [1, 2, 3, 1000] {
            let request = pb::ListDocumentsRequest {
                page_size,
                ..request.clone()
            };
            let found = all(client, &request).await;
            let names: BTreeSet<&str> = found
                .iter()
                .map(|document| document.name.as_str())
                .collect();
            assert_eq!(names, wanted, "{request:?}");
            assert_eq!(found.len(), names.len(), "none twice: {request:?}");
            if !request.effective_since.is_empty() {
                assert!(
                    found.is_sorted_by_key(|document| document.effective_date.clone()),
                    "{request:?}"
                );
            }
        }
    }
    server.stop().await;
}

async fn a_wrong_filter_names_its_field(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let list = |change: fn(&mut pb::ListDocumentsRequest)| {
        let mut request = pb::ListDocumentsRequest::default();
        change(&mut request);
        request
    };
    let wrong = [
        (list(|list| list.page_size = -1), "page_size"),
        (list(|list| list.page_token = "31".into()), "page_token"),
        (list(|list| list.statuses = vec![0]), "statuses"),
        (list(|list| list.statuses = vec![99]), "statuses"),
        (list(|list| list.number = "a b".into()), "number"),
        (list(|list| list.number = "-*".into()), "number"),
        (list(|list| list.number = "\0".into()), "number"),
        (
            list(|list| list.document_type = "a\0b".into()),
            "document_type",
        ),
        (
            list(|list| list.effective_since = "1.3.2026".into()),
            "effective_since",
        ),
        (
            list(|list| list.obsolescence_before = "2026-02-30".into()),
            "obsolescence_before",
        ),
        (
            list(|list| {
                list.effective_since = "2026-03-02".into();
                list.effective_before = "2026-03-02".into();
            }),
            "effective_before",
        ),
    ];
    for (request, field) in wrong {
        let about = format!("{request:?}");
        let (code, _, status) = refused(client.documents().list_documents(request).await);
        assert_eq!(
            (code, violations(&status)),
            (Code::InvalidArgument, vec![field.to_owned()]),
            "{about}"
        );
    }
    server.stop().await;
}

async fn a_history_is_paged(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("SOP-1")).await;
    for _ in 0..3 {
        does(client, "SOP-1", "ann", Step::Submit("rex".into()))
            .await
            .unwrap();
        does(client, "SOP-1", "rex", Step::Reject("again".into()))
            .await
            .unwrap();
    }
    let mut revisions = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListDocumentHistoryRequest {
            name: named("SOP-1"),
            page_size: 2,
            page_token,
        };
        let answer = client
            .documents()
            .list_document_history(request)
            .await
            .unwrap()
            .into_inner();
        revisions.extend(answer.entries.iter().map(|entry| entry.revision));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(revisions, [7, 6, 5, 4, 3, 2, 1]);
    server.stop().await;
}
