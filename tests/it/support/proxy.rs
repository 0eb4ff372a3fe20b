//! A wire that can be cut: between a replica and its database.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What the wire does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Passes,
    /// Holds them back; connections stay.
    Stalls,
    /// Ends connections, and takes no new ones.
    Cut,
}

/// The wire as it is now, and which connections it carries.
#[derive(Clone, Copy, Debug)]
struct Line {
    wire: Wire,
    /// Connections that were made before this one hear nothing ever again.
    lives_from: u64,
    next: u64,
}

impl Line {
    fn of(self, connection: u64) -> Wire {
        if self.wire != Wire::Cut && connection < self.lives_from {
            return Wire::Stalls;
        }
        self.wire
    }
}

/// Forwards connections to a server until told otherwise.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    line: Arc<watch::Sender<Line>>,
}

impl Proxy {
    /// A wire to the server of this URL.
    pub(crate) async fn to(url: &str) -> Self {
        let rest = url.split_once("://").expect("a URL").1;
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        let target = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let target = target.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = Arc::new(watch::Sender::new(Line {
            wire: Wire::Passes,
            lives_from: 0,
            next: 0,
        }));
        let seen = line.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, line) = (target.clone(), seen.clone());
                if line.borrow().wire == Wire::Cut {
                    continue;
                }
                let mut number = 0;
                line.send_modify(|line| {
                    number = line.next;
                    line.next += 1;
                });
                tokio::spawn(async move {
                    // Where nobody listens, the connection just ends.
                    let Ok(far) = TcpStream::connect(&target).await else {
                        return;
                    };
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::join!(
                        pass(near_read, far_write, number, line.subscribe()),
                        pass(far_read, near_write, number, line.subscribe()),
                    );
                });
            }
        });
        Self { address, line }
    }

    /// The same URL through this wire.
    pub(crate) fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        let at = if user.is_empty() { "" } else { "@" };
        format!("{scheme}://{user}{at}{}{path}", self.address)
    }

    pub(crate) fn stall(&self) {
        self.line.send_modify(|line| line.wire = Wire::Stalls);
    }

    pub(crate) fn cut(&self) {
        self.line.send_modify(|line| line.wire = Wire::Cut);
    }

    pub(crate) fn mend(&self) {
        self.line.send_modify(|line| line.wire = Wire::Passes);
    }

    /// Passes again for connections that are yet to be made; those that there are stay silent for good,
    /// as where the host at the other end has died without a word, and another has its address.
    pub(crate) fn mend_for_new_connections(&self) {
        self.line.send_modify(|line| {
            line.wire = Wire::Passes;
            line.lives_from = line.next;
        });
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    number: u64,
    mut line: watch::Receiver<Line>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = line.wait_for(|line| line.of(number) == Wire::Cut) => return,
        };
        let Ok(count @ 1..) = read else { return };
        match line.wait_for(|line| line.of(number) != Wire::Stalls).await {
            Ok(line) if line.of(number) == Wire::Passes => {}
            _ => return,
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
