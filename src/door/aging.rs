//! An answer that ends once its connection has reached its age, for services that know nothing of that.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    HeaderMap,
    body::{Body, Frame, SizeHint},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Call;

/// A body that ends early, by these trailers.
pub struct Aging<B> {
    body: B,
    aged: Pin<Box<WaitForCancellationFutureOwned>>,
    trailers: Option<HeaderMap>,
}

impl<B> Aging<B> {
    pub fn new(body: B, call: &Call, trailers: HeaderMap) -> Self {
        Self {
            body,
            aged: Box::pin(call.aged().clone().cancelled_owned()),
            trailers: Some(trailers),
        }
    }
}

impl<B: Body + Unpin> Body for Aging<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if self.trailers.is_none() {
            return Poll::Ready(None);
        }
        match self.aged.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(self.trailers.take().map(Frame::trailers).map(Ok)),
            Poll::Pending => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<B> std::fmt::Debug for Aging<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aging").finish_non_exhaustive()
    }
}
