//! A connection byte by byte.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::support::{until, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
const PONG: &[u8] = &[0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
const GO_AWAY: u8 = 7;

/// A connection of which a test says each byte, and what of it was heard and not looked at.
#[derive(Debug)]
pub(crate) struct Raw(TcpStream, Vec<u8>);

impl Raw {
    /// One that says nothing so far.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap(), Vec::new())
    }

    /// The same from an address of this host.
    pub(crate) async fn from(own: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((own, 0).into()).unwrap();
        Self(socket.connect(address).await.unwrap(), Vec::new())
    }

    /// One whose first words the server has read: on a machine that is busy its time for them may be over before.
    pub(crate) async fn begun(address: SocketAddr) -> Self {
        until("a connection that begins in its time", async || {
            let mut begun = Self::connect(address).await;
            let greeted = async {
                begun.0.write_all(PREFACE).await?;
                begun.0.write_all(SETTINGS).await?;
                begun.asks().await
            };
            greeted.await.ok()?;
            Some(begun)
        })
        .await
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Says what a client of HTTP/2 begins with, and nothing else.
    pub(crate) async fn greet(&mut self) {
        self.say(PREFACE).await;
        self.say(SETTINGS).await;
    }

    /// That the server answers on it.
    pub(crate) async fn answers(&mut self) {
        within("an answer", self.asks()).await.unwrap();
    }

    /// Asks for a sign, and hears it.
    async fn asks(&mut self) -> std::io::Result<()> {
        let Self(stream, heard) = self;
        stream.write_all(PING).await?;
        let pong = loop {
            let is_pong = |bytes: &[u8]| bytes == PONG;
            if let Some(place) = heard.windows(PONG.len()).position(is_pong) {
                break place;
            }
            if stream.read_buf(heard).await? == 0 {
                return Err(std::io::Error::other("closed"));
            }
        };
        // Perhaps the beginning of what comes next.
        heard.drain(..pong + PONG.len());
        Ok(())
    }

    /// All that comes until the server closes it.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        let mut heard = std::mem::take(&mut self.1);
        // It may close with bytes of ours unread.
        let _ = within("the end of a connection", self.0.read_to_end(&mut heard)).await;
        heard
    }

    /// That the server closes it with notice.
    pub(crate) async fn is_sent_away(&mut self) {
        let heard = self.closed().await;
        let mut frames = heard.as_slice();
        let mut kinds = Vec::new();
        while let [a, b, c, kind, ..] = frames {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            kinds.push(*kind);
            frames = frames.get(9 + length..).unwrap_or_default();
        }
        assert!(kinds.contains(&GO_AWAY), "{kinds:?}");
    }
}
