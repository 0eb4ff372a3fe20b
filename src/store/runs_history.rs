//! Figures of finished runs.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::FromQueryResult;

use super::{Store, convert, convert::micros};
use crate::{
    domain::{Outcome, RunState, TaskId, run::reason},
    error::Result,
};

/// Figures of the runs that finished in a span; dry runs do not count.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub runs: i64,
    pub successes: i64,
    pub partial: i64,
    pub failures: i64,
    pub cancelled: i64,
    /// p50, p95 and maximum of the time from start to finish.
    pub durations: Option<[Duration; 3]>,
    /// p50, p95 and maximum of the time from due to start.
    pub latencies: Option<[Duration; 3]>,
    /// There were more runs than are looked at.
    pub sampled: bool,
}

/// Runs looked at for figures: so their cost does not grow with history.
const SAMPLE: usize = 10_000;

#[derive(FromQueryResult)]
struct Row {
    state: String,
    outcome: Option<String>,
    reason: String,
    dry_run: bool,
    due_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
}

impl Store {
    /// Figures of a task's runs that finished since `since`; `also` are outcomes that its task counts as full
    /// successes besides those that always are.
    pub async fn figures(
        &self,
        task: TaskId,
        also: &[Outcome],
        since: Timestamp,
    ) -> Result<Figures> {
        let select = self
            .sql(
                "SELECT state, outcome, reason, dry_run, due_at, started_at, finished_at FROM runs WHERE task_id = ",
            )
            .bind(task.0)
            .push(" ORDER BY id DESC LIMIT ")
            .bind(SAMPLE as i64)
            .done();
        let mut rows: Vec<Row> = self.all(select).await?;
        let since = micros(since);
        // They are read by when they were queued. Where the oldest of a full sample ended within the
        // span, there may be more that did.
        let full = rows.len() == SAMPLE;
        let mut figures = Figures {
            sampled: full
                && rows
                    .last()
                    .is_some_and(|row| row.finished_at.is_none_or(|at| since <= at)),
            ..Figures::default()
        };
        rows.retain(|row| {
            row.finished_at.is_some_and(|at| since <= at)
                && !row.dry_run
                && ![reason::SUPERSEDED_BY_SLOT, reason::RESTORED].contains(&&*row.reason)
        });
        for row in &rows {
            let state = convert::word("run state", &row.state, RunState::parse(&row.state))?;
            figures.runs += 1;
            match state {
                RunState::Succeeded => {
                    let outcome = row.outcome.as_deref().and_then(Outcome::parse);
                    match outcome.is_some_and(|outcome| outcome.is_full(also)) {
                        true => figures.successes += 1,
                        false => figures.partial += 1,
                    }
                }
                RunState::Cancelled => figures.cancelled += 1,
                RunState::Failed | RunState::TimedOut | RunState::Expired | RunState::Abandoned => {
                    figures.failures += 1;
                }
                RunState::Queued | RunState::Running | RunState::RetryWait => {}
            }
        }
        let started = || rows.iter().filter_map(|row| Some((row, row.started_at?)));
        let ended = |(row, at): (&Row, i64)| Some(row.finished_at? - at);
        figures.durations = spread(started().filter_map(ended));
        figures.latencies = spread(started().map(|(row, at)| at - row.due_at));
        Ok(figures)
    }
}

/// p50, p95 and maximum of spans in microseconds (nearest rank).
fn spread(micros: impl Iterator<Item = i64>) -> Option<[Duration; 3]> {
    let mut sorted: Vec<u64> = micros.map(|span| span.max(0).unsigned_abs()).collect();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1)?;
    let rank = |percent: usize| {
        Duration::from_micros(
            sorted[(sorted.len() * percent)
                .div_ceil(100)
                .saturating_sub(1)
                .min(last)],
        )
    };
    Some([rank(50), rank(95), rank(100)])
}
