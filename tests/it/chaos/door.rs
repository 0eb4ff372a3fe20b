//! The clients' door: one address that leads to a replica that lives, as a load balancer does.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Takes connections, and passes each to the next replica that is known to live.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    open_to: watch::Sender<Vec<SocketAddr>>,
}

impl Door {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open_to, living) = watch::channel(Vec::new());
        let turn = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Some(address) = one_of(&living.borrow(), &turn) else {
                    continue;
                };
                tokio::spawn(join(near, address));
            }
        });
        Self { address, open_to }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it leads to these.
    pub(super) fn lead_to(&self, living: Vec<SocketAddr>) {
        self.open_to.send_replace(living);
    }

    /// Where it leads to, for a client that chooses by itself.
    pub(super) fn living(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.open_to.subscribe()
    }
}

fn one_of(living: &[SocketAddr], turn: &AtomicUsize) -> Option<SocketAddr> {
    let turn = turn.fetch_add(1, Ordering::Relaxed);
    living.get(turn % living.len().max(1)).copied()
}

async fn join(mut near: TcpStream, address: SocketAddr) {
    if let Ok(mut far) = TcpStream::connect(address).await {
        // Either end may go at any time: that is what it is here for.
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}
