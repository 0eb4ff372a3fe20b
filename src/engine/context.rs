//! What a handler is given: who it is, when it must stop, and where it may write.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{hosts::Stop, run_log::RunLog};
use crate::{
    clock::{Clock, SharedClock},
    domain::{
        RunId, TaskName,
        log::{LogChunk, Stream},
        run::Progress,
    },
    error::Result,
    store::{Store, Tx},
};

/// How long who says much waits for what is not written.
const ROOM_WITHIN: Duration = Duration::from_secs(2);

/// What a run knows of itself, and what it may use.
#[derive(Clone, Debug)]
pub struct RunContext {
    pub task: TaskName,
    pub run: RunId,
    /// The fencing token: greater than that of every attempt before.
    pub token: i64,
    /// The slot, where there was one.
    pub nominal_at: Option<Timestamp>,
    pub due_at: Timestamp,
    /// Change nothing.
    pub dry_run: bool,
    /// Cancelled when the run is to stop: by request, timeout, a lost lease or a drain.
    pub cancel: CancellationToken,
    pub(super) last_call: LastCall,
    pub(super) stop: watch::Receiver<Option<Stop>>,
    pub clock: SharedClock,
    pub(super) store: Store,
    pub(super) feed: Feed,
}

/// The end of a handler's grace.
#[derive(Clone, Debug, Default)]
pub(super) struct LastCall {
    over: CancellationToken,
    /// The handler waits for it.
    heard: Arc<AtomicBool>,
}

impl LastCall {
    /// Says that the grace is over, and answers whether the handler listens.
    pub(super) fn call(&self) -> bool {
        self.over.cancel();
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }
}

/// How far a step of a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub phase: String,
    /// Units, mostly bytes, done in this step, and in all; 0 where that is not known.
    pub done: i64,
    pub total: i64,
    pub files: i64,
    pub remaining: Option<Duration>,
    pub message: String,
}

impl RunContext {
    /// For reading.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A write that commits only while this attempt holds its lease. It holds locks, so nothing else may be
    /// waited for until it is committed: PostgreSQL ends it after 5 s without a statement.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn begin(&self) -> Result<Tx> {
        self.store.begin_fenced(self.run, self.token).await
    }

    /// Completes once the grace is over that begins with `cancel`. Who has called this is not cut off at that
    /// moment, but has 10 s to end by force what it has started.
    pub fn grace_over(&self) -> impl Future<Output = ()> + Send + 'static {
        self.last_call.heard.store(true, Ordering::Relaxed);
        self.last_call.over.clone().cancelled_owned()
    }

    /// Says why it is asked to stop, where it is; a weightier reason may follow.
    pub fn asked(&self) -> Option<Stop> {
        *self.stop.borrow()
    }

    /// Adds a line to the run's log. Counts as progress.
    pub fn log(&self, text: impl AsRef<str>) {
        self.log_from(Stream::Log, text.as_ref());
    }

    /// Adds a line that comes from elsewhere, such as a command. Counts as progress.
    pub fn log_from(&self, stream: Stream, text: &str) {
        let sign = Sign::now(&*self.clock);
        self.feed.line((self.run, self.token), sign, stream, text);
    }

    /// Waits while what was said is written more slowly than it comes: whoever reads what a program writes reads no more
    /// until then. It takes 2 s at the most.
    pub async fn log_room(&self) {
        self.feed.room().await;
    }

    /// Whether the log's beginning is full. What follows is held until the attempt ends, and most of it
    /// may be left out: it need not be looked at line by line.
    pub fn log_is_full(&self) -> bool {
        self.feed.lock().log.is_full()
    }

    /// Adds what a program wrote as it came, to a log whose beginning is full; a line may come in several
    /// pieces. Counts as progress.
    pub fn log_piece(&self, stream: Stream, bytes: &[u8]) {
        self.feed.piece(Sign::now(&*self.clock), stream, bytes);
    }

    /// Says that the run goes on, where there is nothing else to tell. Counts as progress.
    pub fn alive(&self) {
        self.feed.sign(Sign::now(&*self.clock));
    }

    /// Says how far the run is; told to watchers at most once a second.
    pub fn progress(&self, done: i64, total: i64, message: impl Into<String>) {
        let step = Step {
            done,
            total,
            message: message.into(),
            ..Step::default()
        };
        self.progress_of(step);
    }

    /// Says how far a step of the run is; told as by [`Self::progress`].
    pub fn progress_of(&self, step: Step) {
        let sign = Sign::now(&*self.clock);
        let progress = Progress {
            done: step.done,
            total: step.total,
            message: step.message,
            at: sign.at,
            phase: step.phase,
            files: step.files,
            remaining_ms: step
                .remaining
                .map(|left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX)),
        };
        self.feed.report(progress, sign);
    }

    /// Key of the run's work towards others: the same for each attempt, so that who has done it already
    /// does it once. A run that a person orders, also as a repetition, is other work and has another.
    pub fn idempotency_key(&self) -> String {
        self.run.to_string()
    }
}

/// What a handler has said and the writer has not yet written; bounded.
#[derive(Clone, Debug, Default)]
pub(super) struct Feed {
    said: Arc<Mutex<Said>>,
    /// Something was written.
    room: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Said {
    log: RunLog,
    progress: Option<Progress>,
    told_at: Option<Timestamp>,
    last_sign: Option<Duration>,
}

/// When a handler gave a sign: by the clock, and by the time that has passed.
#[derive(Clone, Copy, Debug)]
struct Sign {
    at: Timestamp,
    passed: Duration,
}

impl Sign {
    fn now(clock: &dyn Clock) -> Self {
        Self {
            at: clock.now(),
            passed: clock.passed(),
        }
    }
}

impl Feed {
    fn line(&self, of: (RunId, i64), sign: Sign, stream: Stream, text: &str) {
        let mut said = self.lock();
        said.last_sign = Some(sign.passed);
        said.log.line(of, sign.at, stream, text);
    }

    fn piece(&self, sign: Sign, stream: Stream, bytes: &[u8]) {
        let mut said = self.lock();
        said.last_sign = Some(sign.passed);
        said.log.piece(sign.at, stream, bytes);
    }

    fn sign(&self, sign: Sign) {
        let mut said = self.lock();
        said.last_sign = Some(sign.passed);
    }

    fn report(&self, progress: Progress, sign: Sign) {
        let mut said = self.lock();
        said.last_sign = Some(sign.passed);
        said.progress = Some(progress);
    }

    /// When the handler last gave a sign, by the time that has passed.
    pub(super) fn last_sign(&self) -> Option<Duration> {
        self.lock().last_sign
    }

    /// The next chunks to be written, by [`RunLog::next`].
    pub(super) fn chunks_to_write(&self, bytes: usize) -> (Vec<LogChunk>, bool) {
        self.lock().log.next(bytes)
    }

    /// Whether nothing of the log's beginning is still to be written.
    pub(super) fn is_written(&self) -> bool {
        self.lock().log.is_written()
    }

    /// Takes all that is not written yet, and the log's end: the attempt is over.
    pub(super) fn all_chunks(&self, of: (RunId, i64)) -> Vec<LogChunk> {
        let all = self.lock().log.all(of);
        self.room.notify_waiters();
        all
    }

    /// Forgets lines up to this number: they are in the table.
    pub(super) fn written(&self, upto: i64) {
        self.lock().log.written(upto);
        self.room.notify_waiters();
    }

    /// Waits while much of the log's beginning is not written yet, for a while.
    async fn room(&self) {
        let caught_up = async {
            loop {
                let written = self.room.notified();
                tokio::pin!(written);
                // From here on no word is missed.
                written.as_mut().enable();
                if !self.lock().log.is_behind() {
                    return;
                }
                written.await;
            }
        };
        // A database that is away slows down who writes much, and stops nobody.
        let _ = tokio::time::timeout(ROOM_WITHIN, caught_up).await;
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the news of progress, at most once a second.
    pub(super) fn take_progress(&self, now: Timestamp) -> Option<Progress> {
        let mut said = self.lock();
        let second = jiff::SignedDuration::from_secs(1);
        if said
            .told_at
            .is_some_and(|told| now.duration_since(told).abs() < second)
        {
            return None;
        }
        let progress = said.progress.take()?;
        said.told_at = Some(now);
        Some(progress)
    }
}
