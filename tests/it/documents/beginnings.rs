//! How documents and their next versions begin, and how they are found.

use tonic::Code;
use watchbell_client::pb;

use crate::support::office::{Step, approve, create, does, draft, named, next_version};
use crate::support::{Database, Site, on_both, refused, violations};

on_both!(
    what_is_wrong_with_a_new_document_names_its_field,
    a_version_is_begun_from_an_effective_one_and_one_at_a_time,
    an_unknown_document_names_those_that_are_near,
);

async fn what_is_wrong_with_a_new_document_names_its_field(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("SOP-1")).await;
    let with = |change: fn(&mut pb::Document)| {
        let mut request = draft("SOP-2");
        change(request.document.as_mut().unwrap());
        request
    };
    let wrong: [(pb::CreateDocumentRequest, &str); 12] = [
        (with(|new| new.number = "SOP 2".into()), "document.number"),
        (with(|new| new.title.clear()), "document.title"),
        (with(|new| new.title = "a\nb".into()), "document.title"),
        (with(|new| new.title = "x".repeat(501)), "document.title"),
        (
            with(|new| new.document_type = "x".repeat(101)),
            "document.document_type",
        ),
        (with(|new| new.version_minor = -1), "document.version_minor"),
        (with(|new| new.reviewer = "Ann".into()), "document.reviewer"),
        (
            with(|new| new.depends_on = vec!["SOP-2".into()]),
            "document.depends_on",
        ),
        (
            with(|new| new.depends_on = vec!["NOPE".into()]),
            "document.depends_on",
        ),
        (
            with(|new| new.depends_on = vec!["SOP-1".into(); 2]),
            "document.depends_on",
        ),
        (
            with(|new| new.supersedes = "documents/NOPE".into()),
            "document.supersedes",
        ),
        (
            with(|new| new.supersedes = "SOP-1@1.0".into()),
            "document.supersedes",
        ),
    ];
    for (request, field) in wrong {
        let about = format!("{request:?}");
        let (code, _, status) = refused(client.documents().create_document(request).await);
        assert_eq!(code, Code::InvalidArgument, "{about}: {status:?}");
        assert_eq!(violations(&status), [field], "{about}: {status:?}");
    }
    let (code, reason, _) = refused(client.documents().create_document(draft("SOP-1")).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::AlreadyExists, "DOCUMENT_EXISTS")
    );
    let only = pb::CreateDocumentRequest {
        validate_only: true,
        ..draft("SOP-3")
    };
    create(client, only).await;
    let missing = pb::GetDocumentRequest {
        name: named("SOP-3"),
    };
    let (code, ..) = refused(client.documents().get_document(missing).await);
    assert_eq!(code, Code::NotFound, "it was only checked");
    server.stop().await;
}

async fn a_version_is_begun_from_an_effective_one_and_one_at_a_time(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("SOP-1")).await;
    let next = |key: &str| pb::CreateVersionRequest {
        name: named(key),
        actor: "bob".to_owned(),
        ..Default::default()
    };

    let (code, reason, _) = refused(client.documents().create_version(next("SOP-1")).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "ILLEGAL_TRANSITION")
    );
    approve(client, "SOP-1@1.0", "2026-03-02").await;
    let both = [next("SOP-1"), next("SOP-1@1.0")].map(|request| {
        let mut documents = client.documents();
        async move { documents.create_version(request).await }
    });
    let answers = futures_util::future::join_all(both).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.is_ok()).count(),
        1,
        "{answers:?}"
    );
    let (_, reason, status) = refused(client.documents().create_version(next("SOP-1")).await);
    assert_eq!(reason, "VERSION_OPEN");
    assert!(
        status.message().contains("SOP-1@1.1 is DRAFT"),
        "{status:?}"
    );
    does(client, "SOP-1@1.1", "bob", Step::Terminate("wrong".into()))
        .await
        .unwrap();
    let after = next_version(client, "SOP-1@1.0", false).await;
    assert_eq!(after.name, named("SOP-1@1.2"), "1.1 is taken for good");
    does(client, "SOP-1@1.2", "ann", Step::Terminate("wrong".into()))
        .await
        .unwrap();
    let major = next_version(client, "SOP-1@1.0", true).await;
    assert_eq!(
        (major.name, major.title),
        (named("SOP-1@2.0"), "About SOP-1".to_owned())
    );
    server.stop().await;
}

async fn an_unknown_document_names_those_that_are_near(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("SOP-2026-0001")).await;
    for (key, near) in [
        ("SOP-2026-0002", "SOP-2026-0001"),
        ("SOP-2026-0001@3.0", "SOP-2026-0001@1.0"),
    ] {
        let missing = pb::GetDocumentRequest { name: named(key) };
        let (code, reason, status) = refused(client.documents().get_document(missing).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::NotFound, "DOCUMENT_NOT_FOUND")
        );
        assert!(
            status.message().contains(&format!("did you mean {near}")),
            "{status:?}"
        );
    }
    for wrong in ["SOP-1", "documents/", "documents/a b", "documents/SOP@x"] {
        let wrong = pb::GetDocumentRequest {
            name: wrong.to_owned(),
        };
        let (code, _, status) = refused(client.documents().get_document(wrong).await);
        assert_eq!(
            (code, violations(&status)),
            (Code::InvalidArgument, vec!["name".to_owned()])
        );
    }
    server.stop().await;
}
