//! How the server is: worked out anew when something has happened, and otherwise four times a second
//! at the most, however many ask.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::{Engine, drift::ALIVE_FOR, rounds::Round};
use crate::{
    clock::Stopwatch,
    domain::{
        Task,
        backup::figures::BackupFigures,
        document::DocumentFigures,
        problem::{self, Problem, Severity},
        task::Pause,
    },
    error::{Error, Result},
    store::{QueueCounts, TaskCounts},
};

/// How long a status holds while nothing happens, and while much does.
const FRESH_FOR: Duration = Duration::from_millis(250);
const FRESH_AT_LEAST_FOR: Duration = Duration::from_millis(20);
const FAILING_SHOWN: u64 = 100;
/// Failures in a row after which a task's trouble is grave.
const FAILURES_CRITICAL: i32 = 3;
/// A database answer slower than this is worth a word.
const CLOCK_OFFSET_MAX: SignedDuration = SignedDuration::from_secs(1);

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

/// What other rooms know, for the status; the engine does not know them.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub problems: Vec<Problem>,
    pub documents: DocumentFigures,
    pub backups: Option<BackupFigures>,
}

/// Who tells what other rooms know.
pub trait Reporter: std::fmt::Debug + Send + Sync {
    fn report(&self) -> BoxFuture<'_, Result<Report>>;
}

type Cached = Mutex<Option<Known>>;

/// A status, when it was read, and up to where the log was then.
#[derive(Debug)]
pub(super) struct Known {
    read: Stopwatch,
    upto: i64,
    status: Arc<Status>,
}

impl Engine {
    /// How the server is. It never fails: a database that is away is a problem in it.
    pub async fn status(&self) -> Arc<Status> {
        let mut cached = self.status_cache().lock().await;
        let upto = self.store().tail().last();
        if let Some(known) = &*cached {
            let age = known.read.elapsed();
            if age < FRESH_AT_LEAST_FOR || (age < FRESH_FOR && known.upto == upto) {
                return known.status.clone();
            }
        }
        let before = cached.as_ref().map(|known| known.status.clone());
        let read = tokio::time::timeout(Duration::from_secs(3), self.read_status()).await;
        let status = match read {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => self.away(before.as_deref(), &error.to_string()),
            Err(_) => self.away(before.as_deref(), "no answer within 3 s"),
        };
        let status = Arc::new(status);
        *cached = Some(Known {
            read: Stopwatch::start(),
            upto,
            status: status.clone(),
        });
        status
    }

    /// Notes how far the host's clock is off the database's. On SQLite they are the same.
    pub fn note_clock_offset(&self, offset: SignedDuration) {
        if self.store().kind() == "postgresql" {
            self.board().note(|notes| notes.clock_offset = Some(offset));
        }
    }

    /// What is asked next is worked out anew: who has just changed something wants to see it.
    pub(super) async fn forget_status(&self) {
        *self.status_cache().lock().await = None;
    }

    /// Notes whether something could be written just now, or why not.
    pub fn note_written(&self, failed: Option<&Error>) {
        let now = self.clock().now();
        self.board().note(|notes| {
            notes.unwritable = failed.map(|error| {
                let since = notes.unwritable.take().map_or(now, |(since, _)| since);
                (since, error.to_string())
            });
        });
    }

    fn status_cache(&self) -> &Cached {
        self.inner.status.get_or_init(Cached::default)
    }

    async fn read_status(&self) -> Result<Status> {
        let store = self.store();
        let watch = Stopwatch::start();
        store.ping().await?;
        let latency = watch.elapsed();
        self.board().note(|notes| notes.away_since = None);
        let now = self.clock().now();
        let notes = self.board().read();
        let pause = store.global_pause().await?;
        let mut problems = store.problems(now).await?;
        for task in store.tasks_failing(FAILING_SHOWN).await? {
            problems.push(failing(&task, now));
        }
        for replica in store.replicas().await? {
            if replica.id != self.replica().id && ALIVE_FOR < now.duration_since(replica.seen_at) {
                problems.push(Problem {
                    severity: Severity::Warning,
                    kind: "replica.silent".to_owned(),
                    subject: format!("replicas/{}", replica.id),
                    message: format!("on {}: no sign of life since {}", replica.host, replica.seen_at),
                    action: "see whether it was stopped for good; it is forgotten a day after its last sign".to_owned(),
                    since: replica.seen_at,
                });
            }
        }
        if let Some(offset) = notes.clock_offset
            && CLOCK_OFFSET_MAX < offset.abs()
        {
            problems.push(Problem {
                severity: Severity::Critical,
                kind: "clock.offset".to_owned(),
                subject: "clock".to_owned(),
                message: format!("the host's clock is {offset:#} off the database's"),
                action: "set both hosts' clocks by NTP; this replica is not ready until they agree"
                    .to_owned(),
                since: now,
            });
        }
        problems.extend(notes.unwritable.map(unwritable));
        problems.extend(self.drain_problem());
        let tasks = store.task_counts().await?;
        problems.extend(
            tasks
                .decided_at
                .and_then(|decided_at| behind(now, decided_at)),
        );
        let report = self.reporter().report().await?;
        problems.extend(report.problems);
        problem::sort(&mut problems);
        Ok(Status {
            problems,
            checked_at: now,
            pause,
            last_tick_at: notes.last_tick_at,
            next_due_at: store.next_wake().await?,
            undecided: store.due_count(now, 1000).await?,
            running: notes.running,
            max_running: self.board().max_running(),
            queue: store.queue_counts().await?,
            reachable: true,
            latency,
            clock_offset: notes.clock_offset,
            tasks,
            rounds: notes.rounds,
            documents: report.documents,
            backups: report.backups,
        })
    }

    /// The status while the database is away: what was known, and that it is not known now.
    fn away(&self, before: Option<&Status>, why: &str) -> Status {
        let now = self.clock().now();
        let mut since = now;
        self.board()
            .note(|notes| since = *notes.away_since.get_or_insert(now));
        let notes = self.board().read();
        let mut problems = before
            .map(|status| status.problems.clone())
            .unwrap_or_default();
        problems.retain(|problem| problem.kind != "database.unreachable");
        problems.push(Problem {
            severity: Severity::Critical,
            kind: "database.unreachable".to_owned(),
            subject: "database".to_owned(),
            message: format!(
                "the database does not answer: {why}; nothing new is decided or started, and {} results \
                 wait to be recorded",
                notes.unrecorded
            ),
            action: "see that it runs, that its disk is not full, and that this host reaches it; work \
                     resumes by itself"
                .to_owned(),
            since,
        });
        problem::sort(&mut problems);
        Status {
            problems,
            checked_at: now,
            pause: before.and_then(|status| status.pause.clone()),
            last_tick_at: notes.last_tick_at,
            next_due_at: before.and_then(|status| status.next_due_at),
            undecided: before.map_or(0, |status| status.undecided),
            running: notes.running,
            max_running: self.board().max_running(),
            queue: before.map(|status| status.queue).unwrap_or_default(),
            reachable: false,
            latency: Duration::ZERO,
            clock_offset: notes.clock_offset,
            tasks: before.map(|status| status.tasks).unwrap_or_default(),
            rounds: notes.rounds,
            documents: before.map(|status| status.documents).unwrap_or_default(),
            backups: before.and_then(|status| status.backups.clone()),
        }
    }
}

fn unwritable((since, why): (Timestamp, String)) -> Problem {
    Problem {
        severity: Severity::Critical,
        kind: "database.unwritable".to_owned(),
        subject: "database".to_owned(),
        message: format!(
            "the database can be read, but not written: {why}; nothing new is decided or started"
        ),
        action: "see that its disk is not full, that it is not read-only, and that no other program holds it \
                 locked; work resumes by itself"
            .to_owned(),
        since,
    }
}

/// The clock was set back: cursors never are, so that nothing is decided until it has caught up.
fn behind(now: Timestamp, decided_at: Timestamp) -> Option<Problem> {
    if decided_at.duration_since(now) <= CLOCK_OFFSET_MAX {
        return None;
    }
    Some(Problem {
        severity: Severity::Critical,
        kind: "clock.behind".to_owned(),
        subject: "clock".to_owned(),
        message: format!(
            "slots up to {decided_at} are decided, and the clock says {now}: it was set back, and no task that \
             is decided so far comes due again before that"
        ),
        action: "see that the clock is right now; if it was ahead before, wait until then, and trigger by hand \
                 what must run sooner"
            .to_owned(),
        since: now,
    })
}

fn failing(task: &Task, now: Timestamp) -> Problem {
    let failures = task.health.consecutive_failures;
    let last = task.health.last_run.as_ref();
    let run = last.map_or_else(String::new, |last| {
        format!(
            "; the newest is {}/runs/{}: {}",
            task.resource_name(),
            last.run,
            last.state.as_str().replace('_', " ")
        )
    });
    Problem {
        severity: if failures < FAILURES_CRITICAL {
            Severity::Warning
        } else {
            Severity::Critical
        },
        kind: "task.failing".to_owned(),
        subject: task.resource_name(),
        message: match failures {
            1 => format!("its last run has failed{run}"),
            more => format!("{more} runs in a row have failed{run}"),
        },
        action: "read the run's message and log, mend the cause, and retry it".to_owned(),
        since: task.health.failing_since.unwrap_or(now),
    }
}

/// Where the last status is kept.
pub(super) type StatusCache = OnceLock<Cached>;
