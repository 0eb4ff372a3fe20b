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

/// Forwards connections to a server until told otherwise.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    wire: Arc<watch::Sender<Wire>>,
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
        let wire = Arc::new(watch::Sender::new(Wire::Passes));
        let seen = wire.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, wire) = (target.clone(), seen.clone());
                if *wire.borrow() == Wire::Cut {
                    continue;
                }
                tokio::spawn(async move {
                    let far = TcpStream::connect(&target).await.unwrap();
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::join!(
                        pass(near_read, far_write, wire.subscribe()),
                        pass(far_read, near_write, wire.subscribe()),
                    );
                });
            }
        });
        Self { address, wire }
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
        self.wire.send_replace(Wire::Stalls);
    }

    pub(crate) fn cut(&self) {
        self.wire.send_replace(Wire::Cut);
    }

    pub(crate) fn mend(&self) {
        self.wire.send_replace(Wire::Passes);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut wire: watch::Receiver<Wire>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = wire.wait_for(|wire| *wire == Wire::Cut) => return,
        };
        let Ok(count @ 1..) = read else { return };
        match wire.wait_for(|wire| *wire != Wire::Stalls).await {
            Ok(wire) if *wire == Wire::Passes => {}
            _ => return,
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
