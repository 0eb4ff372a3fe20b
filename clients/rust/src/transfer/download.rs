//! Fetches a content, goes on where it broke off, and checks it.

use std::fmt;

use prost::bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tonic::{Status, Streaming};

use super::{Retries, TransferError, digest::hex};
use crate::{
    client::Client,
    pb::{
        Content, DownloadContentRequest, DownloadContentResponse,
        download_content_response::Message,
    },
};

/// A content on its way.
pub struct Download {
    client: Client,
    name: String,
    content: Content,
    received: u64,
    hasher: Sha256,
    /// None once it broke off.
    stream: Option<Streaming<DownloadContentResponse>>,
    retries: Retries,
}

impl Client {
    /// Begins to fetch the content of the document `name`, best one with its version.
    ///
    /// # Errors
    /// Where the server refuses, or the connection breaks again and again.
    pub async fn download_content(&self, name: &str) -> Result<Download, TransferError> {
        let mut retries = Retries::new();
        loop {
            match open(self, name, 0).await {
                Ok((content, stream)) => {
                    return Ok(Download {
                        client: self.clone(),
                        name: name.to_owned(),
                        content,
                        received: 0,
                        hasher: Sha256::new(),
                        stream: Some(stream),
                        retries,
                    });
                }
                Err(status) => retries.wait(status, 0).await?,
            }
        }
    }
}

impl Download {
    /// What it will be.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The next bytes. There are no more once all have come and their hash is right: only then is what
    /// was fetched before to be trusted.
    ///
    /// # Errors
    /// Where the server refuses, the connection breaks again and again, or the content is not what was
    /// promised.
    pub async fn next_bytes(&mut self) -> Result<Option<Bytes>, TransferError> {
        loop {
            let next = match &mut self.stream {
                Some(stream) => stream.message().await,
                None => self.go_on().await?,
            };
            let ended = match next {
                Ok(Some(message)) => match message.message {
                    Some(Message::Data(bytes)) => return self.take(bytes).map(Some),
                    Some(Message::Header(_)) | None => continue,
                },
                Ok(None) if self.received >= self.size() => {
                    self.check()?;
                    return Ok(None);
                }
                Ok(None) => Status::unavailable("the server ended the content early"),
                Err(status) => status,
            };
            self.stream = None;
            self.retries.wait(ended, self.received).await?;
        }
    }

    /// Opens the stream again behind what has come.
    async fn go_on(
        &mut self,
    ) -> Result<Result<Option<DownloadContentResponse>, Status>, TransferError> {
        let (content, stream) = match open(&self.client, &self.name, self.received).await {
            Ok(opened) => opened,
            Err(status) => return Ok(Err(status)),
        };
        if content.sha256 != self.content.sha256 || content.size != self.content.size {
            return Err(TransferError::Changed);
        }
        Ok(self.stream.insert(stream).message().await)
    }

    fn take(&mut self, bytes: Bytes) -> Result<Bytes, TransferError> {
        self.hasher.update(&bytes);
        self.received += bytes.len() as u64;
        if self.received > self.size() {
            self.check()?;
        }
        Ok(bytes)
    }

    fn check(&self) -> Result<(), TransferError> {
        let sha256 = hex(&self.hasher.clone().finalize());
        if self.received == self.size() && sha256 == self.content.sha256 {
            return Ok(());
        }
        Err(TransferError::Damaged {
            expected: self.content.clone(),
            received: self.received,
            sha256,
        })
    }

    fn size(&self) -> u64 {
        u64::try_from(self.content.size).unwrap_or_default()
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("name", &self.name)
            .field("content", &self.content)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// The header, and the stream behind it.
async fn open(
    client: &Client,
    name: &str,
    offset: u64,
) -> Result<(Content, Streaming<DownloadContentResponse>), Status> {
    let request = DownloadContentRequest {
        name: name.to_owned(),
        offset: i64::try_from(offset).unwrap_or(i64::MAX),
    };
    let mut stream = client
        .documents()
        .download_content(request)
        .await?
        .into_inner();
    let first = stream.message().await?;
    match first.and_then(|first| first.message) {
        Some(Message::Header(content)) => Ok((content, stream)),
        Some(Message::Data(_)) | None => Err(Status::internal(
            "the server did not say what content it sends",
        )),
    }
}
