//! How long a call may take: what its caller says, and a bound where it says nothing.
//!
//! tonic stops counting at the response headers, so streams keep their own time: [`for_stream`].

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{Request, codegen::http::HeaderMap};

use crate::door::Call;

/// What a unary call may take whose caller names no time: longer than any that goes well.
const DEFAULT: Duration = Duration::from_secs(30);
/// The longest wait that `WaitRun` takes.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(300);
/// What `WaitRun` gets besides, to answer.
const WAIT_SLACK: Duration = Duration::from_secs(30);
/// The longest that an upload takes.
const UPLOAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A call ends this much before its caller gives up, so that its last word still arrives.
const BEFORE: Duration = Duration::from_millis(200);
/// The longest that is counted: a year is for ever to a call, and timers hold it.
const FOR_EVER: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How long a call to `method` (`package.Service/Method`) may take until it is answered.
pub(super) fn for_answer(method: &str, headers: &HeaderMap) -> Duration {
    let (own, most) = match method.rsplit('/').next() {
        Some("WaitRun") => (WAIT_MAX + WAIT_SLACK, WAIT_MAX + WAIT_SLACK),
        // As long as bytes come: it is answered after the last of them.
        Some("UploadContent") => (UPLOAD_MAX, UPLOAD_MAX),
        _ => (DEFAULT, WAIT_MAX + WAIT_SLACK),
    };
    // Until its headers, a stream is a call like another.
    asked(headers).map_or(own, |asked| soon(asked).min(most))
}

/// How long a stream goes on, or a wait: until just before its caller gives up.
pub(super) fn for_stream(headers: &HeaderMap) -> Duration {
    asked(headers).map_or(FOR_EVER, soon)
}

/// How long a watch goes on: until just before its caller gives up, or its connection has to go.
#[derive(Debug)]
pub(super) struct Listens {
    limit: Duration,
    aged: Option<CancellationToken>,
}

impl Listens {
    /// How long the watch goes on that `request` asks for.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let call = request.extensions().get::<Call>();
        Self {
            limit: for_stream(request.metadata().as_ref()),
            aged: call.map(|call| call.aged().clone()),
        }
    }

    #[cfg(test)]
    pub(super) fn until(limit: Duration) -> Self {
        Self { limit, aged: None }
    }

    /// Completes when it is over, and says why.
    pub(super) async fn over(self) -> &'static str {
        let aged = async {
            match &self.aged {
                Some(aged) => aged.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(self.limit) => "DEADLINE",
            () = aged => CONNECTION_AGE,
        }
    }
}

/// Why a stream ends whose connection has reached its age: the next will be on another.
pub(super) const CONNECTION_AGE: &str = "CONNECTION_AGE";

/// Somewhat earlier, but never so much that nothing is left of a short time.
fn soon(asked: Duration) -> Duration {
    asked.saturating_sub(BEFORE.min(asked / 4))
}

/// `grpc-timeout`: up to eight digits and a unit. What cannot be read is as if it were not there.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let header = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = header.split_at_checked(header.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    let span = match unit {
        "H" => Duration::from_secs(number.checked_mul(3600)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(span.min(FOR_EVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saying(timeout: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", timeout.parse().unwrap());
        headers
    }

    #[test]
    fn a_call_takes_what_its_caller_says_or_the_default() {
        let get = "watchbell.v1.TaskService/GetTask";
        assert_eq!(for_answer(get, &HeaderMap::new()), DEFAULT);
        assert_eq!(for_answer(get, &saying("2S")), Duration::from_millis(1800));
        assert_eq!(for_answer(get, &saying("nonsense")), DEFAULT);
        assert!(for_answer(get, &saying("99999999H")) <= WAIT_MAX + WAIT_SLACK);
        let wait = "watchbell.v1.RunService/WaitRun";
        assert!(WAIT_MAX < for_answer(wait, &HeaderMap::new()));
        let upload = "watchbell.v1.DocumentService/UploadContent";
        assert_eq!(for_answer(upload, &HeaderMap::new()), UPLOAD_MAX);
        assert!(WAIT_MAX < for_answer(upload, &saying("2H")));
    }

    #[test]
    fn a_stream_ends_just_before_its_caller_gives_up() {
        assert_eq!(for_stream(&saying("700m")), Duration::from_millis(525));
        assert_eq!(for_stream(&saying("1M")), Duration::from_millis(59_800));
        assert_eq!(for_stream(&HeaderMap::new()), FOR_EVER);
        assert!(for_stream(&saying("99999999H")) <= FOR_EVER);
    }
}
