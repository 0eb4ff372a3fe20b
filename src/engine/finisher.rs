//! Records the ends of attempts, many in one transaction, and gives the places they leave to the next
//! runs in the same one.
//!
//! It collects for a moment and writes with set statements. While the database is away it holds what
//! it has: a result is lost only with the process, or where that must end now, and then the lease
//! tells. Of a log it takes no more than a bite of each attempt, and few of those at a time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{
    Engine,
    log_end::lost,
    run_log::BYTES_AT_ONCE,
    runner::{Runner, Taken},
};
use crate::{
    domain::{RunState, log::LogChunk},
    error::Result,
    store::Ended,
};

const COLLECT_FOR: Duration = Duration::from_millis(2);
/// Ends for which nobody waits for others: those that come meanwhile are the next transaction's, and while it is written
/// what this one has made room for is at work.
const ENOUGH: usize = 64;
const BATCH: usize = 256;
const WAITING_MAX: usize = 4096;
const AFTER_ERROR: Duration = Duration::from_millis(250);
/// Tries that are left once the server must end.
const LAST_TRIES: u32 = 2;

#[derive(Debug)]
struct Order {
    ended: Ended,
    chunks: Vec<LogChunk>,
    /// The database did not take the lines, and one stands in their place.
    lines_lost: bool,
    /// Where the handler has really ended: its place is free once this is recorded.
    place: Option<OwnedSemaphorePermit>,
    recorded: oneshot::Sender<()>,
}

/// Where ends are handed in; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Finisher {
    engine: Engine,
    orders: mpsc::Sender<Order>,
    inbox: Arc<Mutex<mpsc::Receiver<Order>>>,
}

impl Finisher {
    pub(super) fn new(engine: Engine) -> Self {
        let (orders, inbox) = mpsc::channel(WAITING_MAX);
        Self {
            engine,
            orders,
            inbox: Arc::new(Mutex::new(inbox)),
        }
    }

    /// Hands in the end of an attempt, with what is left of its log and the place it leaves; returns once
    /// it is recorded, or known to be another's.
    pub(super) async fn record(
        &self,
        ended: Ended,
        chunks: Vec<LogChunk>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let (recorded, done) = oneshot::channel();
        let order = Order {
            ended,
            chunks,
            lines_lost: false,
            place,
            recorded,
        };
        self.engine.board().note(|notes| notes.unrecorded += 1);
        if self.orders.send(order).await.is_ok() {
            // An error means that the finisher gave it up, and said so in the log.
            let _ = done.await;
        }
        self.engine.board().note(|notes| notes.unrecorded -= 1);
    }
}

impl Order {
    fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.body.len()).sum()
    }

    /// Gives up the lines for one that says so, and that one, too, where it is not taken.
    fn lose_lines(&mut self) {
        self.chunks = match self.lines_lost {
            false => lost(&self.chunks),
            true => Vec::new(),
        };
        self.lines_lost = true;
    }
}

impl Runner {
    /// Records until `over`; what has been handed in by then is still recorded. From `stop` on, places are
    /// given to nobody; from `cut` on, a database that is away is no longer waited for.
    pub(super) async fn finish(
        self,
        stop: CancellationToken,
        over: CancellationToken,
        cut: CancellationToken,
    ) {
        let finisher = self.finisher.clone();
        let mut inbox = finisher.inbox.lock().await;
        loop {
            let first = tokio::select! {
                biased;
                order = inbox.recv() => order,
                () = over.cancelled() => None,
            };
            let Some(first) = first else { return };
            let mut bytes = first.bytes();
            let mut batch = vec![first];
            // What is here costs no time.
            while batch.len() < BATCH
                && bytes < BYTES_AT_ONCE
                && let Ok(order) = inbox.try_recv()
            {
                bytes += order.bytes();
                batch.push(order);
            }
            let collect = async {
                // Nobody else can come once all that is under way is here.
                while batch.len() < ENOUGH.min(self.hosts.len()) && bytes < BYTES_AT_ONCE {
                    let Some(order) = inbox.recv().await else {
                        return;
                    };
                    bytes += order.bytes();
                    batch.push(order);
                }
            };
            // Time over or enough: either way the batch is ready.
            let _ = tokio::time::timeout(COLLECT_FOR, collect).await;
            self.write(batch, &stop, &cut).await;
        }
    }

    async fn write(
        &self,
        mut batch: Vec<Order>,
        stop: &CancellationToken,
        cut: &CancellationToken,
    ) {
        let mut tries_left = LAST_TRIES;
        loop {
            match self.try_write(&mut batch, stop).await {
                Ok(()) => {
                    for order in batch {
                        // Nobody waits where the attempt was cut off.
                        let _ = order.recorded.send(());
                    }
                    return;
                }
                Err(error) if error.is_transient() && 0 < tries_left => {
                    warn!(%error, runs = batch.len(), "could not record what has ended; trying again");
                    tries_left -= u32::from(cut.is_cancelled());
                    tokio::time::sleep(AFTER_ERROR).await;
                }
                Err(error) if error.is_transient() => {
                    error!(%error, runs = batch.len(), "could not record what has ended; the leases will tell");
                    return;
                }
                Err(error) if 1 < batch.len() => {
                    warn!(%error, "could not record a batch; recording one by one");
                    for order in std::mem::take(&mut batch) {
                        Box::pin(self.write(vec![order], stop, cut)).await;
                    }
                    return;
                }
                Err(error) if batch.iter().any(|order| !order.chunks.is_empty()) => {
                    warn!(%error, "could not record the end of a run with its log; recording it without");
                    for order in &mut batch {
                        order.lose_lines();
                    }
                }
                Err(error) => {
                    let run = batch.first().map(|order| order.ended.run);
                    error!(%error, ?run, "could not record the end of a run; its lease will tell");
                    return;
                }
            }
        }
    }

    async fn try_write(&self, batch: &mut [Order], stop: &CancellationToken) -> Result<()> {
        // In one statement: it locks rows in the one order.
        let chunks: Vec<LogChunk> = batch
            .iter()
            .flat_map(|order| order.chunks.clone())
            .collect();
        let ended: Vec<Ended> = batch.iter().map(|order| order.ended.clone()).collect();
        let left = batch.iter().filter(|order| order.place.is_some()).count();
        let mut places = Vec::new();
        let mut avoid = Vec::new();
        loop {
            let mut tx = self.engine.store().begin().await?;
            tx.log_insert(&chunks).await?;
            let moved = tx.runs_end(&ended, &[RunState::Running]).await?;
            let mut next = Vec::new();
            let wait = tx.lines_wait().await? || self.backlog.load(Ordering::Relaxed);
            // Held until what is taken is hosted. A drained server takes nothing in place of what has ended.
            let claiming = self.engine.may_claim_now();
            let may_take = claiming.is_some() && !stop.is_cancelled();
            if wait && may_take {
                places.extend(self.free_places(BATCH.saturating_sub(left + places.len())));
                let limit = left + places.len();
                match self.take(&mut tx, limit, &avoid).await? {
                    Taken::Runs(runs) => {
                        self.backlog.store(runs.len() == limit, Ordering::Relaxed);
                        next = runs;
                    }
                    Taken::Hosted => {
                        avoid = self.hosts.ids();
                        continue;
                    }
                }
            }
            tx.commit().await?;
            places.extend(batch.iter_mut().filter_map(|order| order.place.take()));
            self.host_all(next, places);
            for order in batch.iter() {
                if !moved.iter().any(|run| run.id == order.ended.run) {
                    let run = order.ended.run;
                    warn!(
                        "run {run} had been taken away from attempt {}: its result was dropped",
                        order.ended.token
                    );
                }
            }
            return Ok(());
        }
    }
}
