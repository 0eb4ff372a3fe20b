//! The rules of time zones: sees whether the host has others, and plans anew what was planned by others.
//!
//! A task's row says by which rules its next slot was found. What was decided stays: a plan is only when the next slot
//! comes after the cursor, so that planning it anew neither loses nor repeats one.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Engine;
use crate::{
    domain::{TaskId, decide, rules::ZoneRules, schedule},
    error::{Error, Result},
    store::Planned,
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// Tasks planned anew in one transaction.
const BATCH: u64 = 200;

/// Those that this process uses.
pub fn rules_in_use() -> ZoneRules {
    ZoneRules::new(&schedule::tzdb_version(), schedule::zones_in_use())
}

/// The loop that looks.
#[derive(Debug)]
pub struct Rules {
    engine: Engine,
    /// The plans are known to be by the rules in use, or by those of another server that has newer ones.
    settled: bool,
}

impl Rules {
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            settled: false,
        }
    }

    /// Looks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.tick()).await {
                warn!(%error, "could not plan by the rules of time zones as they are; trying again");
            }
            let next = self.engine.clock().sleep_for(EVERY);
            stop.run_until_cancelled(next).await;
        }
    }

    /// Looks whether the rules have changed, and plans anew where that is so, at the first look, and while servers differ:
    /// each of them plans what it decides by its own.
    ///
    /// # Errors
    /// Where the database is away: the next tick does it.
    pub async fn tick(&mut self) -> Result<()> {
        let before = schedule::tzdb_version();
        let changed = tokio::task::spawn_blocking(schedule::refresh_zones).await;
        let changed = changed.map_err(Error::internal)?;
        let now = schedule::tzdb_version();
        if before != now || !changed.is_empty() {
            self.settled = false;
            info!(%before, %now, ?changed, "the tz database is another: it was {before}, and is {now}; the rules of these zones have changed: {changed:?}");
        }
        let others = self.unlike_others().await?;
        if self.settled && others.is_empty() {
            return Ok(());
        }
        let own = rules_in_use();
        let yields = others.iter().any(|other| own.order(other).is_lt());
        let Passed { planned, left } = self.pass(yields).await?;
        if 0 < planned {
            info!(
                planned,
                "tasks were planned anew by the rules of {now}: {planned}"
            );
        }
        self.engine
            .board()
            .note(|notes| notes.planned_otherwise = left);
        // Those that differ may decide at any moment, also the last before they are gone.
        self.settled = others.is_empty();
        Ok(())
    }

    /// The rules of servers that live and have others.
    async fn unlike_others(&self) -> Result<Vec<ZoneRules>> {
        let engine = &self.engine;
        if engine.store().kind() != "postgresql" {
            return Ok(Vec::new());
        }
        let (own, now) = (rules_in_use(), engine.clock().now());
        let replicas = engine.store().replicas().await?;
        let others = replicas
            .iter()
            .filter(|other| other.id != engine.replica().id)
            .filter(|other| other.is_alive(now));
        let rules = others.filter_map(|other| ZoneRules::read(&other.rules));
        Ok(rules.filter(|rules| own.is_unlike(rules)).collect())
    }

    /// One pass over all tasks. With `yields`, another server has newer rules: nothing is changed, only counted.
    async fn pass(&self, yields: bool) -> Result<Passed> {
        let mut passed = Passed::default();
        let mut behind = None;
        loop {
            let known = schedule::known_rules();
            let found = self.engine.store().planned_besides(&known, behind, BATCH);
            let found = found.await?;
            let Some(last) = found.last() else {
                return Ok(passed);
            };
            behind = Some(last.id);
            let unlike = self.unlike(found).await?;
            match yields {
                true => passed.left += unlike.len() as u64,
                false => passed.planned += self.plan(&unlike).await?,
            }
        }
    }

    /// Those of them that were planned by other rules than this process would.
    async fn unlike(&self, found: Vec<Planned>) -> Result<Vec<TaskId>> {
        let of: Vec<_> = found
            .iter()
            .map(|task| (task.id, task.name.clone(), task.revision))
            .collect();
        let schedules = self.engine.schedules(&of).await?;
        let is_unlike = |task: &Planned| match schedules.get(&task.id) {
            Some(Ok(schedule)) => schedule.rules() != task.rules,
            // The auditor tells of it.
            Some(Err(_)) | None => false,
        };
        let unlike = found.iter().filter(|task| is_unlike(task));
        Ok(unlike.map(|task| task.id).collect())
    }

    async fn plan(&self, tasks: &[TaskId]) -> Result<u64> {
        if tasks.is_empty() {
            return Ok(0);
        }
        let mut tx = self.engine.store().begin().await?;
        let rows = tx.courses_locked(tasks).await?;
        let courses = self.engine.courses(&mut tx, rows).await?;
        let mut moved = Vec::with_capacity(courses.len());
        for mut course in courses {
            if let Ok(schedule) = self.engine.schedule_on(&course) {
                decide::plan_next(&mut course, &schedule);
                moved.push((course.cursor_at, course));
            }
        }
        tx.replan(&moved).await?;
        tx.commit().await?;
        Ok(moved.len() as u64)
    }
}

/// What a pass came to.
#[derive(Debug, Default)]
struct Passed {
    planned: u64,
    /// Planned by other rules, and left to the server that has newer ones.
    left: u64,
}
