//! One stream made of many: opens it again where it left off.

use std::{future::Future, pin::Pin, time::Duration};

use async_stream::stream;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use super::{Follow, Interruption, Stall, WatchError};
use crate::{
    call::retry_after,
    pb::{Heartbeat, StreamEnd},
};

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
    /// None: a message of a kind that a newer server sends, which is a sign of life and no more.
    Heartbeat(Option<Heartbeat>),
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

/// Why there are no more messages of a stream.
enum Stop {
    Finished,
    Refused(WatchError),
    Broken(Broken),
}

enum Step<M> {
    Payload(M),
    Heartbeat(Option<Heartbeat>),
    Stop(Stop),
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
        let mut stalled = None;
        loop {
            let stop = match opened(open(token.clone()), follow.silence).await {
                Err(stop) => stop,
                Ok(mut messages) => loop {
                    match step(&mut messages, &mut token, follow.silence, on_close).await {
                        Step::Stop(stop) => break stop,
                        Step::Payload(message) => yield Ok(message),
                        Step::Heartbeat(None) => {}
                        Step::Heartbeat(Some(beat)) => tell_stall(&follow, &mut stalled, &beat),
                    }
                    // After the yield: the time that the consumer takes is not the server's silence.
                    alive_at = Instant::now();
                    follow.backoff.reset();
                },
            };
            let broken = match stop {
                Stop::Finished => return,
                Stop::Refused(refusal) => {
                    yield Err(refusal);
                    return;
                }
                Stop::Broken(broken) => broken,
            };
            match wait_after(broken, &mut follow, alive_at) {
                Ok(wait) => sleep(wait).await,
                Err(gave_up) => {
                    yield Err(gave_up);
                    return;
                }
            }
        }
    }
}

async fn opened<S>(
    opening: impl Future<Output = Result<S, Status>>,
    silence: Duration,
) -> Result<Pin<Box<S>>, Stop> {
    match timeout(silence, opening).await {
        Ok(Ok(messages)) => Ok(Box::pin(messages)),
        Ok(Err(status)) => Err(judge(status)),
        Err(_) => Err(Stop::failed("the server does not answer")),
    }
}

async fn step<M, S>(
    messages: &mut Pin<Box<S>>,
    token: &mut String,
    silence: Duration,
    on_close: OnClose,
) -> Step<M>
where
    M: Envelope,
    S: Stream<Item = Result<M, Status>>,
{
    let message = match timeout(silence, messages.next()).await {
        Ok(Some(Ok(message))) => message,
        Ok(Some(Err(status))) => return Step::Stop(judge(status)),
        Ok(None) if on_close == OnClose::Finish => return Step::Stop(Stop::Finished),
        Ok(None) => return Step::Stop(Stop::failed("the server closed the stream")),
        Err(_) => return Step::Stop(Stop::failed("the server fell silent")),
    };
    if !message.resume_token().is_empty() {
        message.resume_token().clone_into(token);
    }
    match message.into_content() {
        Content::Payload(payload) => Step::Payload(payload),
        Content::Heartbeat(beat) => Step::Heartbeat(beat),
        Content::End(end) => Step::Stop(ended(&end)),
    }
}

/// Tells whether the log stalls where that is another than before.
fn tell_stall(follow: &Follow, stalled: &mut Option<prost_types::Timestamp>, beat: &Heartbeat) {
    if *stalled == beat.stalled_since {
        return;
    }
    *stalled = beat.stalled_since;
    if let Some(listener) = &follow.on_stall {
        listener(&Stall {
            since: beat.stalled_since,
            as_of: beat.as_of,
        });
    }
}

/// How long to wait before the next attempt, which the listener hears, or that there is none.
fn wait_after(
    broken: Broken,
    follow: &mut Follow,
    alive_at: Instant,
) -> Result<Duration, WatchError> {
    if broken.orderly {
        follow.backoff.reset();
    }
    let hold_off = broken.hold_off.min(LONGEST_HOLD_OFF);
    let wait = follow.backoff.next_wait().max(hold_off);
    let cause = broken.cause;
    if let Some(after) = follow.give_up_after
        && alive_at.elapsed() + wait > after
    {
        return Err(WatchError::GaveUp { after, cause });
    }
    if let Some(listener) = &follow.on_interruption {
        listener(&Interruption { cause, wait });
    }
    Ok(wait)
}

fn ended(end: &StreamEnd) -> Stop {
    if matches!(end.reason.as_str(), "RUN_ENDED" | "UP_TO_DATE") {
        return Stop::Finished;
    }
    let hold_off = end
        .retry_after
        .and_then(|wait| Duration::try_from(wait).ok())
        .unwrap_or_default();
    Stop::Broken(Broken {
        cause: format!("the server ended the stream: {}", end.reason),
        hold_off,
        orderly: true,
    })
}

/// Whether waiting may mend it.
fn judge(status: Status) -> Stop {
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
        | Code::Aborted => Stop::Broken(Broken {
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
        | Code::DataLoss => Stop::Refused(WatchError::Refused(Box::new(status))),
    }
}

impl Stop {
    fn failed(cause: &str) -> Self {
        Self::Broken(Broken {
            cause: cause.to_owned(),
            hold_off: Duration::ZERO,
            orderly: false,
        })
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
