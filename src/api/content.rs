//! Contents on the wire: uploads, and downloads. Nothing is held but what is on its way.

use std::time::Duration;

use async_stream::try_stream;
use futures_util::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming, codegen::Bytes};

use super::{Api, Feed, Reply, caller, convert, deadline, status};
use crate::{
    domain::{document::key::Named, span},
    error::{Error, Result, all},
    pb::{
        self, download_content_response::Message as Sent,
        upload_content_request::Message as Received,
    },
    records::{NewContent, Uploaded, check_texts},
};

/// Bytes of a message of an upload.
const CHUNK_MAX: usize = 1 << 20;
/// An upload of which nothing comes for so long has ended.
const IDLE_FOR: Duration = Duration::from_secs(60);

impl Api {
    pub(super) async fn answer_get_upload(
        &self,
        request: pb::GetUploadRequest,
    ) -> Reply<pb::GetUploadResponse> {
        let received = self.documents.upload_received(&request.sha256).await?;
        Ok(Response::new(pb::GetUploadResponse {
            complete: received.complete,
            received_bytes: i64::try_from(received.bytes).unwrap_or(i64::MAX),
        }))
    }

    pub(super) async fn answer_upload(
        &self,
        request: Request<Streaming<pb::UploadContentRequest>>,
    ) -> Reply<pb::UploadContentResponse> {
        let who = caller(&request)?;
        let mut incoming = Incoming {
            messages: request.into_inner(),
            stop: self.stop.clone(),
        };
        let header = incoming.header().await?;
        let new = new_content(header)?;
        let done = self.documents.upload(&who, new, incoming.chunks()).await?;
        let Uploaded { content, document } = done;
        Ok(Response::new(pb::UploadContentResponse {
            content: Some(convert::content(&content)),
            document: document.as_ref().map(convert::document),
        }))
    }

    pub(super) async fn answer_download(
        &self,
        request: Request<pb::DownloadContentRequest>,
    ) -> Reply<Feed<pb::DownloadContentResponse>> {
        let listens = deadline::for_stream(request.metadata().as_ref());
        let request = request.into_inner();
        let named = Named::resource("name", &request.name)?;
        let offset = not_negative("offset", request.offset)?;
        let (content, pieces) = self.documents.download(&named, offset).await?;
        let stop = self.stop.clone();
        let message = |message| pb::DownloadContentResponse {
            message: Some(message),
        };
        Ok(Response::new(Box::pin(try_stream! {
            yield message(Sent::Header(convert::content(&content)));
            let mut pieces = std::pin::pin!(pieces);
            let mut over = std::pin::pin!(tokio::time::sleep(listens));
            loop {
                let piece = tokio::select! {
                    piece = pieces.next() => piece.transpose().map_err(Status::from),
                    () = &mut over => Err(status::download_over(listens)),
                    () = stop.cancelled() => Err(draining().into()),
                };
                let Some(piece) = piece? else { return };
                yield message(Sent::Data(Bytes::from(piece)));
            }
        })))
    }
}

/// What comes of an upload.
struct Incoming {
    messages: Streaming<pb::UploadContentRequest>,
    stop: CancellationToken,
}

impl Incoming {
    async fn header(&mut self) -> Result<pb::UploadHeader> {
        match self.next().await? {
            Some(Received::Header(header)) => Ok(header),
            Some(Received::Data(_)) | None => Err(Error::invalid(
                "header",
                "expected as the first message, before any data",
            )),
        }
    }

    fn chunks(mut self) -> impl Stream<Item = Result<Bytes>> + Send {
        try_stream! {
            while let Some(message) = self.next().await? {
                match message {
                    Received::Data(data) if data.len() <= CHUNK_MAX => yield data,
                    Received::Data(data) => {
                        let what = format!(
                            "{} bytes in one message; expected at most {CHUNK_MAX}",
                            data.len()
                        );
                        Err(Error::invalid("data", what))?;
                    }
                    Received::Header(_) => {
                        Err(Error::invalid("header", "expected once, as the first message"))?;
                    }
                }
            }
        }
    }

    /// What the next message carries; none where the caller has sent all.
    async fn next(&mut self) -> Result<Option<Received>> {
        let message = tokio::select! {
            message = tokio::time::timeout(IDLE_FOR, self.messages.message()) => message,
            () = self.stop.cancelled() => return Err(draining()),
        };
        let Ok(message) = message else {
            let what = format!("nothing came for {}", span::format(IDLE_FOR));
            return Err(Error::unavailable("the rest of the upload", what));
        };
        let Some(message) = message.map_err(broken)? else {
            return Ok(None);
        };
        let empty = || Error::invalid("message", "expected a header or data");
        message.message.map(Some).ok_or_else(empty)
    }
}

/// What a stream that ends badly is to its caller, if there still is one.
fn broken(status: Status) -> Error {
    match status.code() {
        // A message that is too large, or is none.
        Code::OutOfRange | Code::ResourceExhausted | Code::Internal | Code::Unimplemented => {
            Error::invalid("message", status.message())
        }
        _ => Error::unavailable("the rest of the upload", status),
    }
}

fn draining() -> Error {
    Error::unavailable(
        "the server",
        "it is draining: go on from where this ended, on another or later",
    )
}

fn new_content(header: pb::UploadHeader) -> Result<NewContent> {
    let document = match header.document.as_str() {
        "" => Ok(None),
        name => Named::resource("header.document", name).map(Some),
    };
    let size = header.size.map(|size| not_negative("header.size", size));
    let (document, size, offset, ()) = all((
        document,
        size.transpose(),
        not_negative("header.offset", header.offset),
        check_texts(&header.sha256, &header.actor, &header.file_name),
    ))?;
    Ok(NewContent {
        document,
        actor: header.actor,
        sha256: header.sha256,
        size,
        offset,
        file_name: header.file_name,
    })
}

fn not_negative(field: &str, value: i64) -> Result<u64> {
    u64::try_from(value)
        .map_err(|_| Error::invalid(field, format!("{value} given; expected 0 or more")))
}
