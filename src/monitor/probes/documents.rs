//! Documents that are past their day.

use std::time::Duration;

use futures_util::future::BoxFuture;

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

/// Documents whose task has not moved them.
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
            Ok(Look::of(report.late.iter().map(overdue).collect()))
        })
    }
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
