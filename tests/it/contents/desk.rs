//! A desk at which contents are handed in and out: ann's drafts, bytes, and the files below `contents`.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::SystemTime,
};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use watchbell_client::{client::Client, pb};

use crate::support::{Server, Site, until, within};

/// Bytes of which no two parts are alike.
pub(crate) fn bytes(count: usize, seed: u8) -> Vec<u8> {
    (0..count)
        .map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ seed)
        .collect()
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What announces these bytes, by ann, for no document.
pub(crate) fn header(bytes: &[u8]) -> pb::UploadHeader {
    pb::UploadHeader {
        actor: "ann".to_owned(),
        sha256: sha256(bytes),
        size: Some(bytes.len() as i64),
        file_name: "sop.pdf".to_owned(),
        ..Default::default()
    }
}

/// The same, for a document.
pub(crate) fn header_for(key: &str, bytes: &[u8]) -> pb::UploadHeader {
    pb::UploadHeader {
        document: format!("documents/{key}"),
        ..header(bytes)
    }
}

pub(crate) fn heading(header: pb::UploadHeader) -> pb::UploadContentRequest {
    pb::UploadContentRequest {
        message: Some(pb::upload_content_request::Message::Header(header)),
    }
}

pub(crate) fn data(bytes: &[u8]) -> pb::UploadContentRequest {
    let data = bytes.to_vec().into();
    pb::UploadContentRequest {
        message: Some(pb::upload_content_request::Message::Data(data)),
    }
}

/// Sends messages, and then no more.
pub(super) async fn send(
    client: &Client,
    messages: Vec<pb::UploadContentRequest>,
) -> Result<pb::UploadContentResponse, Status> {
    let mut documents = client.documents();
    let call = documents.upload_content(tokio_stream::iter(messages));
    Ok(within("an upload", call).await?.into_inner())
}

/// Sends a header, and these bytes in chunks of an odd size.
pub(crate) async fn upload(
    client: &Client,
    header: pb::UploadHeader,
    bytes: &[u8],
) -> Result<pb::UploadContentResponse, Status> {
    let chunks = bytes.chunks(300_001).map(data);
    send(
        client,
        [heading(header)].into_iter().chain(chunks).collect(),
    )
    .await
}

/// An upload whose every message a test sends.
pub(super) struct Sending {
    sender: mpsc::Sender<pb::UploadContentRequest>,
    call: JoinHandle<Result<pb::UploadContentResponse, Status>>,
}

impl Sending {
    pub(super) async fn begin(client: &Client, header: pb::UploadHeader) -> Self {
        let (sender, messages) = mpsc::channel(4);
        let mut documents = client.documents();
        let call = tokio::spawn(async move {
            let call = documents.upload_content(ReceiverStream::new(messages));
            Ok(call.await?.into_inner())
        });
        sender.send(heading(header)).await.unwrap();
        Self { sender, call }
    }

    pub(super) async fn data(&self, bytes: &[u8]) {
        self.sender.send(data(bytes)).await.unwrap();
    }

    /// Sends no more, and hears the answer.
    pub(super) async fn finish(self) -> Result<pb::UploadContentResponse, Status> {
        drop(self.sender);
        within("the end of an upload", self.call).await.unwrap()
    }

    /// Hears the answer without having sent all.
    pub(super) async fn answer(self) -> Result<pb::UploadContentResponse, Status> {
        within("the end of an upload", self.call).await.unwrap()
    }

    /// The caller is gone.
    pub(super) async fn breaks_off(self) {
        self.call.abort();
        assert!(self.call.await.unwrap_err().is_cancelled());
    }
}

pub(super) async fn received(client: &Client, bytes: &[u8]) -> pb::GetUploadResponse {
    let request = pb::GetUploadRequest {
        sha256: sha256(bytes),
    };
    let answer = client.documents().get_upload(request).await;
    answer.unwrap().into_inner()
}

/// Waits until so much of a content has come.
pub(super) async fn comes(client: &Client, bytes: &[u8], count: usize) {
    until("bytes to be received", async || {
        let received = received(client, bytes).await;
        (received.received_bytes == count as i64).then_some(())
    })
    .await;
}

/// What came of a download: its header, its bytes, and how it ended.
pub(super) async fn download(
    client: &Client,
    key: &str,
    offset: usize,
) -> (Option<pb::Content>, Vec<u8>, Result<(), Status>) {
    let request = pb::DownloadContentRequest {
        name: format!("documents/{key}"),
        offset: offset as i64,
    };
    let (mut header, mut bytes) = (None, Vec::new());
    let mut messages = match client.documents().download_content(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (header, bytes, Err(status)),
    };
    loop {
        use pb::download_content_response::Message;
        let message = match within("a download", messages.message()).await {
            Ok(Some(message)) => message.message.unwrap(),
            Ok(None) => return (header, bytes, Ok(())),
            Err(status) => return (header, bytes, Err(status)),
        };
        match message {
            Message::Header(content) => assert!(header.replace(content).is_none()),
            Message::Data(data) => bytes.extend_from_slice(&data),
        }
    }
}

/// A new DRAFT of ann's: `{number}@1.0`.
pub(super) async fn draft(client: &Client, number: &str) -> pb::Document {
    let request = pb::CreateDocumentRequest {
        document: Some(pb::Document {
            number: number.to_owned(),
            title: format!("About {number}"),
            ..Default::default()
        }),
        actor: "ann".to_owned(),
        ..Default::default()
    };
    let answer = client.documents().create_document(request).await;
    answer.unwrap().into_inner().document.unwrap()
}

pub(super) async fn document(client: &Client, key: &str) -> pb::Document {
    let request = pb::GetDocumentRequest {
        name: format!("documents/{key}"),
    };
    let answer = client.documents().get_document(request).await;
    answer.unwrap().into_inner().document.unwrap()
}

/// Where a content lies.
pub(super) fn place(site: &Site, bytes: &[u8]) -> PathBuf {
    let sha256 = sha256(bytes);
    site.data().join("contents").join(&sha256[..2]).join(sha256)
}

/// Where what has come of it lies.
pub(super) fn partial(site: &Site, bytes: &[u8]) -> PathBuf {
    site.data().join("contents/incoming").join(sha256(bytes))
}

/// All files in a directory below `contents`.
pub(super) fn files(site: &Site, directory: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(site.data().join("contents").join(directory)) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// All contents that are stored.
pub(super) fn stored(site: &Site) -> Vec<PathBuf> {
    let shelves = files(site, "");
    let names = shelves.iter().filter_map(|path| path.file_name()?.to_str());
    let names = names.filter(|name| name.len() == 2);
    names.flat_map(|name| files(site, name)).collect()
}

/// As if it had been written then.
pub(super) fn written_at(path: &Path, at: Timestamp) {
    let file = File::open(path).unwrap();
    file.set_modified(SystemTime::from(at)).unwrap();
}

/// Runs the sweep, now.
pub(super) async fn sweep(server: &Server, dry_run: bool) -> pb::Run {
    let request = pb::TriggerTaskRequest {
        name: "tasks/sweep-content".to_owned(),
        dry_run,
        ..Default::default()
    };
    let answer = server.client.tasks().trigger_task(request).await.unwrap();
    let run = server.ended(&answer.into_inner().run.unwrap().name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    run
}
