//! How the server is: read anew when something has happened, and otherwise four times a second at the most, however many
//! ask.
//!
//! The reader trusts no loop: what has not looked for too long is a problem that is made here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::{Monitor, probe::Scope, probes::ANSWERS_WITHIN, sentry::Sentry};
use crate::{
    backup::{BackupFigures, Backups},
    clock::Stopwatch,
    domain::{
        clock_guard::Hold,
        document::DocumentFigures,
        problem::{self, Problem, ProblemKind},
        task::Pause,
    },
    engine::Round,
    error::{Error, Result},
    records::Documents,
    store::{QueueCounts, TaskCounts},
};

/// How long a status holds while nothing happens, and while much does.
const FRESH_FOR: Duration = Duration::from_millis(250);
const FRESH_AT_LEAST_FOR: Duration = Duration::from_millis(20);
/// How long a reader waits for probes to look that have something to see.
const LOOKS_WITHIN: Duration = Duration::from_secs(1);
/// The same of those that look at what may hang: with what else is asked of a disk less than a tenth of a second.
const HOST_WITHIN: Duration = Duration::from_millis(30);
/// How long it waits for figures of rooms whose disks may not answer.
const FIGURES_WITHIN: Duration = Duration::from_secs(1);

/// How the server is.
#[derive(Clone, Debug)]
pub struct Status {
    /// Gravest first, then oldest.
    pub problems: Vec<Problem>,
    pub checked_at: Timestamp,
    pub pause: Option<Pause>,
    pub last_tick_at: Option<Timestamp>,
    pub next_due_at: Option<Timestamp>,
    /// Tasks with a slot that is due and not decided.
    pub undecided: i64,
    /// Why this server decides nothing, if so.
    pub clock_hold: Option<Hold>,
    pub tzdata_version: String,
    /// Rows of the ledger that this server's auditor has looked at, and what it did not compare of these.
    pub audited_rows: u64,
    pub uncompared_rows: u64,
    pub running: usize,
    pub max_running: usize,
    pub queue: QueueCounts,
    pub reachable: bool,
    pub latency: Duration,
    pub clock_offset: Option<SignedDuration>,
    pub tasks: TaskCounts,
    pub rounds: Vec<Round>,
    pub documents: DocumentFigures,
    /// None while they are not known.
    pub backups: Option<BackupFigures>,
}

/// What the reader keeps.
#[derive(Debug)]
pub(super) struct Reader {
    documents: Documents,
    backups: Backups,
    known: Mutex<Option<Known>>,
    /// A reader has waited for the first pulse in vain: none waits again.
    in_vain: AtomicBool,
}

/// A status, when it was read, and what it knows of.
#[derive(Debug)]
struct Known {
    read: Stopwatch,
    /// When it was judged, by the time that has passed.
    passed: Duration,
    upto: Seen,
    status: Arc<Status>,
    /// The rows as they were read last.
    rows: Vec<Problem>,
}

/// A status that was just read.
struct Reading {
    status: Status,
    /// The problems' rows, before what is known without them.
    rows: Vec<Problem>,
    /// The time that had passed before it was judged who has not looked for too long: what passes later makes it old.
    passed: Duration,
}

/// The log's end, and what of this process has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    log: i64,
    memory: u64,
    board: u64,
}

impl Reader {
    pub(super) fn new(documents: Documents, backups: Backups) -> Self {
        Self {
            documents,
            backups,
            known: Mutex::default(),
            in_vain: AtomicBool::new(false),
        }
    }
}

impl Monitor {
    /// How the server is. It never fails: a database that is away is a problem in it.
    pub async fn status(&self) -> Arc<Status> {
        self.status_within(FRESH_FOR).await
    }

    /// The same for who asks again and again: the last one where it is not older than `age` and nothing has happened
    /// since that this server knows of. Whether the database answers is seen anew in any case.
    pub async fn status_or_last(&self, age: Duration) -> Arc<Status> {
        // That it does not, or does again, changes what is in memory.
        let _ = self.inner.store.ping().await;
        self.status_within(age).await
    }

    async fn status_within(&self, fresh_for: Duration) -> Arc<Status> {
        let mut cached = self.inner.reader.known.lock().await;
        if let Some(known) = &*cached {
            let (age, seen) = (known.read.elapsed(), self.seen());
            let passed = self.inner.engine.clock().passed();
            let age = age.max(passed.saturating_sub(known.passed));
            let is_young = age < FRESH_AT_LEAST_FOR && known.upto.board == seen.board;
            if is_young || (age < fresh_for && known.upto == seen) {
                return known.status.clone();
            }
        }
        // What a caller has changed of this process alone is no event.
        let board = self.seen().board;
        if cached
            .as_ref()
            .is_none_or(|known| known.upto.board != board)
        {
            let own = self.inner.sentries.iter();
            let own = own.filter(|sentry| sentry.probe.scope() == Scope::Replica);
            own.for_each(Sentry::touch);
        }
        self.have_look().await;
        // What changed while they looked is not what they saw.
        let upto = Seen {
            board,
            ..self.seen()
        };
        let before = cached.take();
        let read = match self.inner.store.ping().await {
            Ok(latency) => {
                let read = self.read(latency, before.as_ref());
                let read = tokio::time::timeout(ANSWERS_WITHIN, read).await;
                read.unwrap_or_else(|_| Err(Error::unavailable("database", "no answer in time")))
            }
            Err(error) => Err(error),
        };
        let reading = match read {
            Ok(reading) => reading,
            Err(error) => {
                let is_away = matches!(
                    error,
                    Error::Unavailable {
                        what: "database",
                        ..
                    }
                );
                if is_away {
                    self.inner.store.tell_away(&error);
                }
                self.away(before.as_ref(), &error)
            }
        };
        let status = Arc::new(reading.status);
        *cached = Some(Known {
            read: Stopwatch::start(),
            passed: reading.passed,
            upto,
            status: status.clone(),
            rows: reading.rows,
        });
        status
    }

    fn seen(&self) -> Seen {
        Seen {
            log: self.inner.engine.store().tail().last(),
            memory: *self.inner.memory.version().borrow(),
            board: self.inner.engine.board().read().changes,
        }
    }

    /// Has probes look that have something new to see, and waits for them: who has just changed something wants to see
    /// it. One for which it waited in vain is not waited for again.
    async fn have_look(&self) {
        let inner = &self.inner;
        let waited = async {
            let last = inner.engine.store().tail().last();
            let mut followed = inner.followed.subscribe();
            let _ = followed.wait_for(|followed| last <= *followed).await;
        };
        let _ = tokio::time::timeout(FRESH_FOR, waited).await;
        let (now, passed) = (inner.engine.clock().now(), inner.engine.clock().passed());
        let holds = *inner.holds.borrow();
        let asked: Vec<_> = inner
            .sentries
            .iter()
            .filter(|sentry| {
                // Of the first look for the cluster, this server's or another's, it waits for the news.
                holds || sentry.probe.scope() == Scope::Replica || sentry.has_not_looked()
            })
            .filter_map(|sentry| Some((sentry, sentry.ask(now, passed)?)))
            .collect();
        let beats = inner.pulse.age(passed).is_some();
        let begins = !beats && !inner.reader.in_vain.load(Ordering::Relaxed);
        if asked.is_empty() && !begins {
            return;
        }
        let (host, others): (Vec<_>, Vec<_>) = asked
            .into_iter()
            .partition(|(sentry, _)| sentry.probe.may_hang());
        let all = async {
            if begins {
                inner.pulse.begins().await;
            }
            Sentry::wait_for(&others).await;
        };
        let (of_host, all) = tokio::join!(
            tokio::time::timeout(HOST_WITHIN, Sentry::wait_for(&host)),
            tokio::time::timeout(LOOKS_WITHIN, all)
        );
        if of_host.is_err() {
            Sentry::waited_in_vain(&host);
        }
        if all.is_err() {
            Sentry::waited_in_vain(&others);
            inner.reader.in_vain.store(true, Ordering::Relaxed);
        }
    }

    async fn read(&self, latency: Duration, before: Option<&Known>) -> Result<Reading> {
        let engine = &self.inner.engine;
        let store = engine.store();
        let now = engine.clock().now();
        let mut rows = store.problems(now).await?;
        let beyond = store.problems_beyond(&rows, now).await?;
        if let Some(last) = rows.last().filter(|_| 0 < beyond) {
            let message = format!(
                "and {beyond} more problems that are open, none of them graver than those shown"
            );
            let more = Problem::new(ProblemKind::MonitorMore, "problems", message, last.since);
            rows.push(more);
        }
        let notes = engine.board().read();
        let before = before.map(|known| &known.status);
        let documents = tokio::time::timeout(FIGURES_WITHIN, self.inner.reader.documents.report());
        let documents = match documents.await {
            Ok(report) => report?.figures,
            Err(_) => before.map(|status| status.documents).unwrap_or_default(),
        };
        let backups = tokio::time::timeout(FIGURES_WITHIN, self.inner.reader.backups.report());
        let backups = match backups.await {
            Ok(report) => Some(report?.figures.clone()),
            Err(_) => before.and_then(|status| status.backups.clone()),
        };
        let mut status = Status {
            problems: Vec::new(),
            checked_at: now,
            pause: store.global_pause().await?,
            last_tick_at: notes.last_tick_at,
            next_due_at: store.next_seen().await?,
            undecided: store.due_count(now, 1000).await?,
            clock_hold: engine.held(),
            tzdata_version: engine.tzdb(),
            audited_rows: notes.audited_rows,
            uncompared_rows: notes.uncompared_rows,
            running: notes.running,
            max_running: engine.board().max_running(),
            queue: store.queue_counts().await?,
            reachable: true,
            latency,
            clock_offset: notes.clock_offset,
            tasks: store.task_counts().await?,
            rounds: notes.rounds,
            documents,
            backups,
        };
        // Last, so that nothing is waited for between the judgement and the time that it counts from.
        let passed = engine.clock().passed();
        status.problems = self.problems(&rows, true);
        Ok(Reading {
            status,
            rows,
            passed,
        })
    }

    /// The status while the database is away: what was known, and that it is not known now.
    fn away(&self, before: Option<&Known>, why: &Error) -> Reading {
        let engine = &self.inner.engine;
        let passed = engine.clock().passed();
        let rows = before.map(|known| known.rows.clone()).unwrap_or_default();
        let before = before.map(|known| &known.status);
        let notes = engine.board().read();
        let status = Status {
            problems: with(self.problems(&rows, false), self.inner.store.away(why)),
            checked_at: engine.clock().now(),
            pause: before.and_then(|status| status.pause.clone()),
            last_tick_at: notes.last_tick_at,
            next_due_at: before.and_then(|status| status.next_due_at),
            undecided: before.map_or(0, |status| status.undecided),
            clock_hold: engine.held(),
            tzdata_version: engine.tzdb(),
            audited_rows: notes.audited_rows,
            uncompared_rows: notes.uncompared_rows,
            running: notes.running,
            max_running: engine.board().max_running(),
            queue: before.map(|status| status.queue).unwrap_or_default(),
            reachable: false,
            latency: Duration::ZERO,
            clock_offset: notes.clock_offset,
            tasks: before.map(|status| status.tasks).unwrap_or_default(),
            rounds: notes.rounds,
            documents: before.map(|status| status.documents).unwrap_or_default(),
            backups: before.and_then(|status| status.backups.clone()),
        };
        Reading {
            status,
            rows,
            passed,
        }
    }

    /// The rows, with what this process knows better, and what nobody has looked at for too long.
    fn problems(&self, rows: &[Problem], reachable: bool) -> Vec<Problem> {
        let mut problems = rows.to_vec();
        let now = self.inner.engine.clock().now();
        self.inner.memory.correct(&mut problems, now);
        // While the database is away nobody can look, and that is the problem.
        if reachable {
            problems.extend(self.stalled());
        }
        problem::sort(&mut problems);
        problems
    }
}

/// The problems, this one among them: the probe that has told it may have cleared it meanwhile, and whoever got no answer
/// knows nothing.
fn with(mut problems: Vec<Problem>, away: Problem) -> Vec<Problem> {
    let is_told =
        |problem: &Problem| (&problem.kind, problem.replica) == (&away.kind, away.replica);
    if !problems.iter().any(is_told) {
        problems.push(away);
        problem::sort(&mut problems);
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::problem::Severity;

    #[test]
    fn whoever_got_no_answer_never_says_that_all_is_well() {
        let now = Timestamp::UNIX_EPOCH;
        let away = Problem::new(ProblemKind::DatabaseUnreachable, "database", "away", now);
        let warning = Problem::new(ProblemKind::TaskPaused, "tasks/a", "paused", now);
        let told = with(vec![warning], away.clone());
        assert_eq!(problem::overall(&told), Severity::Critical);
        assert_eq!(told.first(), Some(&away), "gravest first");
        assert_eq!(with(vec![away.clone()], away.clone()), [away]);
    }
}
