//! The loop that takes connections. It goes on whatever the system says, and never spins.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
};
use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::debug;

use super::{Door, course, peer::Peer};

/// Connections that stand in line to be taken, where the system allows as many: whoever finds it full tries again after
/// a second.
const LINE: u32 = 4096;
/// Before it is tried again after the system gave no connection.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Connections one after the other that had gone before they were taken: more are followed by a pause, too.
const ABORTED_MAX: u32 = 16;
/// Connections that may still be on their way out while others come in.
const LEAVING_MAX: usize = 128;
const LEAVE_WITHIN: Duration = Duration::from_millis(100);

/// Listens on an address of this host.
///
/// # Errors
/// Where that cannot be done: another process has the port, or the address is not this host's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LINE)
}

impl Door {
    /// Has `service` answer on the connections that `listener` takes. At `end` takes no more, asks those that are open to
    /// go, and completes once they have; dropped, it cuts them.
    pub async fn serve<S, B>(self, listener: TcpListener, service: S, end: CancellationToken)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        B: Body + Unpin + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let http = Arc::new(course::http(&self.bounds));
        let mut connections = JoinSet::new();
        let mut failures = 0;
        loop {
            let accepted = tokio::select! {
                () = end.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    failures = 0;
                    let peer = Peer { address };
                    let Some(seat) = self.let_in(&stream, peer) else {
                        continue;
                    };
                    let (this, service) = (self.clone(), service.clone());
                    let (http, end) = (http.clone(), end.clone());
                    connections.spawn(this.course(stream, peer, seat, service, http, end));
                }
                Err(error) => {
                    failures += 1;
                    let pause = self.failed(&error, failures);
                    end.run_until_cancelled(sleep(pause)).await;
                }
            }
            if LEAVING_MAX < self.crowd.leaving() {
                // They need nobody but this process to go.
                let left = tokio::time::timeout(LEAVE_WITHIN, self.crowd.left());
                end.run_until_cancelled(left).await;
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// A place for the connection; none where it is turned away.
    fn let_in(&self, stream: &TcpStream, peer: Peer) -> Option<super::crowd::Seat> {
        // Else an answer of two frames waits 40 ms for the caller's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "the connection has gone already");
            return None;
        }
        let seat = self.crowd.admit(peer);
        match &seat {
            None => self.tally.turned_away(peer, self.bounds.connections),
            Some(seat) => {
                self.tally.accepted();
                if seat.for_another {
                    self.tally.sent_away(self.bounds.connections);
                }
            }
        }
        seat
    }

    /// What follows from an error of the system, the last of so many: a pause.
    fn failed(&self, error: &io::Error, failures: u32) -> Duration {
        if is_its_own(error) {
            debug!(%error, "a connection had gone before it was taken");
            if failures <= ABORTED_MAX {
                return Duration::ZERO;
            }
        } else {
            self.tally.failed(error);
        }
        if is_want(error) && self.crowd.make_room() {
            self.tally.sent_away(self.bounds.connections);
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
        doubled.min(LONGEST_PAUSE)
    }
}

/// Whether it is about that one connection.
fn is_its_own(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::INTR
                | Errno::PROTO
                | Errno::PERM
                | Errno::TIMEDOUT
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NETUNREACH
                | Errno::NETDOWN
                | Errno::NONET
                | Errno::OPNOTSUPP
        )
    )
}

/// Whether the system wants files or memory, of which an idle connection gives some back.
fn is_want(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Bounds;

    #[test]
    fn errors_are_followed_by_pauses_that_grow_and_end() {
        let door = Door::new(Bounds::default());
        let files = io::Error::from(Errno::MFILE);
        let pauses: Vec<u128> = [1, 2, 3, 7, 8, 1000]
            .map(|failures| door.failed(&files, failures).as_millis())
            .to_vec();
        assert_eq!(pauses, [10, 20, 40, 640, 1000, 1000]);
        let aborted = io::Error::from(Errno::CONNABORTED);
        assert_eq!(door.failed(&aborted, 1), Duration::ZERO);
        assert!(Duration::ZERO < door.failed(&aborted, ABORTED_MAX + 1));
        // What nobody has thought of is none of the connection's.
        assert!(Duration::ZERO < door.failed(&io::Error::other("strange"), 1));
        assert_eq!(door.figures().failed, 7);
    }
}
