//! A number is one whatever its case: what creates, brings in, refers and asks.

use sea_orm::ConnectionTrait as _;
use tonic::Code;
use watchbell_client::{client::Client, pb};

use super::desk::{export, import, kept, lined, row, version};
use crate::support::office::{Step, create, document, does, draft, named};
use crate::support::{Database, Site, on_both, refused, within};

on_both!(
    a_number_is_found_in_any_case_and_made_once,
    two_who_make_a_number_in_two_spellings_at_once_make_one,
    what_refers_to_a_number_refers_in_any_case,
    rows_of_one_number_are_one_whatever_their_case,
    twins_from_before_are_told_and_stay_what_they_are,
);

async fn names(client: &Client, number: &str) -> Vec<String> {
    let request = pb::ListDocumentsRequest {
        number: number.to_owned(),
        ..Default::default()
    };
    let answer = client.documents().list_documents(request).await.unwrap();
    let documents = answer.into_inner().documents.into_iter();
    documents.map(|document| document.name).collect()
}

async fn a_number_is_found_in_any_case_and_made_once(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("B-500")).await;

    let again = client.documents().create_document(draft("b-500")).await;

    let (code, reason, status) = refused(again);
    assert_eq!(
        (code, reason.as_str()),
        (Code::AlreadyExists, "DOCUMENT_EXISTS")
    );
    assert!(status.message().contains("B-500@1.0"), "{status:?}");
    for key in ["b-500", "b-500@1.0", "B-500"] {
        assert_eq!(
            document(client, key).await.name,
            named("B-500@1.0"),
            "{key}"
        );
    }
    for asked in ["b-500", "B-500", "b-5*", "B*"] {
        assert_eq!(names(client, asked).await, [named("B-500@1.0")], "{asked}");
    }
    // The next version is of the number as it is spelt.
    let mut second = draft("b-500");
    second.document.as_mut().unwrap().version_major = 2;
    let second = create(client, second).await;
    assert_eq!(second.name, named("B-500@2.0"));
    let only = pb::CreateDocumentRequest {
        validate_only: true,
        ..draft("b-500")
    };
    let (code, ..) = refused(client.documents().create_document(only).await);
    assert_eq!(code, Code::AlreadyExists);
    does(client, "b-500@1.0", "ann", Step::Submit("rex".into()))
        .await
        .unwrap();
    let watch = pb::WatchDocumentsRequest {
        number: "b-500".to_owned(),
        ..Default::default()
    };
    let mut watched = client
        .documents()
        .watch_documents(watch)
        .await
        .unwrap()
        .into_inner();
    let first = within("a snapshot", watched.message())
        .await
        .unwrap()
        .unwrap();
    match first.message.unwrap() {
        pb::watch_documents_response::Message::Snapshot(document) => {
            assert_eq!(document.number, "B-500");
        }
        other => panic!("{other:?}"),
    }
    drop(watched);
    let missing = pb::GetDocumentRequest {
        name: named("b-500@9.0"),
    };
    let (code, _, status) = refused(client.documents().get_document(missing).await);
    assert_eq!(code, Code::NotFound, "{status:?}");
    server.stop().await;
}

async fn two_who_make_a_number_in_two_spellings_at_once_make_one(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    for round in 0..5 {
        let both = [format!("Ab-{round}"), format!("aB-{round}")].map(|number| {
            let mut documents = client.documents();
            async move { documents.create_document(draft(&number)).await }
        });
        let answers = futures_util::future::join_all(both).await;
        let made = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(made, 1, "{answers:?}");
        for answer in answers {
            if let Err(status) = answer {
                assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
            }
        }
        assert_eq!(names(client, &format!("AB-{round}")).await.len(), 1);
    }
    server.stop().await;
}

async fn what_refers_to_a_number_refers_in_any_case(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("Pol-1")).await;
    let mut request = draft("SOP-1");
    let new = request.document.as_mut().unwrap();
    new.depends_on = vec!["POL-1".to_owned()];
    new.supersedes = named("pol-1");
    let made = create(client, request).await;
    assert_eq!(made.depends_on, ["Pol-1"]);
    assert_eq!(made.supersedes, named("Pol-1@1.0"));
    // The same twice, and a circle, in whatever case.
    let mut request = draft("SOP-2");
    request.document.as_mut().unwrap().depends_on = vec!["Pol-1".into(), "pol-1".into()];
    let (code, _, status) = refused(client.documents().create_document(request).await);
    assert_eq!(code, Code::InvalidArgument, "{status:?}");
    let mut request = draft("pol-1");
    let new = request.document.as_mut().unwrap();
    new.version_major = 2;
    new.depends_on = vec!["sop-1".into()];
    let (code, _, status) = refused(client.documents().create_document(request).await);
    assert_eq!(code, Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("circle"), "{status:?}");
    server.stop().await;
}

async fn rows_of_one_number_are_one_whatever_their_case(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let first = vec![
        row("B-1"),
        version("x-1@1.0", "EFFECTIVE"),
        version("X-1@2.0", "DRAFT"),
    ];
    let mut second = row("Y-1");
    second.depends_on = "b-1; X-1".to_owned();
    second.supersedes = "X-1@1.0".to_owned();
    let rows = lined([first, vec![second, row("b-1")]].concat());

    let told = import(client, rows.clone()).await;

    assert_eq!(told.counts(), (4, 0, 1), "{:?}", told.bad);
    assert_eq!(told.reason(6), "the same document as line 2");
    let keys: Vec<String> = kept(client).await.into_iter().map(|kept| kept.0).collect();
    assert_eq!(keys, ["B-1@1.0", "Y-1@1.0", "x-1@1.0", "x-1@2.0"]);
    let brought = export(client).await;
    let of = |number: &str| brought.iter().find(|row| row.number == number).unwrap();
    assert_eq!(of("Y-1").depends_on, "B-1;x-1");
    assert_eq!(of("Y-1").supersedes, "x-1@1.0");

    // The same in another case is the same.
    let mut other = rows[..4].to_vec();
    for row in &mut other {
        row.number = row.number.to_lowercase();
        row.depends_on = row.depends_on.to_uppercase();
    }
    let told = import(client, other).await;
    assert_eq!(told.counts(), (0, 4, 0), "{:?}", told.bad);
    assert_eq!(export(client).await, brought);
    // A version that is new belongs to the number as it is spelt.
    let told = import(client, lined(vec![version("b-1@1.1", "DRAFT")])).await;
    assert_eq!(told.counts(), (1, 0, 0), "{:?}", told.bad);
    assert_eq!(
        names(client, "B-1").await,
        [named("B-1@1.0"), named("B-1@1.1")]
    );
    server.stop().await;
}

async fn twins_from_before_are_told_and_stay_what_they_are(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("b-500")).await;
    create(client, draft("C-500")).await;
    let db = site.database.connect(site.data()).await;
    for step in [
        "UPDATE documents SET number = 'B-500' WHERE number = 'C-500'",
        "DELETE FROM document_numbers WHERE folded = 'c-500'",
        "INSERT INTO document_numbers (folded, spelling, twin) VALUES ('b-500', 'B-500', 1)",
    ] {
        db.execute_unprepared(step).await.unwrap();
    }
    create(client, draft("D-1")).await;

    let problem = server.problem("document.number_twins").await;

    assert_eq!(problem.severity(), pb::Severity::Warning);
    assert!(problem.message.contains("b-500 and B-500"), "{problem:?}");
    for key in ["b-500", "B-500"] {
        assert_eq!(document(client, key).await.number, key);
        assert_eq!(names(client, key).await, [named(&format!("{key}@1.0"))]);
    }
    // What is exported is brought in again as it is.
    let rows = export(client).await;
    let told = import(client, lined(rows.clone())).await;
    assert_eq!(told.counts(), (0, 3, 0), "{:?}", told.bad);
    does(client, "B-500", "ann", Step::Terminate("twin".into()))
        .await
        .unwrap();
    server.problem_is_over("document.number_twins").await;
    assert_eq!(document(client, "b-500").await.number, "b-500");
    server.stop().await;
}
