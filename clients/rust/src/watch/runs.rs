//! Follows runs.

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
    pb::{Run, WatchRunsRequest, WatchRunsResponse, watch_runs_response::Message},
};

impl Client {
    /// Follows the runs that `filter` names: a snapshot, then every change. Yields messages that
    /// hold a snapshot, its end, or an event; heartbeats and ends are dealt with, and versions of a
    /// run that were yielded before are dropped. Ends when a single run that is watched has ended.
    ///
    /// # Errors
    /// The last item is an error where waiting does not mend it; see [`WatchError`].
    pub fn watch_runs(
        &self,
        filter: WatchRunsRequest,
        follow: Follow,
    ) -> impl Stream<Item = Result<WatchRunsResponse, WatchError>> + Send + use<> {
        let client = self.clone();
        let token = filter.resume_token.clone();
        let messages = resuming(token, OnClose::Resume, follow, move |resume_token| {
            let mut runs = client.runs();
            let request = WatchRunsRequest {
                resume_token,
                ..filter.clone()
            };
            async move {
                let response = runs.watch_runs(request).await?;
                Ok::<Streaming<_>, _>(response.into_inner())
            }
        });
        only_news(messages)
    }
}

/// Drops messages about versions of a run that went by before.
fn only_news(
    messages: impl Stream<Item = Result<WatchRunsResponse, WatchError>> + Send,
) -> impl Stream<Item = Result<WatchRunsResponse, WatchError>> + Send {
    let mut seen = SeenVersions::new();
    messages.filter(move |message| {
        let run = message.as_ref().ok().and_then(run_of);
        ready(run.is_none_or(|run| seen.is_news(&run.name, run.version)))
    })
}

/// The run that the message is about, where it is about one.
#[must_use]
fn run_of(response: &WatchRunsResponse) -> Option<&Run> {
    match response.message.as_ref()? {
        Message::Snapshot(run) => Some(run),
        Message::Event(event) => event.run.as_ref(),
        Message::SnapshotEnd(_) | Message::Heartbeat(_) | Message::End(_) => None,
    }
}

impl Envelope for WatchRunsResponse {
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
    use crate::pb::{RunEvent, SnapshotEnd};

    fn run(version: i64) -> Run {
        Run {
            name: "tasks/a/runs/1".into(),
            version,
            ..Run::default()
        }
    }

    fn item(message: Message) -> Result<WatchRunsResponse, WatchError> {
        Ok(WatchRunsResponse {
            message: Some(message),
            resume_token: String::new(),
        })
    }

    fn event(version: i64) -> Result<WatchRunsResponse, WatchError> {
        item(Message::Event(RunEvent {
            run: Some(run(version)),
            ..RunEvent::default()
        }))
    }

    #[tokio::test]
    async fn versions_that_the_snapshot_showed_are_dropped() {
        let messages = stream::iter([
            item(Message::Snapshot(run(3))),
            item(Message::SnapshotEnd(SnapshotEnd { count: 1 })),
            event(2),
            event(3),
            event(4),
            event(4),
        ]);
        let kept: Vec<_> = only_news(messages).map(Result::unwrap).collect().await;
        let versions: Vec<_> = kept
            .iter()
            .map(|kept| run_of(kept).map(|r| r.version))
            .collect();
        assert_eq!(versions, [Some(3), None, Some(4)]);
    }
}
