//! What a wrong upload or download gets: an error that names the field, and nothing stored.

use tonic::Code;
use watchbell_client::pb;

use super::desk::{
    bytes, data, download, draft, files, header, header_for, heading, partial, send, sha256,
    stored, upload,
};
use crate::support::{Database, Site, on_both, refused, violations};

on_both!(
    what_is_wrong_with_an_upload_is_named_and_nothing_is_stored,
    what_is_wrong_with_asking_for_a_content_is_named,
);

const MAX: usize = 1 << 20;

/// Messages, the field that is to be named, and a word of what is said.
fn wrong() -> Vec<(Vec<pb::UploadContentRequest>, &'static str, &'static str)> {
    let whole = bytes(10_000, 0);
    let with = |change: &dyn Fn(&mut pb::UploadHeader)| {
        let mut header = header(&whole);
        change(&mut header);
        vec![heading(header), data(&whole)]
    };
    let unannounced = pb::UploadHeader {
        actor: "ann".to_owned(),
        ..Default::default()
    };
    let half = bytes(MAX / 2 + 1, 0);
    vec![
        (vec![], "header", "first"),
        (vec![data(&whole)], "header", "first"),
        (
            vec![heading(header(&whole)), heading(header(&whole))],
            "header",
            "once",
        ),
        (
            vec![heading(header(&whole)), pb::UploadContentRequest::default()],
            "message",
            "data",
        ),
        (
            vec![heading(unannounced.clone()), data(&bytes(MAX + 1, 0))],
            "data",
            "one message",
        ),
        (vec![heading(unannounced.clone())], "data", "no bytes"),
        (
            vec![heading(unannounced.clone()), data(&half), data(&half)],
            "data",
            "content.max_bytes",
        ),
        (
            with(&|header| header.size = Some(MAX as i64 + 1)),
            "header.size",
            "content.max_bytes",
        ),
        (with(&|header| header.size = Some(-1)), "header.size", "-1"),
        (with(&|header| header.size = Some(9_999)), "data", "9999"),
        (
            with(&|header| {
                header.sha256.clear();
                header.size = Some(10_001);
            }),
            "data",
            "10000 bytes came of the 10001",
        ),
        (
            with(&|header| header.sha256 = sha256(b"another")),
            "header.sha256",
            "nothing is kept",
        ),
        (
            with(&|header| header.sha256 = "x".repeat(64)),
            "header.sha256",
            "64 hexadecimal",
        ),
        (
            with(&|header| {
                header.sha256.clear();
                header.offset = 1;
            }),
            "header.offset",
            "sha256",
        ),
        (with(&|header| header.offset = -1), "header.offset", "-1"),
        (
            with(&|header| header.offset = 10_001),
            "header.offset",
            "at most 10000",
        ),
        (
            with(&|header| header.actor.clear()),
            "header.actor",
            "empty",
        ),
        (
            with(&|header| header.file_name = "../../etc/passwd".to_owned()),
            "header.file_name",
            "path",
        ),
        (
            with(&|header| header.file_name = "a\nb".to_owned()),
            "header.file_name",
            "control",
        ),
        (
            with(&|header| header.file_name = "x".repeat(256)),
            "header.file_name",
            "255",
        ),
        (
            with(&|header| header.document = "SOP-1".to_owned()),
            "header.document",
            "documents/",
        ),
    ]
}

async fn what_is_wrong_with_an_upload_is_named_and_nothing_is_stored(database: Database) {
    let site = Site::configured(database, &format!("[content]\nmax_bytes = {MAX}\n"));
    let server = site.start().await;
    let client = &server.client;
    for (messages, field, word) in wrong() {
        let about = format!("{field}, {word}");
        let (code, _, status) = refused(send(client, messages).await);
        assert_eq!(code, Code::InvalidArgument, "{about}: {status:?}");
        assert_eq!(violations(&status), [field], "{about}: {status:?}");
        assert!(status.message().contains(word), "{about}: {status:?}");
        assert!(stored(&site).is_empty(), "{about}");
        // What was well announced and broke off may yet be gone on with; it is not a content.
        let left = files(&site, "incoming");
        let resumable = partial(&site, &bytes(10_000, 0));
        assert!(
            left.iter().all(|file| *file == resumable),
            "{about}: {left:?}"
        );
    }
    // A message that is larger than any may be.
    let huge = vec![heading(header(&[])), data(&bytes(5 << 20, 0))];
    let (code, _, _) = refused(send(client, huge).await);
    assert_eq!(code, Code::InvalidArgument);

    // Too short, and announced: what came is kept, and gone on with.
    let whole = bytes(10_000, 4);
    let short = upload(client, header(&whole), &whole[..4_000]).await;
    let (_, _, status) = refused(short);
    assert!(
        status.message().contains("4000 bytes came of the 10000"),
        "{status:?}"
    );
    assert_eq!(partial(&site, &whole).metadata().unwrap().len(), 4_000);
    let rest = pb::UploadHeader {
        offset: 4_000,
        ..header(&whole)
    };
    upload(client, rest, &whole[4_000..]).await.unwrap();
    server.stop().await;
}

async fn what_is_wrong_with_asking_for_a_content_is_named(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    let whole = bytes(10_000, 5);
    upload(client, header_for("SOP-1@1.0", &whole), &whole)
        .await
        .unwrap();
    let (_, _, ended) = download(client, "SOP-1", 10_001).await;
    let (code, _, status) = refused(ended);
    assert_eq!(code, Code::InvalidArgument);
    assert_eq!(violations(&status), ["offset"]);
    let (_, _, ended) = download(client, "SOP-9", 0).await;
    assert_eq!(refused(ended).0, Code::NotFound);
    for sha256 in ["", "abc", "../../../../etc/passwd"] {
        let request = pb::GetUploadRequest {
            sha256: sha256.to_owned(),
        };
        let (code, _, status) = refused(client.documents().get_upload(request).await);
        assert_eq!(code, Code::InvalidArgument);
        assert_eq!(violations(&status), ["sha256"]);
    }
    server.stop().await;
}
