//! How many documents stand where someone should know, and which are past their day.
//!
//! What it costs does not depend on who asks: it is read again when documents have changed, or a minute has passed.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::Documents;
use crate::{
    clock::Stopwatch,
    domain::{
        TaskName,
        document::{DocumentFigures, day_begins},
        schedule::{Schedule, just_before},
    },
    error::{Error, Result},
    store::{Due, DueDocument},
};

/// How long figures hold while documents change, and while they do not.
const FRESH_AT_LEAST_FOR: Duration = Duration::from_millis(250);
const FRESH_FOR: SignedDuration = SignedDuration::from_secs(60);
/// The period of a task that has no schedule, or is not there: the one that ships.
const PERIOD: SignedDuration = SignedDuration::from_hours(1);
/// How far back the slots of its schedule are looked for.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24 * 400);
/// How many times as long as it took the count of what is without content is left alone.
const RESTS: u32 = 20;
/// Documents that a problem names.
const NAMED: u64 = 5;

/// The task that activates documents, and the one that retires them.
pub const EFFECTIVE_TASK: &str = "process-document-effective-dates";
pub const OBSOLESCENCE_TASK: &str = "process-document-obsoletion-dates";

/// What is known of documents, for the status.
#[derive(Clone, Debug, Default)]
pub struct DocumentsReport {
    pub figures: DocumentFigures,
    pub late: Vec<LateDocuments>,
}

/// Documents that are past their day for longer than two periods of the task that moves them.
#[derive(Clone, Debug)]
pub struct LateDocuments {
    pub due: Due,
    pub task: &'static str,
    pub count: i64,
    /// The first of them.
    pub named: Vec<DueDocument>,
    /// When the day of the first began.
    pub since: Timestamp,
}

#[derive(Debug)]
pub(super) struct Known {
    read: Stopwatch,
    at: Timestamp,
    /// The last event of a document by then.
    upto: i64,
    report: Arc<DocumentsReport>,
}

/// How many documents are in force without content, when that was counted, and how long it took.
#[derive(Clone, Copy, Debug)]
struct Bare {
    counted: Stopwatch,
    took: Duration,
    /// The last event of a document by then.
    upto: i64,
    count: i64,
}

/// Where the last report is kept, and the last count of what is in force without content.
#[derive(Debug, Default)]
pub(super) struct ReportCache {
    known: Mutex<Option<Known>>,
    bare: Mutex<Option<Bare>>,
}

impl Documents {
    /// How documents are.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn report(&self) -> Result<Arc<DocumentsReport>> {
        let mut cached = self.inner.report.known.lock().await;
        let now = self.clock().now();
        let upto = self.store().tail().last_of_documents();
        if let Some(known) = &*cached {
            let age = now.duration_since(known.at);
            // While the log has stalled, that nothing is heard says nothing.
            let unchanged = known.upto == upto && !age.is_negative() && age < FRESH_FOR;
            let unchanged = unchanged && self.store().tail().hears();
            let young = age.abs() < FRESH_FOR && known.read.elapsed() < FRESH_AT_LEAST_FOR;
            if unchanged || young {
                return Ok(known.report.clone());
            }
        }
        let known = self.read_anew(now, upto).await?;
        let report = known.report.clone();
        *cached = Some(known);
        Ok(report)
    }

    /// The same, after whatever has happened by now.
    ///
    /// # Errors
    /// As [`Documents::report`].
    pub async fn report_now(&self) -> Result<Arc<DocumentsReport>> {
        let upto = self.store().tail().last_of_documents();
        let known = self.read_anew(self.clock().now(), upto).await?;
        let report = known.report.clone();
        *self.inner.report.known.lock().await = Some(known);
        Ok(report)
    }

    async fn read_anew(&self, now: Timestamp, upto: i64) -> Result<Known> {
        let read = Stopwatch::start();
        let bare = self.bare(upto).await?;
        let report = Arc::new(self.read_report(now, bare.count).await?);
        Ok(Known {
            read,
            at: now,
            // A count of before is looked at again.
            upto: upto.min(bare.upto),
            report,
        })
    }

    /// How many documents are in force without content. Where there are very many of them that takes a while, and is done
    /// again only after a multiple of it.
    async fn bare(&self, upto: i64) -> Result<Bare> {
        let mut last = self.inner.report.bare.lock().await;
        if let Some(bare) = *last
            && bare.counted.elapsed() < bare.took * RESTS
        {
            return Ok(bare);
        }
        let counted = Stopwatch::start();
        let types = &self.settings().types;
        let count = self.store().documents_without_content(types).await?;
        let bare = Bare {
            counted,
            took: counted.elapsed(),
            upto,
            count,
        };
        *last = Some(bare);
        Ok(bare)
    }

    async fn read_report(&self, now: Timestamp, bare: i64) -> Result<DocumentsReport> {
        let store = self.store();
        let day = self.day_of(now);
        let today = day_begins(&self.settings().zone.rules(), day);
        let mut report = DocumentsReport {
            figures: DocumentFigures {
                pending_effective: store.documents_waiting(Due::Effective).await?,
                scheduled_obsolescence: store.documents_waiting(Due::Obsolete).await?,
                overdue: 0,
                activated_today: store.documents_activated_since(today).await?,
                without_content: bare,
                today: Some(day),
            },
            late: Vec::new(),
        };
        for (due, task) in [
            (Due::Effective, EFFECTIVE_TASK),
            (Due::Obsolete, OBSOLESCENCE_TASK),
        ] {
            let waiting = match due {
                Due::Effective => report.figures.pending_effective,
                Due::Obsolete => report.figures.scheduled_obsolescence,
            };
            if waiting == 0 {
                continue;
            }
            let since = self.two_periods_ago(task, now).await?;
            let late = store.documents_late(due, self.day_of(since), since, NAMED);
            let (count, named) = late.await?;
            report.figures.overdue += count;
            if let Some(oldest) = named.first() {
                let since = day_begins(&self.settings().zone.rules(), oldest.day);
                report.late.push(LateDocuments {
                    due,
                    task,
                    count,
                    named,
                    since,
                });
            }
        }
        Ok(report)
    }

    /// What was due then, the task has had two of its periods to see to: a slot at which it was due, or soon
    /// after, and two more.
    async fn two_periods_ago(&self, task: &str, now: Timestamp) -> Result<Timestamp> {
        let usual = now.saturating_sub(PERIOD * 2).unwrap_or(Timestamp::MIN);
        let name: TaskName = task.parse()?;
        let task = match self.store().task(&name).await {
            Ok(task) => task,
            Err(Error::NotFound { .. }) => return Ok(usual),
            Err(error) => return Err(error),
        };
        let Ok(schedule) = Schedule::parse(&task.spec.schedule, name.as_str(), "UTC") else {
            return Ok(usual);
        };
        if schedule.is_manual() {
            return Ok(usual);
        }
        let from = now.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
        let mut at = schedule.last_between(from, now);
        for _ in 0..2 {
            at = at.and_then(|slot| schedule.last_between(from, just_before(slot)));
        }
        Ok(at.unwrap_or(from))
    }
}
