//! The bytes of a connection, and whether they began as HTTP does.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::call::Connection;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream of bytes that tells its connection when the preface of HTTP/2 or a whole request line has come.
#[derive(Debug)]
pub(super) struct Wire<I> {
    io: I,
    connection: Arc<Connection>,
    beginning: Beginning,
}

/// How far the first words have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// So many bytes, all as in the preface.
    Preface(usize),
    /// Something else, without an end of a line so far.
    Line,
    Over,
}

impl Beginning {
    fn after(self, bytes: &[u8]) -> Self {
        let mut now = self;
        for byte in bytes {
            now = match now {
                Self::Preface(count) if PREFACE.get(count) == Some(byte) => {
                    match count + 1 == PREFACE.len() {
                        true => Self::Over,
                        false => Self::Preface(count + 1),
                    }
                }
                // A line of the preface is one already.
                Self::Preface(count) if PREFACE.iter().take(count).any(|byte| *byte == b'\n') => {
                    Self::Over
                }
                Self::Preface(_) | Self::Line if *byte == b'\n' => Self::Over,
                Self::Preface(_) | Self::Line => Self::Line,
                Self::Over => return Self::Over,
            };
        }
        now
    }
}

impl<I> Wire<I> {
    pub(super) fn new(io: I, connection: Arc<Connection>) -> Self {
        Self {
            io,
            connection,
            beginning: Beginning::Preface(0),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if self.beginning != Beginning::Over {
            self.beginning = self.beginning.after(&buffer.filled()[before..]);
            if self.beginning == Beginning::Over {
                self.connection.has_begun();
            }
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_over_with_the_preface_or_a_line() {
        let begin = Beginning::Preface(0);
        for (sent, over) in [
            (&b""[..], false),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", false),
            (PREFACE, true),
            (b"GET / HTTP/1.1", false),
            (b"GET / HTTP/1.1\r\n", true),
            (b"PRINT / HTTP/1.1\r", false),
            (b"PRI * HTTP/2.0\r\nHost: x", true),
            (b"\n", true),
            (&[0x16, 3, 1], false),
        ] {
            assert_eq!(begin.after(sent) == Beginning::Over, over, "{sent:?}");
            // However it is cut.
            let piecewise = sent.chunks(1).fold(begin, Beginning::after);
            assert_eq!(piecewise, begin.after(sent));
        }
    }
}
