//! The life of one connection.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::debug;

use super::{
    Bounds, Door, answering::Answering, call::Connection, crowd::Seat, peer::Peer, wire::Wire,
};

/// Bytes that a caller may send ahead, in one call and in all: an upload is to wait for the disk, not for word from
/// here. Nothing is held until it is sent.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Headers of a request, in bytes.
const HEADERS_MAX: u32 = 16 << 10;
/// Streams above what is refused with a word, so that there is room for those words.
const STREAMS_TO_REFUSE: usize = 256;
/// Requests that were taken back before they were looked at, and answers that were cut short: more at once is a flood, and
/// ends the connection.
const TAKEN_BACK_MAX: usize = 20;
const CUT_SHORT_MAX: usize = 1024;
/// A peer that gives no sign for so long is asked for one, and has so long to give it.
const SIGN_EVERY: Duration = Duration::from_secs(30);
const SIGN_WITHIN: Duration = Duration::from_secs(10);
/// What a watch gets, after its connection's age, to say that it ends; afterwards nobody reads it.
const WATCHES_END_WITHIN: Duration = Duration::from_secs(60);
/// The longest that anything takes: a whole day of an upload, and some.
const ALL_ENDS_WITHIN: Duration = Duration::from_secs(25 * 60 * 60);
/// Connections that are given notice at once where they have to go for others; more are just closed.
const NOTICES_MAX: usize = 64;

/// How HTTP is spoken here.
pub(super) fn http(bounds: &Bounds) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    let streams = bounds.calls + bounds.lasting + STREAMS_TO_REFUSE;
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .max_header_list_size(HEADERS_MAX)
        .max_pending_accept_reset_streams(TAKEN_BACK_MAX)
        .max_local_error_reset_streams(CUT_SHORT_MAX)
        .keep_alive_interval(SIGN_EVERY)
        .keep_alive_timeout(SIGN_WITHIN);
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.begins_within)
        .max_buf_size(64 << 10);
    http
}

impl Door {
    /// One connection from its first byte to its last. `end`: the server takes no more calls.
    pub(super) async fn course<I, S, B>(
        self,
        io: I,
        peer: Peer,
        seat: Seat,
        service: S,
        http: Arc<Builder<TokioExecutor>>,
        end: CancellationToken,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        B: Body + Unpin + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (crowd, bounds) = (self.crowd.clone(), self.bounds.clone());
        let leave = seat.leave.clone();
        let connection = Connection::new(seat.id, peer, leave, crowd, bounds);
        let connection = Arc::new(connection);
        let wire = TokioIo::new(Wire::new(io, connection.clone()));
        let answering = Answering::new(service, connection.clone());
        // Dropped, and its file with it, before the place is free.
        let mut spoken = std::pin::pin!(http.serve_connection(wire, answering));
        let mut begins_by = std::pin::pin!(sleep(self.bounds.begins_within));
        let mut old = std::pin::pin!(sleep(lifetime(self.bounds.age)));
        let mut begun = false;
        loop {
            tokio::select! {
                _ = spoken.as_mut() => return,
                () = &mut begins_by, if !begun => {
                    begun = connection.is_begun();
                    if !begun {
                        self.tally.silent();
                        debug!(%peer, "closed: nothing came that is HTTP");
                        return;
                    }
                }
                () = connection.leave.cancelled() => {
                    let crowded = NOTICES_MAX < self.crowd.leaving();
                    if connection.is_idle() && (crowded || !connection.is_begun()) {
                        return;
                    }
                    break;
                }
                () = &mut old => {
                    connection.aged.cancel();
                    break;
                }
                () = end.cancelled() => break,
            }
        }
        if connection.aged.is_cancelled() {
            // The last words of watches go first: whoever reads them does not begin anew here.
            tokio::select! {
                _ = spoken.as_mut() => return,
                () = sleep(self.bounds.notice) => {}
            }
        }
        spoken.as_mut().graceful_shutdown();
        let mut passed = Duration::ZERO;
        while passed < ALL_ENDS_WITHIN {
            tokio::select! {
                _ = spoken.as_mut() => return,
                () = sleep(self.bounds.notice) => passed += self.bounds.notice,
            }
            if connection.is_idle() {
                return;
            }
            let told = connection.aged.is_cancelled() && WATCHES_END_WITHIN < passed;
            if told && connection.only_watches() {
                debug!(%peer, "closed: its watches were told to end, and nobody reads them");
                return;
            }
        }
    }
}

/// Its age, give or take a tenth, so that those that came together do not come back together.
fn lifetime(age: Duration) -> Duration {
    age.mul_f64(0.9 + 0.2 * chance())
}

/// Something from 0 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
