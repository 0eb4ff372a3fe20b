//! What a handler is given: who it is, when it must stop, and where it may write.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::hosts::Stop;
use crate::{
    clock::{Clock, SharedClock},
    domain::{RunId, TaskName, run::Progress},
    error::Result,
    store::{LogLine, Store, Tx},
};

/// Bytes of log kept of one attempt.
pub const LOG_BYTES_MAX: usize = 1 << 20;
/// Bytes of one line; what is longer is cut.
const LINE_BYTES_MAX: usize = 8 << 10;
/// What a line costs besides its text: empty ones are not free.
const LINE_COST: usize = 64;
/// Lines written in one transaction.
const LINES_AT_ONCE: usize = 2000;

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

/// Where a log line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Log,
    Stdout,
    Stderr,
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
        self.feed.line(self.run, self.token, sign, stream, text);
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

    /// What identifies this attempt towards others: the same for a repeated send, another for the
    /// next attempt.
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}", self.run, self.token)
    }
}

/// What a handler has said and the writer has not yet written; bounded.
#[derive(Clone, Debug, Default)]
pub(super) struct Feed {
    said: Arc<Mutex<Said>>,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<LogLine>,
    next_line: i64,
    bytes: usize,
    cut: bool,
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
    fn line(&self, run: RunId, attempt: i64, sign: Sign, stream: Stream, text: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.last_sign = Some(sign.passed);
        if said.cut {
            return;
        }
        let (stream, text) =
            if LOG_BYTES_MAX < said.bytes + LINE_COST + text.len().min(LINE_BYTES_MAX) {
                said.cut = true;
                (
                    Stream::Log,
                    "… the rest of this attempt's log was cut: it is over 1 MiB",
                )
            } else {
                (stream, cut(text))
            };
        said.bytes += LINE_COST + text.len();
        said.next_line += 1;
        let line = LogLine {
            run,
            attempt,
            line: said.next_line,
            at: sign.at,
            stream: match stream {
                Stream::Log => "log",
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            }
            .to_owned(),
            // PostgreSQL's text holds every character but this one.
            text: text.replace('\0', "\u{fffd}"),
        };
        said.lines.push(line);
    }

    fn report(&self, progress: Progress, sign: Sign) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.last_sign = Some(sign.passed);
        said.progress = Some(progress);
    }

    /// When the handler last gave a sign, by the time that has passed.
    pub(super) fn last_sign(&self) -> Option<Duration> {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last_sign
    }

    /// The next lines to be written. They stay until [`Feed::written`] says that they are: whoever ends
    /// the attempt meanwhile writes them too, and a line that is there already stays as it is.
    pub(super) fn lines_to_write(&self) -> Vec<LogLine> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.lines.iter().take(LINES_AT_ONCE).cloned().collect()
    }

    /// All that is not written yet.
    pub(super) fn all_lines(&self) -> Vec<LogLine> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.lines.clone()
    }

    /// Forgets lines up to this number: they are in the table.
    pub(super) fn written(&self, upto: i64) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.lines.retain(|line| upto < line.line);
    }

    /// Takes the news of progress, at most once a second.
    pub(super) fn take_progress(&self, now: Timestamp) -> Option<Progress> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
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

/// A line's beginning, at a character's end.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(LINE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
