//! Follows the log of a run.

use std::future::ready;

use futures_util::{Stream, StreamExt as _};
use tonic::Streaming;

use super::{
    Follow, WatchError,
    resume::{Content, Envelope, OnClose, resuming},
};
use crate::{
    client::Client,
    pb::{LogLine, TailRunLogRequest, TailRunLogResponse, tail_run_log_response::Message},
};

impl Client {
    /// The log lines of the run `name`, in chunks: those there are and, if `keep_following`, those
    /// to come until the run has ended.
    ///
    /// # Errors
    /// The last item is an error where waiting does not mend it; see [`WatchError`].
    pub fn tail_run_log(
        &self,
        name: &str,
        keep_following: bool,
        follow: Follow,
    ) -> impl Stream<Item = Result<Vec<LogLine>, WatchError>> + Send + use<> {
        let client = self.clone();
        let name = name.to_owned();
        let on_close = if keep_following {
            OnClose::Resume
        } else {
            OnClose::Finish
        };
        let messages = resuming(String::new(), on_close, follow, move |resume_token| {
            let mut runs = client.runs();
            let request = TailRunLogRequest {
                name: name.clone(),
                resume_token,
                follow: keep_following,
            };
            async move {
                let response = runs.tail_run_log(request).await?;
                Ok::<Streaming<_>, _>(response.into_inner())
            }
        });
        new_lines(messages)
    }
}

/// The lines, without those that went by before and without empty chunks.
fn new_lines(
    messages: impl Stream<Item = Result<TailRunLogResponse, WatchError>> + Send,
) -> impl Stream<Item = Result<Vec<LogLine>, WatchError>> + Send {
    // Lines come in order, so the last one says which were seen.
    let mut last = (0, 0);
    messages.filter_map(move |message| {
        let lines = message.map(|message| {
            let mut lines = lines_of(message);
            lines.retain(|line| (line.attempt, line.line) > last);
            if let Some(line) = lines.last() {
                last = (line.attempt, line.line);
            }
            lines
        });
        ready(match lines {
            Ok(lines) if lines.is_empty() => None,
            other => Some(other),
        })
    })
}

fn lines_of(message: TailRunLogResponse) -> Vec<LogLine> {
    match message.message {
        Some(Message::Chunk(chunk)) => chunk.lines,
        Some(Message::Heartbeat(_) | Message::End(_)) | None => Vec::new(),
    }
}

impl Envelope for TailRunLogResponse {
    fn resume_token(&self) -> &str {
        &self.resume_token
    }

    fn into_content(self) -> Content<Self> {
        match self.message {
            Some(Message::End(end)) => Content::End(end),
            Some(Message::Heartbeat(beat)) => Content::Heartbeat(Some(beat)),
            None => Content::Heartbeat(None),
            Some(Message::Chunk(_)) => Content::Payload(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::pb::LogChunk;

    fn chunk(lines: &[(i32, i64)]) -> Result<TailRunLogResponse, WatchError> {
        let lines = lines.iter().map(|&(attempt, line)| LogLine {
            attempt,
            line,
            ..LogLine::default()
        });
        Ok(TailRunLogResponse {
            message: Some(Message::Chunk(LogChunk {
                lines: lines.collect(),
            })),
            resume_token: String::new(),
            log_drop_time: None,
        })
    }

    #[tokio::test]
    async fn lines_that_went_by_are_dropped_and_a_new_attempt_counts_afresh() {
        let messages = stream::iter([
            chunk(&[(1, 1), (1, 2)]),
            chunk(&[(1, 1), (1, 2)]),
            chunk(&[(1, 2), (1, 3), (2, 1)]),
        ]);
        let shown: Vec<Vec<_>> = new_lines(messages)
            .map(|lines| {
                let lines = lines.unwrap();
                lines.iter().map(|l| (l.attempt, l.line)).collect()
            })
            .collect()
            .await;
        assert_eq!(shown, [vec![(1, 1), (1, 2)], vec![(1, 3), (2, 1)]]);
    }
}
