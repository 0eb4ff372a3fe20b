//! Contents: what is sent, what is written, and what breaks in between.

use std::fs;

use watchbell_client::pb::{Content, Document};

use crate::{fake_documents::sha256, harness::Harness};

const CHUNK: usize = 256 * 1024;

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index % 251) as u8).collect()
}

/// A document with that content, under that name.
fn stored(harness: &Harness, content: &[u8], file_name: &str) {
    let mut script = harness.script();
    let hash = sha256(content);
    script.documents.documents = vec![Document {
        name: "documents/SOP-1@1.0".into(),
        content: Some(Content {
            sha256: hash.clone(),
            size: content.len() as i64,
            file_name: file_name.into(),
        }),
        ..Document::default()
    }];
    script.documents.contents.insert(hash, content.to_vec());
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let harness = Harness::start().await;
    let content = bytes(3 * CHUNK + 10);
    let file = harness.bytes("cleaning.pdf", &content);
    harness.script().documents.upload_breaks_at = Some(2 * CHUNK);
    let done = harness.run(&["document", "upload", "SOP-1", &file]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("cleaning.pdf, 768.01 KiB"), "{done:?}");
    let uploads = harness.script().documents.uploads.clone();
    let (first, second) = (&uploads[0], &uploads[1]);
    assert_eq!(first.0.document, "documents/SOP-1");
    assert_eq!(first.0.actor, "ada");
    assert_eq!(first.0.sha256, sha256(&content));
    assert_eq!(first.0.size, Some(content.len() as i64));
    assert_eq!(first.0.file_name, "cleaning.pdf");
    assert_eq!((first.0.offset, first.1), (0, 2 * CHUNK));
    assert_eq!((second.0.offset, second.1), (2 * CHUNK as i64, CHUNK + 10));
}

#[tokio::test]
async fn what_the_server_has_is_not_sent_again() {
    let harness = Harness::start().await;
    let content = bytes(1_000);
    let file = harness.bytes("a.pdf", &content);
    let known = sha256(&content);
    harness.script().documents.contents.insert(known, content);
    let done = harness
        .run(&["document", "upload", "SOP-1@1.0", &file])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let uploads = harness.script().documents.uploads.clone();
    assert_eq!(uploads[0].0.document, "documents/SOP-1@1.0");
    assert_eq!((uploads.len(), uploads[0].1), (1, 0));
}

#[tokio::test]
async fn an_empty_file_and_none_are_told_apart() {
    let harness = Harness::start().await;
    let file = harness.bytes("empty", b"");
    let done = harness.run(&["document", "upload", "SOP-1", &file]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(harness.script().documents.uploads[0].0.size, Some(0));
    let missing = harness.path("missing");
    let done = harness
        .run(&["document", "upload", "SOP-1", &missing])
        .await;
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.stderr.contains("missing"), "{done:?}");
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off_and_has_the_name_it_was_uploaded_with() {
    let harness = Harness::start().await;
    let content = bytes(10_500);
    stored(&harness, &content, "../cleaning.pdf");
    harness.script().documents.download_breaks_at = Some(4_000);
    let mut command = harness.command(&["document", "download", "SOP-1"]);
    let folder = harness.folder("here");
    let output = command.current_dir(&folder).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(folder.join("cleaning.pdf")).unwrap(), content);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    let downloads = harness.script().documents.downloads.clone();
    let asked: Vec<_> = downloads
        .iter()
        .map(|asked| (asked.name.as_str(), asked.offset))
        .collect();
    assert_eq!(
        asked,
        [("documents/SOP-1@1.0", 0), ("documents/SOP-1@1.0", 4_000)]
    );
}

#[tokio::test]
async fn a_content_that_is_not_what_was_promised_leaves_no_file() {
    let harness = Harness::start().await;
    let content = bytes(5_000);
    stored(&harness, &content, "a.pdf");
    let mut damaged = content.clone();
    damaged[4_999] ^= 1;
    let mut longer = content.clone();
    longer.push(0);
    for other in [damaged, longer] {
        let known = sha256(&content);
        harness.script().documents.contents.insert(known, other);
        let folder = harness.folder("here");
        let target = folder.join("a.pdf");
        let args = ["document", "download", "SOP-1", target.to_str().unwrap()];
        let done = harness.run(&args).await;
        assert_eq!(done.code, 10, "{done:?}");
        assert!(done.stderr.contains("damaged"), "{done:?}");
        assert_eq!(done.stdout, "");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_file_is_overwritten_only_by_force_and_standard_output_always() {
    let harness = Harness::start().await;
    stored(&harness, b"new\n", "a.txt");
    let file = harness.bytes("a.txt", b"old");
    let done = harness.run(&["document", "download", "SOP-1", &file]).await;
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.stderr.contains("--force"), "{done:?}");
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert!(harness.script().documents.downloads.is_empty());
    let done = harness
        .run(&["document", "download", "SOP-1", &file, "--force"])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(fs::read(&file).unwrap(), b"new\n");
    let piped = harness.run(&["document", "download", "SOP-1", "-"]).await;
    assert_eq!((piped.code, piped.stdout.as_str()), (0, "new\n"));
}

#[tokio::test]
async fn a_connection_that_is_cut_costs_nothing_but_time() {
    let harness = Harness::start().await;
    let content = bytes(4 * 1024 * 1024);
    let file = harness.bytes("large.bin", &content);
    let cut = harness.cut_after(1024 * 1024).await;
    let done = harness
        .run(&["document", "upload", "SOP-1", &file, "--endpoint", &cut])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let uploads = harness.script().documents.uploads.clone();
    assert_eq!(uploads.len(), 2);
    assert!(uploads[1].0.offset > 0, "{uploads:?}");

    stored(&harness, &content, "large.bin");
    let cut = harness.cut_after(1024 * 1024).await;
    let copy = harness.path("copy.bin");
    let done = harness
        .run(&["document", "download", "SOP-1", &copy, "--endpoint", &cut])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(fs::read(&copy).unwrap(), content);
    let downloads = harness.script().documents.downloads.clone();
    assert!(downloads[1].offset > 0, "{downloads:?}");
}
