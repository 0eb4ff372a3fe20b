//! Contents that come in as they should, are stored once, and come back.

use std::os::unix::fs::PermissionsExt as _;

use tonic::Code;
use watchbell_client::pb;

use super::desk::{
    bytes, document, download, draft, files, header, header_for, place, received, sha256, stored,
    upload,
};
use crate::support::{Database, Site, on_both, refused};

on_both!(
    what_is_uploaded_comes_back_and_is_in_the_history,
    what_is_the_same_is_stored_once_and_need_not_be_sent_again,
    only_its_author_gives_a_document_its_content_while_it_is_a_draft,
);

async fn what_is_uploaded_comes_back_and_is_in_the_history(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let mut scheduler = client.scheduler();
    let info = scheduler.get_server_info(pb::GetServerInfoRequest {});
    let limits = info.await.unwrap().into_inner().limits.unwrap();
    assert_eq!(limits.max_content_bytes, 2 << 30);
    let created = draft(client, "SOP-1").await;
    let whole = bytes(3_000_017, 0);
    let answer = upload(client, header_for("SOP-1@1.0", &whole), &whole).await;
    let answer = answer.unwrap();

    let content = answer.content.unwrap();
    assert_eq!(
        (
            content.sha256.as_str(),
            content.size,
            content.file_name.as_str()
        ),
        (sha256(&whole).as_str(), 3_000_017, "sop.pdf")
    );
    let document = document(client, "SOP-1").await;
    assert_eq!(answer.document.as_ref(), Some(&document));
    assert_eq!(document.content, Some(content.clone()));
    assert_eq!(document.revision, created.revision + 1);
    assert_eq!(document.status(), pb::DocumentStatus::Draft);
    let request = pb::ListDocumentHistoryRequest {
        name: document.name.clone(),
        ..Default::default()
    };
    let history = client.documents().list_document_history(request).await;
    let newest = history.unwrap().into_inner().entries.remove(0);
    assert_eq!(
        (
            newest.verb.as_str(),
            newest.actor.as_str(),
            newest.principal.as_str()
        ),
        ("attach_content", "ann", "admin")
    );
    assert!(newest.comment.contains(&content.sha256), "{newest:?}");

    let (sent, got, ended) = download(client, "SOP-1@1.0", 0).await;
    ended.unwrap();
    assert!(got == whole, "the same bytes");
    assert_eq!(sent, Some(content));
    for offset in [1, 262_144, 3_000_016, 3_000_017] {
        let (_, got, ended) = download(client, "SOP-1", offset).await;
        ended.unwrap();
        assert!(got == whole[offset..], "from {offset} on");
    }

    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let stored = place(&site, &whole);
    assert_eq!(mode(&stored), 0o400);
    for directory in stored.ancestors().skip(1).take(2) {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
    server.stop().await;
}

async fn what_is_the_same_is_stored_once_and_need_not_be_sent_again(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    for number in ["SOP-1", "SOP-2", "SOP-3"] {
        draft(client, number).await;
    }
    let whole = bytes(700_000, 1);
    // Not announced, and whose it is is not said.
    let unannounced = pb::UploadHeader {
        actor: "ann".to_owned(),
        ..Default::default()
    };
    upload(client, unannounced, &whole).await.unwrap();
    let there = received(client, &whole).await;
    assert_eq!((there.complete, there.received_bytes), (true, 700_000));

    let mut by_header = header_for("SOP-1@1.0", &whole);
    by_header.sha256 = by_header.sha256.to_uppercase();
    let first = upload(client, by_header, &[]).await.unwrap();
    upload(client, header_for("SOP-2@1.0", &whole), &whole)
        .await
        .unwrap();
    // The answer was lost: the same again changes nothing.
    let again = upload(client, header_for("SOP-1@1.0", &whole), &whole).await;
    assert_eq!(again.unwrap().document, first.document);
    // Bytes that need not have come must be right all the same.
    let other = bytes(700_000, 2);
    let wrong = upload(client, header_for("SOP-3@1.0", &whole), &other).await;
    let (code, _, _) = refused(wrong);
    assert_eq!(code, Code::InvalidArgument);

    assert_eq!(stored(&site), [place(&site, &whole)]);
    assert!(files(&site, "incoming").is_empty());
    assert_eq!(document(client, "SOP-3").await.content, None);
    for number in ["SOP-1", "SOP-2"] {
        let (_, got, ended) = download(client, number, 0).await;
        ended.unwrap();
        assert!(got == whole, "{number}");
    }
    let empty = pb::UploadHeader {
        sha256: String::new(),
        ..header(&[])
    };
    let content = upload(client, empty, &[]).await.unwrap().content.unwrap();
    assert_eq!((content.size, content.sha256), (0, sha256(&[])));
    server.stop().await;
}

async fn only_its_author_gives_a_document_its_content_while_it_is_a_draft(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    let whole = bytes(70_000, 3);
    let by_another = pb::UploadHeader {
        actor: "rex".to_owned(),
        ..header_for("SOP-1@1.0", &whole)
    };
    let (code, _, status) = refused(upload(client, by_another, &whole).await);
    assert_eq!(code, Code::PermissionDenied);
    assert!(status.message().contains("ann"), "{status:?}");
    let unknown = header_for("SOP-9@1.0", &whole);
    let (code, _, _) = refused(upload(client, unknown, &whole).await);
    assert_eq!(code, Code::NotFound);

    let submit = pb::SubmitDocumentRequest {
        name: "documents/SOP-1@1.0".to_owned(),
        actor: "ann".to_owned(),
        reviewer: "rex".to_owned(),
        ..Default::default()
    };
    client.documents().submit_document(submit).await.unwrap();
    let late = upload(client, header_for("SOP-1@1.0", &whole), &whole).await;
    let (code, reason, status) = refused(late);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "ILLEGAL_TRANSITION")
    );
    assert!(status.message().contains("PENDING_REVIEW"), "{status:?}");

    assert!(stored(&site).is_empty() && files(&site, "incoming").is_empty());
    let nothing = pb::DownloadContentRequest {
        name: "documents/SOP-1".to_owned(),
        ..Default::default()
    };
    let (code, reason, _) = refused(client.documents().download_content(nothing).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "NO_CONTENT")
    );
    server.stop().await;
}
