//! Sends a content, and goes on where it broke off.

use std::{
    future::pending,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use async_stream::stream;
use futures_util::Stream;
use prost::bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Status};

use super::{Digest, Meter, Retries, TransferError, digest::open};
use crate::{
    call::unary,
    client::Client,
    pb::{
        GetUploadRequest, GetUploadResponse, UploadContentRequest, UploadContentResponse,
        UploadHeader, upload_content_request::Message,
    },
};

/// Bytes in a message.
const CHUNK: usize = 256 * 1024;
/// Chunks that are read ahead.
const READ_AHEAD: usize = 4;

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is, by [`super::digest`].
    pub digest: Digest,
    /// The DRAFT that gets it, as a resource name; empty where it is only stored.
    pub document: String,
    /// Who does it.
    pub actor: String,
    /// The file's name, for those who download it.
    pub file_name: String,
}

/// How one attempt ended, where it did not end well.
enum Ended {
    Unread(io::Error),
    Answer(Status),
}

impl Client {
    /// Sends a content: only what the server does not have of it.
    ///
    /// # Errors
    /// Where the file cannot be read, the server refuses, or the connection breaks again and again.
    pub async fn upload_content<M>(
        &self,
        upload: &Upload,
        meter: &M,
    ) -> Result<UploadContentResponse, TransferError>
    where
        M: Meter + Clone + Send + 'static,
    {
        let mut retries = Retries::new();
        loop {
            let known = self.known_upload(&upload.digest).await?;
            let (ended, reached) = match self.send(upload, &known, meter.clone()).await {
                Ok(response) => return Ok(response),
                Err(Ended::Unread(source)) => {
                    let path = upload.path.clone();
                    return Err(TransferError::File { path, source });
                }
                Err(Ended::Answer(status)) => (status, known.received_bytes),
            };
            retries
                .wait(ended, u64::try_from(reached).unwrap_or_default())
                .await?;
        }
    }

    /// How much of a content the server has.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn known_upload(&self, digest: &Digest) -> Result<GetUploadResponse, TransferError> {
        let request = GetUploadRequest {
            sha256: digest.sha256.clone(),
        };
        unary(request, async |request| {
            self.documents().get_upload(request).await
        })
        .await
        .map_err(TransferError::from_call)
    }

    async fn send<M>(
        &self,
        upload: &Upload,
        known: &GetUploadResponse,
        meter: M,
    ) -> Result<UploadContentResponse, Ended>
    where
        M: Meter + Send + 'static,
    {
        let size = upload.digest.size;
        let offset = u64::try_from(known.received_bytes).unwrap_or_default();
        let header = UploadHeader {
            document: upload.document.clone(),
            actor: upload.actor.clone(),
            sha256: upload.digest.sha256.clone(),
            size: i64::try_from(size).ok(),
            offset: known.received_bytes,
            file_name: upload.file_name.clone(),
        };
        // What the server has whole, it needs to be told of only.
        let left = if known.complete {
            0
        } else {
            size.saturating_sub(offset)
        };
        let (failed, failure) = oneshot::channel();
        let chunks = chunks(&upload.path, offset, left);
        meter.reached(offset);
        let messages = messages(header, chunks, offset, meter, failed);
        let mut documents = self.documents();
        tokio::select! {
            answer = documents.upload_content(Request::new(messages)) => match answer {
                Ok(response) => Ok(response.into_inner()),
                Err(status) => Err(Ended::Answer(status)),
            },
            Ok(error) = failure => Err(Ended::Unread(error)),
        }
    }
}

/// The header, then the chunks. One that cannot be read is told to `failed`, and nothing follows: an end
/// would say that this was all.
fn messages<M: Meter>(
    header: UploadHeader,
    mut chunks: mpsc::Receiver<io::Result<Bytes>>,
    offset: u64,
    meter: M,
    failed: oneshot::Sender<io::Error>,
) -> impl Stream<Item = UploadContentRequest> {
    stream! {
        yield UploadContentRequest {
            message: Some(Message::Header(header)),
        };
        let mut sent = offset;
        while let Some(chunk) = chunks.recv().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    // Whoever would hear of it has gone.
                    let _ = failed.send(error);
                    pending::<()>().await;
                    return;
                }
            };
            sent += chunk.len() as u64;
            yield UploadContentRequest {
                message: Some(Message::Data(chunk)),
            };
            meter.reached(sent);
        }
    }
}

/// The bytes of the file from `offset` on, read ahead a little by a thread that may wait for the disk.
fn chunks(path: &Path, offset: u64, left: u64) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    if left == 0 {
        return receiver;
    }
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(&path, offset, left, &sender) {
            // Whoever would hear of it has gone.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Ends early where the file does, or nobody wants more: then the server says what is missing.
fn read(
    path: &Path,
    offset: u64,
    mut left: u64,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut file = open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    while left > 0 {
        let size = left.min(CHUNK as u64);
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = file.by_ref().take(size).read_to_end(&mut chunk)? as u64;
        left -= read;
        if read == 0 || sender.blocking_send(Ok(chunk.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
