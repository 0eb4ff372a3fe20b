//! Uploads that break off, and go on where they were.

use tonic::Code;
use watchbell_client::pb;

use super::desk::{
    Sending, bytes, comes, data, download, draft, files, header, header_for, heading, partial,
    place, received, send, upload,
};
use crate::support::{Database, Site, on_both, refused, until};

on_both!(
    an_upload_that_breaks_off_goes_on_where_it_was,
    what_broke_off_wrong_is_found_out_and_begun_anew,
    of_two_uploads_of_one_content_one_waits,
    a_server_that_stops_ends_an_upload_and_keeps_what_came,
);

const HALF: usize = 1_500_000;

fn from(offset: usize, header: pb::UploadHeader) -> pb::UploadHeader {
    pb::UploadHeader {
        offset: offset as i64,
        ..header
    }
}

/// Once whoever broke off has let go.
async fn is_free(client: &watchbell_client::client::Client, whole: &[u8]) {
    until("the upload to be let go", async || {
        let wrong = send(client, vec![heading(from(7, header(whole)))]).await;
        let (code, reason, status) = refused(wrong);
        match (code, reason.as_str()) {
            (Code::Aborted, "UPLOAD_IN_PROGRESS") => None,
            (Code::FailedPrecondition, "UPLOAD_OFFSET") => Some(status),
            other => panic!("{other:?}: {status:?}"),
        }
    })
    .await;
}

async fn an_upload_that_breaks_off_goes_on_where_it_was(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    let whole = bytes(2 * HALF, 0);
    let sending = Sending::begin(client, header_for("SOP-1@1.0", &whole)).await;
    for chunk in whole[..HALF].chunks(500_000) {
        sending.data(chunk).await;
    }
    comes(client, &whole, HALF).await;
    sending.breaks_off().await;
    is_free(client, &whole).await;

    let there = received(client, &whole).await;
    assert_eq!((there.complete, there.received_bytes), (false, HALF as i64));
    let wrong = from(HALF + 1, header(&whole));
    let (code, reason, status) = refused(upload(client, wrong, &whole[HALF + 1..]).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "UPLOAD_OFFSET")
    );
    assert!(
        status.message().contains(&format!("{HALF} bytes")),
        "{status:?}"
    );

    let rest = from(HALF, header_for("SOP-1@1.0", &whole));
    let answer = upload(client, rest, &whole[HALF..]).await.unwrap();
    assert_eq!(answer.content.unwrap().size, 2 * HALF as i64);
    assert!(received(client, &whole).await.complete);
    let (_, got, ended) = download(client, "SOP-1", 0).await;
    ended.unwrap();
    assert!(got == whole, "the same bytes");

    // One that was not announced leaves nothing.
    let unannounced = pb::UploadHeader {
        sha256: String::new(),
        ..header(&whole)
    };
    let sending = Sending::begin(client, unannounced).await;
    sending.data(&whole[..400_000]).await;
    let something = async || (!files(&site, "incoming").is_empty()).then_some(());
    until("an upload to have begun", something).await;
    sending.breaks_off().await;
    let nothing = async || files(&site, "incoming").is_empty().then_some(());
    until("nothing to be left of it", nothing).await;
    server.stop().await;
}

async fn what_broke_off_wrong_is_found_out_and_begun_anew(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let whole = bytes(2 * HALF, 1);
    let other = bytes(HALF, 2);
    refused(upload(client, header(&whole), &other).await);
    // It is long enough to go on with, and not what it should be.
    let rest = from(HALF, header(&whole));
    let (code, _, _) = refused(upload(client, rest.clone(), &whole[HALF..]).await);
    assert_eq!(code, Code::InvalidArgument);
    let (_, reason, _) = refused(upload(client, rest, &whole[HALF..]).await);
    assert_eq!(reason, "UPLOAD_OFFSET");
    assert!(!partial(&site, &whole).exists());

    // From 0 it begins anew, whatever is there.
    refused(upload(client, header(&whole), &other).await);
    upload(client, header(&whole), &whole).await.unwrap();
    assert!(place(&site, &whole).exists() && files(&site, "incoming").is_empty());
    server.stop().await;
}

async fn of_two_uploads_of_one_content_one_waits(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let whole = bytes(2 * HALF, 3);
    let first = Sending::begin(client, header(&whole)).await;
    first.data(&whole[..1_000_000]).await;
    comes(client, &whole, 1_000_000).await;
    let (code, reason, _) = refused(upload(client, header(&whole), &whole).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::Aborted, "UPLOAD_IN_PROGRESS")
    );
    // Another content is not in its way.
    let other = bytes(10, 4);
    upload(client, header(&other), &other).await.unwrap();
    for chunk in whole[1_000_000..].chunks(1 << 20) {
        first.data(chunk).await;
    }
    first.finish().await.unwrap();
    upload(client, header(&whole), &[]).await.unwrap();
    server.stop().await;
}

async fn a_server_that_stops_ends_an_upload_and_keeps_what_came(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let whole = bytes(2 * HALF, 5);
    let sending = Sending::begin(&server.client, header(&whole)).await;
    sending.data(&whole[..900_000]).await;
    comes(&server.client, &whole, 900_000).await;
    server.drain();
    let (code, reason, status) = refused(sending.answer().await);
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "UNAVAILABLE"));
    assert!(status.message().contains("draining"), "{status:?}");
    server.stopped().await;
    assert_eq!(partial(&site, &whole).metadata().unwrap().len(), 900_000);

    let server = site.start().await;
    let rest = from(900_000, header(&whole));
    let messages = [heading(rest)].into_iter();
    let messages = messages.chain(whole[900_000..].chunks(1 << 20).map(data));
    send(&server.client, messages.collect()).await.unwrap();
    server.stop().await;
}
