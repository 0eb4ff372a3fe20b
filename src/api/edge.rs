//! What every call passes on its way in and out: its deadline, and its span.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tonic::{
    Status,
    body::Body,
    codegen::{Body as HttpBody, Bytes, Service, StdError, http},
    server::NamedService,
};
use tracing::{
    Instrument as _, debug,
    field::{self, Empty},
    info_span,
};

use super::{deadline, status};
use crate::{clock::Stopwatch, door::Call, error::Error};

/// A service whose calls always end, and are traced.
#[derive(Clone, Debug)]
pub(super) struct Edge<S> {
    inner: S,
}

impl<S> Edge<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: NamedService> NamedService for Edge<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<http::Request<Body>> for Edge<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if is_sent_plain(request.uri().path()) {
            request.headers_mut().remove("grpc-accept-encoding");
        }
        let method = request.uri().path().trim_start_matches('/');
        let limit = deadline::for_answer(method, request.headers());
        let span = info_span!(
            "rpc",
            rpc.method = method,
            rpc.peer = Empty,
            rpc.principal = Empty
        );
        if let Some(call) = request.extensions().get::<Call>() {
            span.record("rpc.peer", field::display(call.peer()));
        }
        let answer = span.in_scope(|| self.inner.call(request));
        let watch = Stopwatch::start();
        let answered = async move {
            let answer = AssertUnwindSafe(answer).catch_unwind();
            let answered = match tokio::time::timeout(limit, answer).await {
                Ok(Ok(answered)) => answered.map(|response| response.map(Body::new)),
                // The caller hears of it, too: else its stream would be reset without a word.
                Ok(Err(_)) => {
                    Ok(Status::from(Error::internal("the call's handler panicked")).into_http())
                }
                Err(_) => Ok(status::deadline_exceeded(limit).into_http()),
            };
            // A refusal stands in the headers; what succeeded tells its code after the body.
            if let Ok(response) = &answered {
                let code = response.headers().get("grpc-status");
                let code = code.and_then(|code| code.to_str().ok()).unwrap_or("0");
                debug!(rpc.code = code, elapsed = ?watch.elapsed(), "answered");
            }
            answered
        };
        Box::pin(answered.instrument(span))
    }
}

/// A watch's messages are small and many, and compressed one by one: that costs more than it saves. What is in
/// documents mostly is compressed already.
fn is_sent_plain(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| {
        let is_of_bytes = matches!(name, "DownloadContent" | "ReadRestorePointFile");
        name.starts_with("Watch") || is_of_bytes
    })
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_call_that_hangs_ends_before_its_caller_gives_up() {
        let hangs = service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, Infallible>>()
        });
        let request = http::Request::builder()
            .uri("/watchbell.v1.TaskService/GetTask")
            .header("grpc-timeout", "50m")
            .body(Body::empty())
            .unwrap();

        let response = Edge::new(hangs).oneshot(request).await.unwrap();

        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("DEADLINE", "watchbell")
        );
    }

    #[tokio::test]
    async fn a_call_that_panics_is_answered() {
        let panics = service_fn(|request: http::Request<Body>| async move {
            let text = request.uri().query();
            Ok::<_, Infallible>(http::Response::new(Body::new(text.unwrap().to_owned())))
        });
        let request = http::Request::builder()
            .uri("/watchbell.v1.TaskService/GetTask")
            .body(Body::empty())
            .unwrap();

        let response = Edge::new(panics).oneshot(request).await.unwrap();

        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.get_details_error_info().unwrap().reason, "INTERNAL");
    }
}
