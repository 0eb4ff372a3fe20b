//! Clients that watch runs through it all: one by the client library, one that keeps its token by itself
//! and goes from replica to replica.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt as _;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tonic::{Code, Status};
use watchbell_client::{
    backoff::Backoff,
    client::Client,
    pb::{self, watch_runs_response::Message},
    watch::Follow,
};

use super::pace::{look_again, soon};

/// The storm tells several events a second: who hears nothing for so long has lost its server.
const SILENCE: Duration = Duration::from_secs(5);
const FIRST_ANSWER: Duration = Duration::from_secs(30);

/// An event as a watcher saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) sequence: i64,
    /// `tasks/…/runs/…`.
    pub(super) run: String,
    pub(super) version: i64,
}

/// What a watcher knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// Every event after this one must be seen.
    pub(super) from: Option<i64>,
    pub(super) seen: Vec<Seen>,
    pub(super) reconnects: usize,
    /// Why it gave up, which none may.
    pub(super) refused: Option<String>,
}

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) name: &'static str,
    /// The task it watches; all where empty.
    pub(super) task: String,
    notes: Arc<Mutex<Notes>>,
    watching: JoinHandle<()>,
}

impl Watcher {
    /// Watches by the client library.
    pub(super) async fn by_library(client: Client, name: &'static str, task: &str) -> Self {
        let notes: Arc<Mutex<Notes>> = Arc::default();
        let (heard, interrupted) = (notes.clone(), notes.clone());
        let follow = Follow {
            silence: SILENCE,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(1)),
            on_interruption: Some(Arc::new(move |_| {
                interrupted.lock().unwrap().reconnects += 1;
            })),
            ..Follow::default()
        };
        let request = request(task, "");
        let watching = tokio::spawn(async move {
            let mut messages = std::pin::pin!(client.watch_runs(request, follow));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(message) => note(&heard, &message),
                    Err(error) => {
                        heard.lock().unwrap().refused = Some(error.to_string());
                        return;
                    }
                }
            }
        });
        Self::begun(name, task, notes, watching).await
    }

    /// Watches by hand: it keeps the last token, and goes on with any replica that lives.
    pub(super) async fn by_hand(
        living: watch::Receiver<Vec<SocketAddr>>,
        token_file: PathBuf,
        name: &'static str,
    ) -> Self {
        let notes: Arc<Mutex<Notes>> = Arc::default();
        let heard = notes.clone();
        let watching = tokio::spawn(async move {
            let token = std::fs::read_to_string(token_file).unwrap();
            let mut place = String::new();
            for turn in 0.. {
                let address = {
                    let living = living.borrow();
                    living.get(turn % living.len().max(1)).copied()
                };
                if let Some(address) = address {
                    let end = watch_one(address, &token, &mut place, &heard).await;
                    if let Err(status) = end
                        && is_final(&status)
                    {
                        heard.lock().unwrap().refused = Some(format!("{address}: {status}"));
                        return;
                    }
                }
                heard.lock().unwrap().reconnects += 1;
                look_again().await;
            }
        });
        Self::begun(name, "", notes, watching).await
    }

    async fn begun(
        name: &'static str,
        task: &str,
        notes: Arc<Mutex<Notes>>,
        watching: JoinHandle<()>,
    ) -> Self {
        let begun = soon("a watch to begin", FIRST_ANSWER, async || {
            notes.lock().unwrap().from
        });
        begun.await;
        Self {
            name,
            task: task.to_owned(),
            notes,
            watching,
        }
    }

    pub(super) fn notes(&self) -> Notes {
        self.notes.lock().unwrap().clone()
    }

    /// Whether it has seen the event with this number, or can see no more.
    pub(super) fn has_reached(&self, sequence: i64) -> bool {
        let notes = self.notes.lock().unwrap();
        let last = notes.seen.last().map(|seen| seen.sequence);
        notes.refused.is_some() || last.or(notes.from).is_some_and(|last| sequence <= last)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Watches this replica until the stream ends, breaks or falls silent.
async fn watch_one(
    address: SocketAddr,
    token: &str,
    place: &mut String,
    notes: &Mutex<Notes>,
) -> Result<(), Status> {
    let connected = Client::connect(&format!("http://{address}"), token).await;
    let Ok(client) = connected else { return Ok(()) };
    let mut runs = client.runs();
    let opening = runs.watch_runs(request("", place));
    let Ok(opened) = timeout(SILENCE, opening).await else {
        return Ok(());
    };
    let mut messages = opened?.into_inner();
    while let Ok(message) = timeout(SILENCE, messages.message()).await {
        let Some(message) = message? else { break };
        note(notes, &message);
        place.clone_from(&message.resume_token);
        if matches!(message.message, Some(Message::End(_))) {
            break;
        }
    }
    Ok(())
}

fn request(task: &str, place: &str) -> pb::WatchRunsRequest {
    pb::WatchRunsRequest {
        task: task.to_owned(),
        resume_token: place.to_owned(),
        ..Default::default()
    }
}

fn note(notes: &Mutex<Notes>, message: &pb::WatchRunsResponse) {
    let mut notes = notes.lock().unwrap();
    match &message.message {
        Some(Message::SnapshotEnd(_)) => {
            // Its last part is the number of the event after which the watch goes on.
            let number = message.resume_token.rsplit('.').next();
            let number = number.and_then(|number| number.parse().ok()).unwrap();
            notes.from.get_or_insert(number);
        }
        Some(Message::Event(event)) => {
            let run = event.run.as_ref().unwrap();
            notes.seen.push(Seen {
                sequence: event.sequence,
                run: run.name.clone(),
                version: run.version,
            });
        }
        _ => {}
    }
}

/// What a client takes for an answer that waiting does not mend.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::OutOfRange
            | Code::InvalidArgument
            | Code::NotFound
            | Code::FailedPrecondition
            | Code::Unauthenticated
            | Code::DataLoss
    )
}
