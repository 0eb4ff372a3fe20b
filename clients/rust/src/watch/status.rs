//! Follows the status.

use std::sync::Arc;

use async_stream::stream;
use futures_util::{Stream, StreamExt as _, pin_mut};
use tokio::sync::mpsc;
use tonic::Streaming;

use super::{
    Follow, Interruption, WatchError,
    resume::{Content, Envelope, OnClose, resuming},
};
use crate::{
    client::Client,
    pb::{Status, WatchStatusRequest, WatchStatusResponse},
};

/// What is known of a server that is watched.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusNews {
    /// The whole status. It comes with each change, and every 15 s without one.
    Known(Box<Status>),
    /// The server was lost, and is asked again: until the next status, how it is is not known. The last one
    /// that it told is no answer.
    Unknown(Interruption),
}

impl Client {
    /// Follows the status: now, with each change, and each time that the server is lost. Each status is whole, so that
    /// nothing is missed by opening the stream again.
    ///
    /// # Errors
    /// The last item is an error where waiting does not mend it; see [`WatchError`].
    pub fn watch_status(
        &self,
        mut follow: Follow,
    ) -> impl Stream<Item = Result<StatusNews, WatchError>> + Send + use<> {
        let client = self.clone();
        // One that waits to be read says all that a further one would: that nothing is known.
        let (lost, mut losses) = mpsc::channel(1);
        let listener = follow.on_interruption.take();
        follow.on_interruption = Some(Arc::new(move |interruption: &Interruption| {
            let _ = lost.try_send(interruption.clone());
            if let Some(listener) = &listener {
                listener(interruption);
            }
        }));
        let messages = resuming(String::new(), OnClose::Resume, follow, move |_| {
            let mut scheduler = client.scheduler();
            async move {
                let response = scheduler.watch_status(WatchStatusRequest {}).await?;
                Ok::<Streaming<_>, _>(response.into_inner())
            }
        });
        stream! {
            pin_mut!(messages);
            loop {
                tokio::select! {
                    // A loss comes before what is told after it.
                    biased;
                    Some(lost) = losses.recv() => yield Ok(StatusNews::Unknown(lost)),
                    message = messages.next() => match message {
                        Some(Ok(WatchStatusResponse { status: Some(status), .. })) => {
                            yield Ok(StatusNews::Known(Box::new(status)));
                        }
                        Some(Ok(_)) => {}
                        Some(Err(error)) => {
                            yield Err(error);
                            return;
                        }
                        None => return,
                    },
                }
            }
        }
    }
}

impl Envelope for WatchStatusResponse {
    /// None: each status is whole.
    fn resume_token(&self) -> &str {
        ""
    }

    fn into_content(self) -> Content<Self> {
        match self.end {
            Some(end) => Content::End(end),
            None if self.status.is_some() => Content::Payload(self),
            None => Content::Heartbeat(None),
        }
    }
}
