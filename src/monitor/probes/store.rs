//! The database as this server sees it, and the clock beside it. What is wrong with them cannot be written while it is
//! so: it lives in memory.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::Stopwatch,
    domain::problem::{Problem, ProblemKind},
    engine::Engine,
    error::{Error, Result},
    monitor::{
        memory::Memory,
        probe::{Look, Probe, Scope},
    },
};

const PERIOD: Duration = Duration::from_secs(5);
/// A database that does not answer within this is away.
pub(in crate::monitor) const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// A clock that is further off is told.
const CLOCK_OFFSET_MAX: SignedDuration = SignedDuration::from_secs(1);
/// How often the clock is compared with what is decided, where this server has written nothing at a later instant: that
/// reads all tasks.
const COMPARED_EVERY: Duration = Duration::from_secs(5 * 60);
const DATABASE: &str = "database";
const CLOCK: &str = "clock";

/// The database and the clock of this server.
#[derive(Debug)]
pub(in crate::monitor) struct StoreProbe {
    engine: Engine,
    memory: Memory,
    /// When the clock was last compared with what is decided, in time that has passed.
    compared: Mutex<Option<Duration>>,
}

impl Probe for StoreProbe {
    fn name(&self) -> &'static str {
        "store"
    }

    fn scope(&self) -> Scope {
        Scope::Replica
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            // That it is away is what was looked for.
            let again_at = match self.ping().await {
                Ok(_) => self.compare_clock().await?,
                Err(_) => None,
            };
            Ok(Look {
                again_at,
                ..Look::default()
            })
        })
    }
}

impl StoreProbe {
    pub(in crate::monitor) fn new(engine: Engine, memory: Memory) -> Self {
        Self {
            engine,
            memory,
            compared: Mutex::default(),
        }
    }

    /// How quickly the database answers; where it does not, that is told.
    ///
    /// # Errors
    /// Why it does not.
    pub(in crate::monitor) async fn ping(&self) -> Result<Duration> {
        let watch = Stopwatch::start();
        let answered = tokio::time::timeout(ANSWERS_WITHIN, self.engine.store().ping()).await;
        let answered = answered.unwrap_or_else(|_| Err(no_answer()));
        match answered {
            Ok(()) => {
                let now = self.engine.clock().now();
                self.memory
                    .clear(ProblemKind::DatabaseUnreachable, DATABASE, now);
                Ok(watch.elapsed())
            }
            Err(error) => {
                self.tell_away(&error);
                Err(error)
            }
        }
    }

    /// Tells that the database does not answer.
    pub(in crate::monitor) fn tell_away(&self, why: &Error) {
        self.memory.raise(self.away(why), None);
    }

    /// That the database does not answer, as a problem of this server.
    pub(in crate::monitor) fn away(&self, why: &Error) -> Problem {
        let message = format!(
            "the database does not answer: {why}; nothing new is decided or started, and {} results wait to be \
             recorded",
            self.engine.board().read().unrecorded
        );
        let now = self.engine.clock().now();
        let problem = Problem::new(ProblemKind::DatabaseUnreachable, DATABASE, message, now);
        Problem {
            replica: Some(self.engine.replica().id),
            ..problem
        }
    }

    /// Tells whether something could be written just now, or why not.
    pub(in crate::monitor) async fn tell_written(&self, failed: Option<&Error>) {
        let kind = ProblemKind::DatabaseUnwritable;
        match failed {
            None => self.memory.clear(kind, DATABASE, self.engine.clock().now()),
            // Where it does not answer at all, that is the problem.
            Some(why) if self.ping().await.is_ok() => {
                let message = format!(
                    "the database can be read, but not written: {why}; nothing new is decided or started"
                );
                self.raise(kind, DATABASE, message);
            }
            Some(_) => {}
        }
    }

    /// Tells how far the host's clock is off the database's. On SQLite they are the same.
    pub(in crate::monitor) fn tell_clock_offset(&self, offset: SignedDuration) {
        if self.engine.store().kind() != "postgresql" {
            return;
        }
        self.engine.note_clock_offset(offset);
        if CLOCK_OFFSET_MAX < offset.abs() {
            let message = format!("the host's clock is {offset:#} off the database's");
            self.raise(ProblemKind::ClockOffset, CLOCK, message);
        } else {
            let now = self.engine.clock().now();
            self.memory.clear(ProblemKind::ClockOffset, CLOCK, now);
        }
    }

    /// Tells where the clock was set back: cursors never are, so that nothing is decided until it has caught up. Answers
    /// when that will be.
    async fn compare_clock(&self) -> Result<Option<Timestamp>> {
        let kind = ProblemKind::ClockBehind;
        let now = self.engine.clock().now();
        let passed = self.engine.clock().passed();
        let store = self.engine.store();
        let is_ahead = |at: &Timestamp| CLOCK_OFFSET_MAX < at.duration_since(now);
        let before = *self.compared();
        let is_old = before.is_none_or(|at| COMPARED_EVERY <= passed.saturating_sub(at));
        if !is_old
            && !store.latest_write().is_some_and(|at| is_ahead(&at))
            && !self.memory.is_open(kind, CLOCK)
        {
            return Ok(None);
        }
        let decided_at = store.decided_upto().await?;
        *self.compared() = Some(passed);
        let Some(decided_at) = decided_at.filter(is_ahead) else {
            store.none_written_beyond(now);
            self.memory.clear(kind, CLOCK, now);
            return Ok(None);
        };
        let message = format!(
            "slots up to {decided_at} are decided, and the clock says {now}: it was set back, and no task that is \
             decided so far comes due again before that"
        );
        self.raise(kind, CLOCK, message);
        Ok(Some(decided_at))
    }

    fn compared(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn raise(&self, kind: ProblemKind, subject: &str, message: String) {
        let now = self.engine.clock().now();
        self.memory
            .raise(Problem::new(kind, subject, message, now), None);
    }
}

fn no_answer() -> Error {
    let within = ANSWERS_WITHIN.as_secs();
    Error::unavailable("database", format!("no answer within {within} s"))
}
