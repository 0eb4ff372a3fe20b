//! One stream made of many: opens it again where it left off.

use std::{future::Future, pin::Pin, time::Duration};

use async_stream::stream;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use super::{Follow, Interruption, WatchError};
use crate::{call::retry_after, pb::StreamEnd};

/// The server may not hold a watch off for longer than this.
const LONGEST_HOLD_OFF: Duration = Duration::from_secs(60);

/// What a message of a watch is, apart from its payload.
pub(super) trait Envelope: Send + 'static {
    fn resume_token(&self) -> &str;
    fn into_content(self) -> Content<Self>
    where
        Self: Sized;
}

pub(super) enum Content<M> {
    Payload(M),
    Heartbeat,
    End(StreamEnd),
}

/// What a stream that ends without an `end` message means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnClose {
    Resume,
    Finish,
}

/// Why a stream stopped, and what the server wished.
struct Broken {
    cause: String,
    hold_off: Duration,
    /// The server said goodbye, so it is no failure and needs no growing wait.
    orderly: bool,
}

enum Step<M> {
    Payload(M),
    Heartbeat,
    Finished,
    Broken(Broken),
    Refused(Status),
}

/// The payloads of the stream that `open` opens at a resume token, again and again.
pub(super) fn resuming<M, S, Open, Opening>(
    mut token: String,
    on_close: OnClose,
    mut follow: Follow,
    mut open: Open,
) -> impl Stream<Item = Result<M, WatchError>> + Send
where
    M: Envelope,
    S: Stream<Item = Result<M, Status>> + Send,
    Open: FnMut(String) -> Opening + Send,
    Opening: Future<Output = Result<S, Status>> + Send,
{
    stream! {
        let mut alive_at = Instant::now();
        loop {
            let broken = 'stream: {
                let messages = match timeout(follow.silence, open(token.clone())).await {
                    Ok(Ok(messages)) => messages,
                    Ok(Err(status)) => match judge(status) {
                        Ok(broken) => break 'stream broken,
                        Err(refusal) => {
                            yield Err(refusal);
                            return;
                        }
                    },
                    Err(_) => break 'stream Broken::failed("the server does not answer"),
                };
                let mut messages = Box::pin(messages);
                loop {
                    match step(&mut messages, &mut token, &follow, on_close).await {
                        Step::Payload(message) => {
                            alive_at = Instant::now();
                            follow.backoff.reset();
                            yield Ok(message);
                            // The consumer may take its time; that is not the server's silence.
                            alive_at = alive_at.max(Instant::now());
                        }
                        Step::Heartbeat => {
                            alive_at = Instant::now();
                            follow.backoff.reset();
                        }
                        Step::Finished => return,
                        Step::Refused(status) => match judge(status) {
                            Ok(broken) => break 'stream broken,
                            Err(refusal) => {
                                yield Err(refusal);
                                return;
                            }
                        },
                        Step::Broken(broken) => break 'stream broken,
                    }
                }
            };
            if broken.orderly {
                follow.backoff.reset();
            }
            let wait = follow.backoff.next_wait().max(broken.hold_off.min(LONGEST_HOLD_OFF));
            if let Some(after) = follow.give_up_after
                && alive_at.elapsed() + wait > after
            {
                yield Err(WatchError::GaveUp { after, cause: broken.cause });
                return;
            }
            if let Some(listener) = &follow.on_interruption {
                listener(&Interruption { cause: broken.cause, wait });
            }
            sleep(wait).await;
        }
    }
}

async fn step<M, S>(
    messages: &mut Pin<Box<S>>,
    token: &mut String,
    follow: &Follow,
    on_close: OnClose,
) -> Step<M>
where
    M: Envelope,
    S: Stream<Item = Result<M, Status>>,
{
    let message = match timeout(follow.silence, messages.next()).await {
        Ok(Some(Ok(message))) => message,
        Ok(Some(Err(status))) => return Step::Refused(status),
        Ok(None) if on_close == OnClose::Finish => return Step::Finished,
        Ok(None) => return Step::Broken(Broken::failed("the server closed the stream")),
        Err(_) => return Step::Broken(Broken::failed("the server fell silent")),
    };
    if !message.resume_token().is_empty() {
        message.resume_token().clone_into(token);
    }
    match message.into_content() {
        Content::Payload(payload) => Step::Payload(payload),
        Content::Heartbeat => Step::Heartbeat,
        Content::End(end) => ended(&end),
    }
}

fn ended<M>(end: &StreamEnd) -> Step<M> {
    if matches!(end.reason.as_str(), "RUN_ENDED" | "UP_TO_DATE") {
        return Step::Finished;
    }
    let hold_off = end
        .retry_after
        .and_then(|wait| Duration::try_from(wait).ok())
        .unwrap_or_default();
    Step::Broken(Broken {
        cause: format!("the server ended the stream: {}", end.reason),
        hold_off,
        orderly: true,
    })
}

/// Whether waiting may mend it.
fn judge(status: Status) -> Result<Broken, WatchError> {
    match status.code() {
        // Not only UNAVAILABLE: a connection that breaks within a stream is UNKNOWN, INTERNAL or
        // CANCELLED, depending on the frame that was under way.
        Code::Ok
        | Code::Unavailable
        | Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted => Ok(Broken {
            hold_off: retry_after(&status).unwrap_or_default(),
            cause: format!("{}: {}", status.code().description(), status.message()),
            orderly: false,
        }),
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::DataLoss => Err(WatchError::Refused(Box::new(status))),
    }
}

impl Broken {
    fn failed(cause: &str) -> Self {
        Self {
            cause: cause.to_owned(),
            hold_off: Duration::ZERO,
            orderly: false,
        }
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
