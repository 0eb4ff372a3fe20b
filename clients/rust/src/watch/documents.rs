//! Follows documents.

use std::future::ready;

use futures_util::{Stream, StreamExt as _};
use tonic::Streaming;

use super::{
    Follow, WatchError,
    resume::{Content, Envelope, OnClose, resuming},
    seen::SeenVersions,
};
use crate::{
    client::Client,
    pb::{
        Document, WatchDocumentsRequest, WatchDocumentsResponse, watch_documents_response::Message,
    },
};

impl Client {
    /// Follows the documents that `filter` names: a snapshot, then every change. Yields messages that
    /// hold a snapshot, its end, or an event; heartbeats and ends are dealt with, and revisions of a
    /// document that were yielded before are dropped.
    ///
    /// # Errors
    /// The last item is an error where waiting does not mend it; see [`WatchError`].
    pub fn watch_documents(
        &self,
        filter: WatchDocumentsRequest,
        follow: Follow,
    ) -> impl Stream<Item = Result<WatchDocumentsResponse, WatchError>> + Send + use<> {
        let client = self.clone();
        let token = filter.resume_token.clone();
        let seen = match filter.whole_snapshot {
            true => SeenVersions::of_whole(),
            false => SeenVersions::new(),
        };
        let messages = resuming(token, OnClose::Resume, follow, move |resume_token| {
            let mut documents = client.documents();
            let request = WatchDocumentsRequest {
                resume_token,
                ..filter.clone()
            };
            async move {
                let response = documents.watch_documents(request).await?;
                Ok::<Streaming<_>, _>(response.into_inner())
            }
        });
        only_news(messages, seen)
    }
}

/// Drops messages about revisions of a document that went by before.
fn only_news(
    messages: impl Stream<Item = Result<WatchDocumentsResponse, WatchError>> + Send,
    mut seen: SeenVersions,
) -> impl Stream<Item = Result<WatchDocumentsResponse, WatchError>> + Send {
    messages.filter(move |message| {
        let document = message.as_ref().ok().and_then(document_of);
        ready(document.is_none_or(|document| seen.is_news(&document.name, document.revision)))
    })
}

/// The document that the message is about, where it is about one.
#[must_use]
fn document_of(response: &WatchDocumentsResponse) -> Option<&Document> {
    match response.message.as_ref()? {
        Message::Snapshot(document) => Some(document),
        Message::Event(event) => event.document.as_ref(),
        Message::SnapshotEnd(_) | Message::Heartbeat(_) | Message::End(_) => None,
    }
}

impl Envelope for WatchDocumentsResponse {
    fn resume_token(&self) -> &str {
        &self.resume_token
    }

    fn into_content(self) -> Content<Self> {
        match self.message {
            Some(Message::End(end)) => Content::End(end),
            // A message of a kind that a newer server sends is a sign of life, and no more.
            None => Content::Heartbeat(None),
            Some(Message::Heartbeat(beat)) => Content::Heartbeat(Some(beat)),
            Some(Message::Snapshot(_) | Message::SnapshotEnd(_) | Message::Event(_)) => {
                Content::Payload(self)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::pb::{DocumentEvent, SnapshotEnd};

    fn document(revision: i64) -> Document {
        Document {
            name: "documents/SOP-1@1.0".into(),
            revision,
            ..Document::default()
        }
    }

    fn item(message: Message) -> Result<WatchDocumentsResponse, WatchError> {
        Ok(WatchDocumentsResponse {
            message: Some(message),
            resume_token: String::new(),
        })
    }

    fn event(revision: i64) -> Result<WatchDocumentsResponse, WatchError> {
        item(Message::Event(DocumentEvent {
            document: Some(document(revision)),
            ..DocumentEvent::default()
        }))
    }

    #[tokio::test]
    async fn revisions_that_the_snapshot_showed_are_dropped() {
        let messages = stream::iter([
            item(Message::Snapshot(document(3))),
            item(Message::SnapshotEnd(SnapshotEnd { count: 1 })),
            event(2),
            event(3),
            event(4),
            event(4),
        ]);
        let kept: Vec<_> = only_news(messages, SeenVersions::new())
            .map(Result::unwrap)
            .collect()
            .await;
        let revisions: Vec<_> = kept
            .iter()
            .map(|kept| document_of(kept).map(|document| document.revision))
            .collect();
        assert_eq!(revisions, [Some(3), None, Some(4)]);
    }
}
