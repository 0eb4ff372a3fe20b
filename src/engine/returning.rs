//! Tasks that ended with an earlier configuration and are named again: each goes on as the task that it was, with
//! its id, runs, health, overrides and pause. What fell between is one row of its ledger: nothing of it is made up for.

use std::collections::BTreeMap;

use super::{Engine, deciding::skipped};
use crate::{
    domain::{
        EventKind, Task, TaskName, decide,
        ledger::SlotOutcome,
        task::{Layers, Origin},
    },
    error::Result,
};

/// Tasks that are to be, with what lies below the API's layer.
type ToBe = Vec<(TaskName, Layers)>;

impl Engine {
    /// Takes up those of `new` that had ended; returns the others, and how many came back.
    ///
    /// # Errors
    /// Where the database is away, or what a task is to be does not fit.
    pub(super) async fn take_up(&self, new: ToBe) -> Result<(ToBe, usize)> {
        let names: Vec<&TaskName> = new.iter().map(|(name, _)| name).collect();
        let mut ended: BTreeMap<TaskName, Task> = BTreeMap::new();
        for task in self.store().tasks_ended(&names).await? {
            // One that someone deleted is gone for good; one of a policy's is that policy's.
            if task.layers.origin() != Origin::Api && task.layers.owner.is_none() {
                ended.entry(task.name.clone()).or_insert(task);
            }
        }
        let (mut others, mut returned) = (Vec::new(), 0);
        for (name, layers) in new {
            match ended.get(&name).filter(|_| layers.owner.is_none()) {
                Some(task) if self.take_up_one(task, &layers).await? => returned += 1,
                _ => others.push((name, layers)),
            }
        }
        Ok((others, returned))
    }

    /// Whether the task came back: another replica may have been quicker.
    async fn take_up_one(&self, ended: &Task, layers: &Layers) -> Result<bool> {
        let mut tx = self.store().begin().await?;
        let Some(mut task) = tx.task_ended_locked(ended.id).await? else {
            return Ok(false);
        };
        let now = tx.now();
        let since = task.deleted_at.unwrap_or(task.cursor_at);
        let why = format!("not in the configuration from {since} to {now}");
        let schedule = self.schedule_or_none(&task)?;
        let facts = self.facts(&schedule, now);
        let mut course = task.course();
        let row = decide::close(&mut course, &facts, now, SlotOutcome::SkippedEnded, why);
        if let Some(row) = row {
            if 0 < row.count {
                tx.tell(skipped(&course, &row));
            }
            tx.slots_insert(&[row]).await?;
        }
        decide::plan_next(&mut course, &schedule);
        task.follow(course);
        task.deleted_at = None;
        self.touch(&mut tx, &mut task, EventKind::TaskCreated)
            .await?;
        self.relayer_locked(&mut tx, &mut task, layers).await?;
        tx.commit().await?;
        Ok(true)
    }
}
