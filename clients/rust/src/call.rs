//! Unary calls: a deadline, a second try where the transport failed, and the id that makes the
//! second try safe.

use std::{error::Error as _, time::Duration};

use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::backoff::Backoff;

/// How long a unary call may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

const ATTEMPTS: u32 = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A new `request_id`: the server answers a repeated one with its first answer.
#[must_use]
pub fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// Sends `message` within [`DEADLINE`], up to three times while the transport fails.
///
/// A mutation must carry a [`request_id`], or a repeated call may do its work twice.
///
/// # Errors
/// The last status, where no attempt succeeded.
pub async fn unary<M, R>(
    message: M,
    send: impl AsyncFnMut(Request<M>) -> Result<Response<R>, Status>,
) -> Result<R, Status>
where
    M: Clone,
{
    unary_within(DEADLINE, message, send).await
}

/// The same with another deadline, for calls that wait on purpose.
///
/// # Errors
/// The last status, where no attempt succeeded.
pub async fn unary_within<M, R>(
    deadline: Duration,
    message: M,
    mut send: impl AsyncFnMut(Request<M>) -> Result<Response<R>, Status>,
) -> Result<R, Status>
where
    M: Clone,
{
    let mut backoff = Backoff::new(Duration::from_millis(200), LONGEST_WAIT);
    let mut attempt = 1;
    loop {
        let mut request = Request::new(message.clone());
        request.set_timeout(deadline);
        match send(request).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if attempt < ATTEMPTS && transport_failed(&status) => {
                let wished = retry_after(&status).unwrap_or_default();
                tokio::time::sleep(backoff.next_wait().max(wished).min(LONGEST_WAIT)).await;
                attempt += 1;
            }
            Err(status) => return Err(status),
        }
    }
}

/// What the server says about when to come back.
#[must_use]
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Whether a stream ended because the connection did, so that going on where it stopped may work. That is
/// UNKNOWN, INTERNAL or CANCELLED, depending on the frame that was under way; but those are answers where
/// the server sent them.
#[must_use]
pub fn broke_off(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => true,
        Code::Unknown | Code::Internal | Code::Cancelled => status.source().is_some(),
        Code::Ok
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// Whether the call may not have reached the server. A status that the server sent has no source;
/// tonic makes one of a broken connection.
fn transport_failed(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => true,
        // Also one that said that it goes as the call was about to be sent.
        Code::Unknown | Code::Internal => status.source().is_some(),
        // A connection that reached its age when the call was about to be sent; or the caller's own time is over.
        Code::Cancelled => status.source().is_some() && !is_given_up(status),
        Code::Ok
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// Whether the caller waits for it no longer.
fn is_given_up(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::TimeoutExpired>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_not_sent_is_sent_again_and_one_that_was_given_up_is_not() {
        let of = |mut status: Status, source: Box<dyn std::error::Error + Send + Sync>| {
            status.set_source(std::sync::Arc::from(source));
            transport_failed(&status)
        };
        let cancelled = || Status::cancelled("operation was canceled");
        assert!(of(cancelled(), "connection closed".into()));
        assert!(!of(cancelled(), tonic::TimeoutExpired(()).into()));
        assert!(!transport_failed(&Status::cancelled("by the server")));
        let internal = || Status::internal("h2 protocol error: http2 error");
        assert!(of(internal(), "it goes away".into()));
        assert!(!transport_failed(&internal()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unavailable_server_is_asked_again_with_the_same_message() {
        let mut seen = Vec::new();
        let answer = unary("id-1", async |request: Request<&str>| {
            seen.push(request.into_inner());
            if seen.len() < 3 {
                return Err(Status::unavailable("draining"));
            }
            Ok(Response::new(7))
        })
        .await;
        assert_eq!(answer.unwrap(), 7);
        assert_eq!(seen, ["id-1"; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_asked_again() {
        let mut calls = 0;
        let answer = unary((), async |_| {
            calls += 1;
            Err::<Response<()>, _>(Status::not_found("no such task"))
        })
        .await;
        assert_eq!(answer.unwrap_err().code(), Code::NotFound);
        assert_eq!(calls, 1);
    }

    #[test]
    fn request_ids_differ_and_fit() {
        assert_ne!(request_id(), request_id());
        assert!(request_id().len() <= 128);
    }
}
