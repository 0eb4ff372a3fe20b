//! Takes queued runs, and runs them.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, error, info_span, warn};

use super::{
    Engine,
    context::Feed,
    finisher::Finisher,
    hosts::{Hosted, Hosts},
};
use crate::{
    domain::{Run, RunId, RunState, run::reason},
    error::Result,
    store::{AttemptEnd, Ended, Tx},
};

/// Runs claimed, expired or moved on in one transaction.
const BATCH: usize = 256;
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// The same by the time that passes.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// Where something was passed over, real time.
const LOOK_SOON: Duration = Duration::from_millis(250);
/// Between two looks while there is no place, real time.
const WHILE_FULL: Duration = Duration::from_millis(50);
/// After an error, real time: the clock of the schedule may stand still.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// The runner's loop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Runner {
    pub(super) engine: Engine,
    pub(super) hosts: Hosts,
    pub(super) finisher: Finisher,
    places: Arc<Semaphore>,
    pub(super) running: TaskTracker,
    /// The queue held more than there were places for: who frees places takes from it.
    pub(super) backlog: Arc<AtomicBool>,
    /// The last claim took nothing although there was something: another transaction may have held it,
    /// and one that is given up rings no bell.
    passed_over: Arc<AtomicBool>,
    /// One transaction at a time writes to logs.
    pub(super) log_turn: Arc<Semaphore>,
}

/// What was taken from the queue.
#[derive(Debug)]
pub(super) enum Taken {
    Runs(Vec<Run>),
    /// One whose handler of an earlier attempt still lives here: the transaction must be given up.
    Hosted,
}

impl Runner {
    pub fn new(engine: Engine) -> Self {
        let places = engine.settings().max_running;
        let hosts = engine.hosts().clone();
        Self {
            finisher: Finisher::new(engine.clone()),
            hosts,
            places: Arc::new(Semaphore::new(places)),
            running: TaskTracker::new(),
            passed_over: Arc::default(),
            backlog: Arc::default(),
            log_turn: Arc::new(Semaphore::new(1)),
            engine,
        }
    }

    /// Runs what is queued until `stop`; then waits for what is under way, and asks it to stop at
    /// `cut`.
    pub async fn run(self, stop: CancellationToken, cut: CancellationToken) {
        let over = CancellationToken::new();
        let mut helpers = JoinSet::new();
        helpers.spawn(self.clone().finish(stop.clone(), over.clone(), cut.clone()));
        helpers.spawn(self.clone().keep(over.clone()));
        helpers.spawn(self.clone().keep_logs(over.clone()));
        tokio::select! {
            () = self.take_until(&stop, &cut) => {}
            // Without one no end is recorded, without another no lease renewed, without the third no log written.
            ended = helpers.join_next() => {
                if let Some(Err(error)) = ended
                    && error.is_panic()
                {
                    std::panic::resume_unwind(error.into_panic());
                }
                return;
            }
        }
        over.cancel();
        while helpers.join_next().await.is_some() {}
    }

    /// Takes runs until `stop`, and waits for the end of all.
    async fn take_until(&self, stop: &CancellationToken, cut: &CancellationToken) {
        let starting = self.engine.start_orders_on(self, stop);
        let taking = self.engine.store().bells().take_queued();
        let mut bell = self.engine.store().bells().queue();
        while !stop.is_cancelled() {
            bell.mark_unchanged();
            let wake_at = match self.tick().await {
                Ok(wake_at) => wake_at,
                Err(error) => {
                    warn!(%error, "could not look at the queue; trying again");
                    stop.run_until_cancelled(tokio::time::sleep(AFTER_ERROR))
                        .await;
                    continue;
                }
            };
            let clock = self.engine.clock();
            // What another process has put below the floor may have been told by a bell that was not heard.
            let anew = || self.engine.store().look_anew_at_queue();
            tokio::select! {
                () = stop.cancelled() => {}
                () = clock.sleep_until(wake_at) => anew(),
                // A clock that is set back would let it sleep for as long.
                () = clock.sleep_for(AT_LEAST_EVERY) => anew(),
                _ = bell.changed() => self.wait_for_a_place(stop).await,
                () = tokio::time::sleep(LOOK_SOON), if self.passed_over.load(Ordering::SeqCst) => {}
            }
        }
        drop(taking);
        drop(starting);
        self.running.close();
        if cut.run_until_cancelled(self.running.wait()).await.is_none() {
            self.hosts.drain();
            self.running.wait().await;
        }
    }

    /// Where there is no place, who frees one takes from the queue: a look each time that the queue's bell
    /// rings would be for nothing.
    async fn wait_for_a_place(&self, stop: &CancellationToken) {
        if self.places.available_permits() == 0 {
            self.backlog.store(true, Ordering::SeqCst);
            stop.run_until_cancelled(tokio::time::sleep(WHILE_FULL))
                .await;
        }
    }

    /// Does all there is to do in the queue now; says when to look again.
    ///
    /// # Errors
    /// Where the database is away: nothing is lost, the next tick does it.
    pub async fn tick(&self) -> Result<Timestamp> {
        let store = self.engine.store();
        loop {
            let drained_until = self.engine.drain_now().map(|drain| drain.until);
            let now = self.engine.clock().now();
            let queued = store.bells().queued_so_far();
            let outlook = store.queue_outlook().await?;
            let passed = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
            if passed(outlook.retry_at) {
                let mut tx = store.begin().await?;
                tx.retries_queue().await?;
                tx.commit().await?;
                continue;
            }
            if passed(outlook.deadline_at)
                && self.engine.held().is_none()
                && self.expire(now).await?
            {
                continue;
            }
            self.passed_over.store(false, Ordering::SeqCst);
            if outlook.ready && self.claim().await? {
                continue;
            }
            // What was ready and is not taken may be another's.
            store.bells().queue_seen(queued, outlook.ready);
            let next = [outlook.retry_at, outlook.deadline_at, drained_until];
            let next = next.into_iter().flatten().filter(|at| now < *at).min();
            let latest = now + LOOK_AGAIN;
            return Ok(next.map_or(latest, |next| next.min(latest)));
        }
    }

    /// Ends runs whose start deadline has passed; says whether there were any.
    async fn expire(&self, now: Timestamp) -> Result<bool> {
        let late = self.engine.store().runs_past_deadline(now, BATCH).await?;
        let ended: Vec<Ended> = late
            .iter()
            .map(|run| Ended {
                run: run.id,
                task: run.task_id,
                token: run.attempt,
                replica: None,
                end: AttemptEnd::because(
                    RunState::Expired,
                    reason::START_DEADLINE,
                    "no attempt started before its start deadline",
                ),
                known: None,
            })
            .collect();
        let mut tx = self.engine.store().begin().await?;
        let done = tx.runs_end(&ended, &[RunState::Queued]).await?;
        tx.commit().await?;
        Ok(!done.is_empty())
    }

    /// Takes as many runs as there are places; says whether there were any.
    async fn claim(&self) -> Result<bool> {
        let Some(_claiming) = self.engine.may_claim().await else {
            return Ok(false);
        };
        let mut avoid = Vec::new();
        loop {
            let mut places = self.free_places(BATCH);
            if places.is_empty() {
                // Who frees one from here on sees this, and who freed one before is seen here.
                self.backlog.store(true, Ordering::SeqCst);
                places = self.free_places(BATCH);
            }
            if places.is_empty() {
                return Ok(false);
            }
            let mut tx = self.engine.store().begin().await?;
            let runs = match self.take(&mut tx, places.len(), &avoid).await? {
                Taken::Runs(runs) => runs,
                Taken::Hosted => {
                    avoid = self.hosts.ids();
                    continue;
                }
            };
            self.backlog
                .store(runs.len() == places.len(), Ordering::SeqCst);
            if runs.is_empty() {
                self.passed_over.store(true, Ordering::SeqCst);
                return Ok(false);
            }
            tx.commit().await?;
            self.host_all(runs, places);
            // The next look tells whether that was all: others are called for what is left.
            return Ok(true);
        }
    }

    /// Takes up to `limit` runs from the queue, within a transaction.
    pub(super) async fn take(&self, tx: &mut Tx, limit: usize, avoid: &[RunId]) -> Result<Taken> {
        let kinds: Vec<&str> = self
            .engine
            .registry()
            .kinds()
            .map(|(name, _)| name)
            .collect();
        let (replica, lease) = (self.engine.replica().id, self.engine.settings().lease);
        let runs = tx.runs_claim(replica, &kinds, avoid, lease, limit).await?;
        if runs.iter().any(|run| self.hosts.contains(run.id)) {
            return Ok(Taken::Hosted);
        }
        Ok(Taken::Runs(runs))
    }

    /// Places that are free now, at most so many.
    pub(super) fn free_places(&self, most: usize) -> Vec<OwnedSemaphorePermit> {
        let take = || self.places.clone().try_acquire_owned().ok();
        std::iter::from_fn(take).take(most).collect()
    }

    /// Starts runs, each in one of these places, of which there are enough.
    pub(super) fn host_all(&self, runs: Vec<Run>, places: Vec<OwnedSemaphorePermit>) {
        for (run, place) in runs.into_iter().zip(places) {
            self.host(run, place);
        }
    }

    fn host(&self, run: Run, place: OwnedSemaphorePermit) {
        let hosted = Hosted {
            name: run.resource_name(),
            token: run.attempt,
            stop: watch::Sender::new(None),
            feed: Feed::default(),
        };
        self.hosts.add(run.id, hosted.clone());
        self.engine.board().note(|notes| notes.running += 1);
        let span =
            info_span!("run", run.id = %run.id, run.task = %run.task, run.attempt = run.attempt);
        let this = self.clone();
        let run = Arc::new(run);
        let work = async move {
            let performed = AssertUnwindSafe(this.perform(&run, hosted, place)).catch_unwind();
            if performed.await.is_err() {
                // Its end is not recorded: no lease is renewed from here on, and recovery moves the run on.
                error!("what performs {} panicked", run.resource_name());
            }
            this.hosts.remove(run.id);
            this.engine.board().note(|notes| notes.running -= 1);
            // Its place is free: for what waits for one, or was passed over since its handler lived.
            if this.backlog.load(Ordering::SeqCst) || this.passed_over.load(Ordering::SeqCst) {
                this.engine.store().bells().ring_queue();
            }
        };
        self.running.spawn(work.instrument(span));
    }
}

/// The end of an attempt of a run that is hosted here.
pub(super) fn ended(run: &Arc<Run>, replica: crate::domain::ReplicaId, end: AttemptEnd) -> Ended {
    Ended {
        run: run.id,
        task: run.task_id,
        token: run.attempt,
        replica: Some(replica),
        end,
        known: Some(run.clone()),
    }
}
