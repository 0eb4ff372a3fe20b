//! Contents that are not on the disk as they should be: who asks is told, someone is, and an upload heals it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use tonic::Code;
use watchbell_client::pb;

use super::desk::{
    bytes, download, draft, files, header, header_for, place, received, sha256, upload,
};
use crate::support::{Database, Site, on_both, refused};

on_both!(
    a_content_that_is_gone_is_told_and_heals_by_an_upload,
    a_flipped_byte_ends_a_download_before_its_end_and_heals,
    a_file_of_another_size_is_no_content,
    a_server_that_stops_ends_a_download,
);

/// Writes over a file that nobody should write to.
fn write(path: &std::path::Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

async fn a_content_that_is_gone_is_told_and_heals_by_an_upload(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    let whole = bytes(400_000, 0);
    upload(client, header_for("SOP-1@1.0", &whole), &whole)
        .await
        .unwrap();
    fs::remove_file(place(&site, &whole)).unwrap();

    for _ in 0..2 {
        let (header, got, ended) = download(client, "SOP-1", 0).await;
        let (code, reason, status) = refused(ended);
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "CONTENT_MISSING")
        );
        assert!(status.message().contains("upload it again"), "{status:?}");
        assert!(header.is_none() && got.is_empty());
    }
    let problem = server.problem("content.missing").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert_eq!(problem.subject, format!("contents/{}", sha256(&whole)));
    assert!(!received(client, &whole).await.complete);

    upload(client, header(&whole), &whole).await.unwrap();
    server.problem_is_over("content.missing").await;
    let (_, got, ended) = download(client, "SOP-1", 0).await;
    ended.unwrap();
    assert!(got == whole, "the same bytes");

    // Put back by hand, it is found sound when it is next asked for.
    fs::remove_file(place(&site, &whole)).unwrap();
    refused(download(client, "SOP-1", 0).await.2);
    server.problem("content.missing").await;
    fs::write(place(&site, &whole), &whole).unwrap();
    download(client, "SOP-1", 0).await.2.unwrap();
    server.problem_is_over("content.missing").await;
    server.stop().await;
}

async fn a_flipped_byte_ends_a_download_before_its_end_and_heals(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    let whole = bytes(3_000_000, 1);
    upload(client, header_for("SOP-1@1.0", &whole), &whole)
        .await
        .unwrap();
    let mut flipped = whole.clone();
    flipped[10] ^= 1;
    write(&place(&site, &whole), &flipped);

    let (sent, got, ended) = download(client, "SOP-1", 0).await;
    let (code, reason, status) = refused(ended);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "CONTENT_DAMAGED")
    );
    assert!(status.message().contains(&sha256(&flipped)), "{status:?}");
    assert!(sent.is_some() && got.len() < whole.len());
    let problem = server.problem("content.damaged").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    let aside = files(&site, "damaged");
    assert_eq!(aside.len(), 1);
    assert!(fs::read(&aside[0]).unwrap() == flipped, "what was found");
    assert!(!received(client, &whole).await.complete);
    let (_, reason, _) = refused(download(client, "SOP-1", 0).await.2);
    assert_eq!(reason, "CONTENT_MISSING");

    upload(client, header(&whole), &whole).await.unwrap();
    server.problem_is_over("content.damaged").await;
    server.problem_is_over("content.missing").await;
    let (_, got, ended) = download(client, "SOP-1", 2_000_000).await;
    ended.unwrap();
    assert!(got == whole[2_000_000..], "the same bytes");

    // Nobody has found it out yet, and all bytes come again: the sound ones stay.
    write(&place(&site, &whole), &flipped);
    upload(client, header(&whole), &whole).await.unwrap();
    download(client, "SOP-1", 0).await.2.unwrap();
    server.stop().await;
}

async fn a_file_of_another_size_is_no_content(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    let whole = bytes(600_000, 2);
    upload(client, header_for("SOP-1@1.0", &whole), &whole)
        .await
        .unwrap();
    write(&place(&site, &whole), &whole[..599_999]);

    assert!(!received(client, &whole).await.complete);
    // A header alone does not do: there is nothing that it could stand for.
    let (code, _, _) = refused(upload(client, header(&whole), &[]).await);
    assert_eq!(code, Code::InvalidArgument);
    server.problem("content.damaged").await;
    upload(client, header(&whole), &whole).await.unwrap();
    server.problem_is_over("content.damaged").await;
    download(client, "SOP-1", 0).await.2.unwrap();

    write(&place(&site, &whole), &whole[1..]);
    let (_, got, ended) = download(client, "SOP-1", 0).await;
    let (_, reason, _) = refused(ended);
    assert_eq!((reason.as_str(), got.len()), ("CONTENT_DAMAGED", 0));
    server.stop().await;
}

async fn a_server_that_stops_ends_a_download(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    draft(client, "SOP-1").await;
    // More than is sent to a caller who does not take it.
    let whole = bytes(24 << 20, 3);
    upload(client, header_for("SOP-1@1.0", &whole), &whole)
        .await
        .unwrap();
    let request = pb::DownloadContentRequest {
        name: "documents/SOP-1".to_owned(),
        ..Default::default()
    };
    let answer = client.documents().download_content(request).await;
    let mut messages = answer.unwrap().into_inner();
    messages.message().await.unwrap().unwrap();
    server.drain();
    let mut got = 0;
    let ended = loop {
        match messages.message().await {
            Ok(Some(_)) => got += 1,
            Ok(None) => panic!("all was sent"),
            Err(status) => break status,
        }
    };
    let (code, _, _) = refused::<()>(Err(ended));
    assert_eq!(code, Code::Unavailable, "after {got} messages");
    server.stopped().await;
}
