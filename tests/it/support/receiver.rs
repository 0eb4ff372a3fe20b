//! A little HTTP server that answers as it is told, rightly or not.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

/// What a receiver does after the text of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Close,
    /// Keeps the connection, and says nothing more.
    Stall,
}

/// An HTTP server that gives answers in turn, and keeps what it was sent.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    /// How many answers were written whole.
    pub(crate) written: Arc<Mutex<usize>>,
}

impl Receiver {
    pub(crate) async fn answering(answers: &[&str]) -> Self {
        Self::giving(answers.iter().map(|text| ((*text).to_owned(), Then::Close))).await
    }

    pub(crate) async fn giving(answers: impl IntoIterator<Item = (String, Then)>) -> Self {
        let answers: Vec<(String, Then)> = answers.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::new(Mutex::new(0));
        let (kept, count) = (seen.clone(), written.clone());
        tokio::spawn(async move {
            let mut stalled = Vec::new();
            for (answer, then) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                kept.lock().await.push(request(&mut stream).await);
                let answer = answer.replace("{receiver}", &address.to_string());
                // A client that goes away early is what some of these tests look for.
                if stream.write_all(answer.as_bytes()).await.is_ok() {
                    *count.lock().await += 1;
                }
                match then {
                    Then::Close => drop(stream.shutdown().await),
                    Then::Stall => stalled.push(stream),
                }
            }
            // Held until the test is over.
            std::future::pending::<()>().await;
        });
        Self {
            address,
            seen,
            written,
        }
    }
}

/// One request, as far as its headers and its Content-Length go.
async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(0 < count, "half a request: {text}");
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let length = name.eq_ignore_ascii_case("content-length");
            length.then(|| value.trim().parse().unwrap())
        });
        if length.unwrap_or(0) <= body.len() {
            return text;
        }
    }
}
