//! A pipe that is read to its end, or until it is enough.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use nix::errno::Errno;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::unix::pipe::Receiver,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Ends where the pipe does, or, once `enough` is cancelled, with what had been written by then.
#[derive(Debug)]
pub(super) struct Pipe {
    from: Receiver,
    enough: Pin<Box<WaitForCancellationFutureOwned>>,
    is_enough: bool,
}

impl Pipe {
    pub(super) fn new(from: Receiver, enough: &CancellationToken) -> Self {
        Self {
            from,
            enough: Box::pin(enough.clone().cancelled_owned()),
            is_enough: false,
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_enough {
            if let Poll::Ready(read) = Pin::new(&mut self.from).poll_read(context, buffer) {
                return Poll::Ready(read);
            }
            ready!(self.enough.as_mut().poll(context));
            self.is_enough = true;
        }
        // Asked of the pipe itself: the runtime may not have heard yet that there is something.
        match nix::unistd::read(&self.from, buffer.initialize_unfilled()) {
            Ok(count) => {
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(Errno::EAGAIN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_written_before_is_read_also_where_the_pipe_stays_open() {
        let (from, mut to) = io::pipe().unwrap();
        to.write_all(b"before\n").unwrap();
        let enough = CancellationToken::new();
        enough.cancel();
        let from = Receiver::from_owned_fd(from.into()).unwrap();
        let mut said = String::new();
        let mut pipe = Pipe::new(from, &enough);
        pipe.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "before\n");
        drop(to);
    }
}
