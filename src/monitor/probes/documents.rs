//! Documents that are past their day, numbers that are there twice, and what depends on
//! what is no more.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    domain::{
        Event, EventKind,
        problem::{Problem, ProblemKind},
    },
    error::Result,
    monitor::probe::{Look, Probe, Scope},
    records::{Documents, EFFECTIVE_TASK, LateDocuments, OBSOLESCENCE_TASK},
    store::Due,
};

const PERIOD: Duration = Duration::from_secs(60);
/// Numbers with twins that a problem names.
const TWINS_NAMED: usize = 5;

/// Documents whose task has not moved them, numbers that differ in case alone, and what depends on what is no more.
#[derive(Debug)]
pub(in crate::monitor) struct DocumentsProbe(pub(in crate::monitor) Documents);

impl Probe for DocumentsProbe {
    fn name(&self) -> &'static str {
        "documents"
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn is_touched_by(&self, event: &Event) -> bool {
        let of_task = |name: &str| event.task() == Some(name);
        match event.kind {
            // Their periods say what is late.
            EventKind::TaskUpdated => of_task(EFFECTIVE_TASK) || of_task(OBSOLESCENCE_TASK),
            _ => event.is_of_document(),
        }
    }

    fn rest(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            let report = self.0.report_now().await?;
            let mut problems: Vec<Problem> = report.late.iter().map(overdue).collect();
            let twins = self.0.store().number_twins().await?;
            if !twins.is_empty() {
                problems.push(told_of_twins(&twins, self.0.clock().now()));
            }
            problems.extend(super::stranded::stranded(&self.0).await?);
            Ok(Look::of(problems))
        })
    }
}

/// Numbers that differ in case alone, from before they were one.
fn told_of_twins(twins: &[Vec<String>], now: Timestamp) -> Problem {
    let mut names: Vec<String> = twins
        .iter()
        .take(TWINS_NAMED)
        .map(|spellings| spellings.join(" and "))
        .collect();
    if names.len() < twins.len() {
        names.push("…".to_owned());
    }
    let are = match twins.len() {
        1 => "1 number is".to_owned(),
        count => format!("{count} numbers are"),
    };
    let message = format!(
        "{are} there in spellings that differ in case alone, each a document of its own: {}",
        names.join(", ")
    );
    Problem::new(ProblemKind::DocumentNumberTwins, "documents", message, now)
}

fn overdue(late: &LateDocuments) -> Problem {
    let (kind, what) = match late.due {
        Due::Effective => (ProblemKind::DocumentEffectiveOverdue, "effective"),
        Due::Obsolete => (ProblemKind::DocumentObsolescenceOverdue, "obsolete"),
    };
    let (task, count) = (late.task, late.count);
    let mut names: Vec<String> = late
        .named
        .iter()
        .map(|due| format!("{} ({})", due.known.key, due.day))
        .collect();
    if names.len() < usize::try_from(count).unwrap_or(usize::MAX) {
        names.push("…".to_owned());
    }
    let are = match count {
        1 => "1 document should be".to_owned(),
        count => format!("{count} documents should be"),
    };
    let message = format!(
        "{are} {what} and are not, for longer than two periods of the task: {}",
        names.join(", ")
    );
    Problem::new(kind, format!("tasks/{task}"), message, late.since).action(format!(
        "see whether tasks/{task} runs, and what its last run says of them; `bellctl task trigger {task} --wait` \
         tries again"
    ))
}
