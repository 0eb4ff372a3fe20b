//! What is wrong with the work itself, whatever the reason: tasks without a full success, runs that wait, and pauses
//! that swallow slots.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use super::{
    Engine,
    shown::{SHOWN, Shown},
};
use crate::{
    domain::{
        RunId, TaskName,
        problem::{Problem, ProblemKind, Severity},
        retry::{earlier, later},
        task::{BOUND_MIN, LOOKED_AT_WITHIN, LastRun, Pause, bound},
    },
    error::Result,
    store::{FreshnessCheck, FreshnessRow, PausedTask, Waiting},
};

/// Tasks looked at in one go.
const CHUNK: usize = 500;
/// How long everything may be paused before that is grave.
const PAUSE_GRAVE: SignedDuration = SignedDuration::from_hours(24);
/// What was noted is later than now by so much at the most, where the clock was right.
const AHEAD: Duration = Duration::from_secs(60);

impl Engine {
    /// All that is wrong with the work, and when it has to be looked at again at the latest. Its cost is that of what
    /// is live or wrong: most tasks are not read.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn work_problems(&self) -> Result<(Vec<Problem>, Option<Timestamp>)> {
        let now = self.clock().now();
        let pause = self.store().global_pause().await?;
        let mut problems = self.stale(pause.as_ref(), now).await?;
        problems.extend(self.overdue(now).await?);
        let mut again_at = vec![self.store().freshness_next(now).await?];
        if let Some(pause) = &pause {
            let first = self.store().first_due().await?;
            problems.extend(all_paused(pause, first, now));
            again_at.push(first);
            again_at.push(pause.at.checked_add(PAUSE_GRAVE).ok());
        }
        let (paused, next_due_at) = self.paused(now).await?;
        problems.extend(paused);
        again_at.push(next_due_at);
        let again_at = again_at.into_iter().flatten().filter(|at| now < *at).min();
        Ok((problems, again_at))
    }

    async fn stale(&self, pause: Option<&Pause>, now: Timestamp) -> Result<Vec<Problem>> {
        let mut stale = Shown::default();
        let store = self.store();
        let mut behind = None;
        let mut rows = store
            .freshness_beyond(now, later(now, LOOKED_AT_WITHIN), CHUNK)
            .await?;
        loop {
            if rows.is_empty() {
                rows = store.freshness_due(now, behind, CHUNK).await?;
                let Some(last) = rows.last() else { break };
                behind = Some((last.check_at, last.id));
            }
            let of: Vec<_> = rows
                .iter()
                .map(|row| (row.id, row.name.clone(), row.revision))
                .collect();
            let told = self.told(&of).await?;
            let mut checks = Vec::new();
            for row in std::mem::take(&mut rows) {
                // One that cannot be read is the auditor's to tell.
                let Some((spec, schedule)) = told.get(&row.id) else {
                    continue;
                };
                let bound = row.freshness.bound(spec.stale_after);
                let paused = [row.pause.as_ref(), pause];
                let paused = paused.into_iter().flatten().min_by_key(|pause| pause.at);
                let stale_at = row.freshness.stale_at(schedule, bound);
                match row.freshness.stale_since(schedule, bound, paused, now) {
                    Some(since) => {
                        // From now on it is looked at each time, whatever was noted by a clock that was ahead.
                        if now < row.check_at {
                            checks.push((row.id, row.check_at, Some(now)));
                        }
                        stale.take(|| {
                            let slots = row.freshness.slots_without(schedule, now);
                            task_stale(&row, slots, since)
                        });
                    }
                    None if stale_at.is_some_and(|at| at <= now) && row.check_at <= now => {}
                    None => {
                        let next = stale_at.map(|at| at.min(later(now, LOOKED_AT_WITHIN)));
                        checks.push((row.id, row.check_at, next));
                    }
                }
            }
            // After each portion: of very many tasks a look may be cut off by a stop, and would begin anew.
            if let Err(error) = self.note_checks(&checks).await {
                // They are looked at once more.
                warn!(%error, "could not note when tasks have to be looked at next");
            }
        }
        Ok(stale.all(ProblemKind::TaskStale, "more tasks are stale", now))
    }

    async fn note_checks(&self, checks: &[FreshnessCheck]) -> Result<()> {
        if checks.is_empty() {
            return Ok(());
        }
        let mut tx = self.store().begin().await?;
        tx.freshness_checked(checks).await?;
        tx.commit().await
    }

    async fn overdue(&self, now: Timestamp) -> Result<Vec<Problem>> {
        let least = SignedDuration::try_from(BOUND_MIN).unwrap_or_default();
        let before = now.saturating_sub(least).unwrap_or(now);
        let beyond = later(now, AHEAD);
        // All of them: those that wait for no longer than they may hide none that does.
        let mut rows = Vec::new();
        loop {
            let behind = rows.last().map(|row: &Waiting| row.id);
            let page = self.store().runs_waiting(before, beyond, behind, SHOWN);
            let page = page.await?;
            let is_last = page.len() < SHOWN;
            rows.extend(page);
            if is_last {
                break;
            }
        }
        let long_past = |(_, since): &(_, Timestamp)| *since <= before;
        let forsaken = rows.iter().filter_map(|row| row.forsaken.filter(long_past));
        let settles = self.settings().lease.saturating_mul(2);
        let forsaken = self
            .forsaken()
            .since_long(forsaken, self.clock().passed(), settles);
        // How long these wait, looks tell: what was noted of them is to come.
        let to_come = rows.iter().flat_map(|row| [row.queued, row.in_line]);
        let to_come = to_come.flatten().filter(|(_, since)| beyond < *since);
        let seen_for = self.ahead().seen_for(to_come, self.clock().passed());
        let mut shown = Shown::default();
        for rows in rows.chunks(CHUNK) {
            let of: Vec<_> = rows
                .iter()
                .map(|row| (row.id, row.name.clone(), row.revision))
                .collect();
            let told = self.told(&of).await?;
            for row in rows {
                let spec = told.get(&row.id).map(|(spec, _)| spec);
                let bound = bound(row.usual, spec.and_then(|spec| spec.stale_after));
                let problem = run_forsaken(row, &forsaken)
                    .or_else(|| run_overdue(row, bound, &seen_for, now));
                if let Some(problem) = problem {
                    shown.take(|| problem);
                }
            }
        }
        let what = "more tasks have runs that are overdue";
        Ok(shown.all(ProblemKind::RunOverdue, what, now))
    }

    /// What pauses of single tasks swallow, and when the next slot of one of them comes.
    async fn paused(&self, now: Timestamp) -> Result<(Vec<Problem>, Option<Timestamp>)> {
        let (mut shown, mut next_due_at) = (Shown::default(), None);
        let mut behind = None;
        loop {
            let tasks = self.store().tasks_paused(behind.as_ref(), SHOWN).await?;
            let Some(last) = tasks.last() else { break };
            behind = Some(last.name.clone());
            for task in &tasks {
                if let Some(problem) = task_paused(task, now) {
                    shown.take(|| problem);
                }
                let next = task.next_due_at.filter(|at| now < *at);
                next_due_at = next_due_at.into_iter().chain(next).min();
            }
        }
        let what = "more tasks are paused, and miss slots";
        Ok((shown.all(ProblemKind::TaskPaused, what, now), next_due_at))
    }
}

fn subject(name: &TaskName) -> String {
    format!("tasks/{name}")
}

fn task_stale(row: &FreshnessRow, slots: u64, since: Timestamp) -> Problem {
    let named = match slots {
        1 => "1 slot was".to_owned(),
        more => format!("{more} slots were"),
    };
    let message = match row.freshness.fresh_at {
        Some(at) => format!(
            "{named} due since its newest full success, at {at}, and none brought another; {}",
            newest(row)
        ),
        None => format!(
            "{named} due since {}, and no run of it has succeeded in full yet; {}",
            row.freshness.scheduled_from,
            newest(row)
        ),
    };
    Problem::new(ProblemKind::TaskStale, subject(&row.name), message, since)
}

fn newest(row: &FreshnessRow) -> String {
    let Some(LastRun {
        run,
        state,
        outcome,
        ..
    }) = &row.last_run
    else {
        return "no run of it has ended".to_owned();
    };
    let outcome = outcome.map_or_else(String::new, |outcome| {
        format!(", {}", outcome.as_str().replace('_', " "))
    });
    format!(
        "its newest run is {}/runs/{run}: {}{outcome}",
        subject(&row.name),
        state.as_str().replace('_', " ")
    )
}

/// A run that no server moves on: none looks after it, so that what its task usually takes is no reason to wait.
fn run_forsaken(row: &Waiting, forsaken: &BTreeSet<RunId>) -> Option<Problem> {
    let (run, since) = row.forsaken.filter(|(run, _)| forsaken.contains(run))?;
    let message = format!(
        "run {run} should have been moved on at {since}, when its lease passed or its retry was due, and no server has"
    );
    Some(Problem::new(
        ProblemKind::RunOverdue,
        subject(&row.name),
        message,
        later(since, BOUND_MIN),
    ))
}

/// `seen_for`: how long those wait that were noted by a clock that was ahead.
fn run_overdue(
    row: &Waiting,
    bound: Duration,
    seen_for: &BTreeMap<RunId, Duration>,
    now: Timestamp,
) -> Option<Problem> {
    let believed = |(run, since): (RunId, Timestamp)| {
        let seen = seen_for.get(&run).map(|seen| earlier(now, *seen));
        (run, seen.unwrap_or(since))
    };
    let passed = |(_, since): &(_, Timestamp)| later(*since, bound) <= now;
    let queued = row.queued.map(believed).filter(passed);
    let (message, since) = if let Some((run, since)) = queued {
        let message = format!(
            "run {run} may start since {since} and has not: no server had a place for it, or knows its kind"
        );
        (message, since)
    } else {
        let (run, since) = row.in_line.map(believed).filter(passed)?;
        let message =
            format!("run {run} stands in line, and what is before it has not ended since {since}");
        (message, since)
    };
    Some(Problem::new(
        ProblemKind::RunOverdue,
        subject(&row.name),
        message,
        later(since, bound),
    ))
}

/// `first` is when the first slot was due that no task's own pause holds.
fn all_paused(pause: &Pause, first: Option<Timestamp>, now: Timestamp) -> Option<Problem> {
    let since = swallows_since(pause, first, now)?;
    // One that a clock has begun which was ahead may have lasted for any time.
    let severity = if PAUSE_GRAVE <= now.duration_since(pause.at) || later(now, AHEAD) < pause.at {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let message = super::pauses::paused("everything", pause);
    Some(Problem::new(ProblemKind::Paused, "scheduler", message, since).severity(severity))
}

fn task_paused(task: &PausedTask, now: Timestamp) -> Option<Problem> {
    let pause = &task.pause;
    // One without slots to come loses none.
    let next = task.next_due_at?;
    let since = swallows_since(pause, Some(next), now)?;
    let message = super::pauses::paused("it", pause);
    Some(Problem::new(
        ProblemKind::TaskPaused,
        subject(&task.name),
        message,
        since,
    ))
}

/// Since when a pause needs someone: from its beginning where it has no end, else from the first slot that falls into
/// it.
fn swallows_since(pause: &Pause, first: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    match pause.until {
        None => Some(pause.at),
        Some(_) => first.filter(|due_at| *due_at <= now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn pause(until: Option<&str>) -> Pause {
        Pause {
            at: at("2026-03-02T12:00:00Z"),
            principal: "ada".to_owned(),
            reason: String::new(),
            until: until.map(at),
            ending: None,
        }
    }

    #[test]
    fn a_pause_without_an_end_is_told_at_once_and_is_grave_after_a_day() {
        let told = |now: &str| all_paused(&pause(None), None, at(now)).unwrap();
        assert_eq!(told("2026-03-02T12:00:00Z").severity, Severity::Warning);
        assert_eq!(told("2026-03-03T11:59:59Z").severity, Severity::Warning);
        let grave = told("2026-03-03T12:00:00Z");
        assert_eq!(grave.severity, Severity::Critical);
        assert_eq!(grave.since, at("2026-03-02T12:00:00Z"));
        // By clocks that differ, and by one that was ahead.
        assert_eq!(told("2026-03-02T11:59:30Z").severity, Severity::Warning);
        assert_eq!(told("2026-03-02T11:00:00Z").severity, Severity::Critical);
    }

    #[test]
    fn a_pause_with_an_end_is_told_once_it_has_swallowed_a_slot() {
        let pause = pause(Some("2026-03-02T18:00:00Z"));
        let first = at("2026-03-02T13:00:00Z");
        let told = |now: &str| all_paused(&pause, Some(first), at(now));
        assert_eq!(told("2026-03-02T12:59:59Z"), None);
        let problem = told("2026-03-02T13:00:00Z").unwrap();
        assert_eq!(
            (problem.severity, problem.since),
            (Severity::Warning, first)
        );
        assert_eq!(all_paused(&pause, None, at("2026-03-05T13:00:00Z")), None);
    }
}
