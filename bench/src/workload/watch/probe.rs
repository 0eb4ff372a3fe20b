//! Subscribers that know which event is which, and wait for it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use watchbell_client::pb::{self, watch_runs_response::Message};

use crate::{
    calls::{Client, instant},
    subscriber::{Received, Subscriber},
};

/// An event as the log has it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) sequence: i64,
    pub(super) at: Timestamp,
    /// Which run it is about.
    run: String,
}

/// A subscriber that reads what events say.
#[derive(Debug)]
pub(super) struct Probe {
    told: Arc<Mutex<Vec<Told>>>,
    taken: Mutex<usize>,
}

impl Probe {
    pub(super) async fn start(client: &Client) -> anyhow::Result<Self> {
        let request = pb::WatchRunsRequest {
            skip_snapshot: true,
            ..Default::default()
        };
        let mut feed = client.runs().watch_runs(request).await?.into_inner();
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = told.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = feed.message().await {
                let Some(Message::Event(event)) = message.message else {
                    continue;
                };
                let Some(at) = instant(event.time.as_ref()) else {
                    continue;
                };
                let told = Told {
                    sequence: event.sequence,
                    at,
                    run: event.run.unwrap_or_default().name,
                };
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(told);
            }
        });
        Ok(Self {
            told,
            taken: Mutex::new(0),
        })
    }

    /// What came before all subscribers were there is not theirs.
    pub(super) async fn forget(&self) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    pub(super) fn all(&self) -> Vec<Told> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The next event of a run that was not asked for yet; what came of others is passed over.
    pub(super) async fn next_of(&self, run: &str, limit: Duration) -> anyhow::Result<Told> {
        let began = std::time::Instant::now();
        loop {
            let told = self.all();
            let taken = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let next = told.iter().skip(taken).find(|told| told.run == run);
            if let Some(next) = next {
                *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = told.len();
                return Ok(next.clone());
            }
            if limit < began.elapsed() {
                bail!("no event of {run} within {limit:?}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The last event's number, once no more come.
    pub(super) async fn settled(&self) -> i64 {
        let mut known = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let told = self.all();
            if told.len() == known {
                return told.last().map_or(0, |told| told.sequence);
            }
            known = told.len();
        }
    }
}

impl Subscriber {
    /// Waits until it has the event of this number.
    pub(super) async fn has(&self, sequence: i64, limit: Duration) -> anyhow::Result<Received> {
        let wait = async {
            loop {
                if let Some(received) = self.find(sequence) {
                    return received;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let found = tokio::time::timeout(limit, wait).await;
        found.with_context(|| {
            format!("a subscriber has not received event {sequence} within {limit:?}")
        })
    }
}
