//! Pausing and resuming, one task or all.

use jiff::Timestamp;

use super::{Engine, deciding::skipped};
use crate::{
    domain::{
        Caller, EventKind, NewEvent, Task, TaskName, bounds,
        decide::{self, Facts},
        task::Pause,
    },
    error::{Error, Reason, Result},
    store::{Remember, Tx},
};

impl Engine {
    /// Stops deciding slots of the task. What was due before is decided first.
    ///
    /// # Errors
    /// [`Error::Conflict`] `PAUSED` where it is paused already; [`Error::Invalid`] for `until_time`.
    pub async fn pause_task(
        &self,
        who: &Caller,
        name: &TaskName,
        reason: &str,
        until: Option<Timestamp>,
        remember: Option<Remember<'_, Task>>,
    ) -> Result<Task> {
        self.refuse_held()?;
        let mut tx = self.begin_after_pauses().await?;
        let pause = pause_by(who, reason, until, tx.now())?;
        let mut task = self.settled(&mut tx, name).await?;
        if let Some(pause) = &task.pause {
            return Err(Error::conflict(
                Reason::Paused,
                task.resource_name(),
                paused(&task.resource_name(), pause),
            ));
        }
        task.pause = Some(pause);
        self.touch(&mut tx, &mut task, EventKind::TaskPaused)
            .await?;
        tx.keep(who, remember, &task).await?;
        tx.commit().await?;
        Ok(task)
    }

    /// Ends the pause of a task: what fell into it becomes one row of the ledger.
    ///
    /// # Errors
    /// [`Error::Conflict`] `NOT_PAUSED`
    pub async fn resume_task(
        &self,
        who: &Caller,
        name: &TaskName,
        remember: Option<Remember<'_, Task>>,
    ) -> Result<Task> {
        self.refuse_held()?;
        let mut tx = self.store().begin().await?;
        let mut task = tx.task_locked(name).await?;
        let Some(pause) = task.pause.clone() else {
            let message = format!("{} is not paused", task.resource_name());
            return Err(Error::conflict(
                Reason::NotPaused,
                task.resource_name(),
                message,
            ));
        };
        self.leave_pause(&mut tx, &mut task, &pause).await?;
        task.pause = None;
        self.touch(&mut tx, &mut task, EventKind::TaskResumed)
            .await?;
        tx.keep(who, remember, &task).await?;
        tx.commit().await?;
        Ok(task)
    }

    /// Stops deciding slots of all tasks.
    ///
    /// # Errors
    /// [`Error::Conflict`] `PAUSED` where all is paused already; [`Error::Invalid`] for `until_time`.
    pub async fn pause_all(
        &self,
        who: &Caller,
        reason: &str,
        until: Option<Timestamp>,
        remember: Option<Remember<'_, Pause>>,
    ) -> Result<Pause> {
        self.refuse_held()?;
        self.decide_everything_due().await?;
        let mut tx = self.store().begin().await?;
        let pause = pause_by(who, reason, until, tx.now())?;
        if let Some(pause) = tx.global_pause_to_set().await? {
            return Err(Error::conflict(
                Reason::Paused,
                "scheduler",
                paused("everything", &pause),
            ));
        }
        tx.set_global_pause(&Some(pause.clone())).await?;
        tx.tell(NewEvent::new(
            EventKind::AllPaused,
            None,
            "scheduler".to_owned(),
            &pause,
        ));
        tx.keep(who, remember, &pause).await?;
        tx.commit().await?;
        self.board().note(|notes| notes.changes += 1);
        Ok(pause)
    }

    /// Begins a write for whoever settles a task in it. A pause of all that is over is ended before, so that what was due
    /// since is decided by what was in force then; and none begins to end before this write is over.
    pub(super) async fn begin_after_pauses(&self) -> Result<Tx> {
        loop {
            let mut tx = self.store().begin().await?;
            let pause = tx.global_pause_locked().await?;
            let Some(pause) = pause.filter(|pause| pause.is_to_end(tx.now())) else {
                return Ok(tx);
            };
            if self.held().is_some() {
                return Ok(tx);
            }
            drop(tx);
            self.end_global_pause(&pause).await?;
        }
    }

    /// The task, locked, with everything decided that is due by now; unless something is paused.
    pub(super) async fn settled(&self, tx: &mut Tx, name: &TaskName) -> Result<Task> {
        let paused = tx.global_pause_locked().await?.is_some();
        let task = tx.task_locked(name).await?;
        let held = self.held().is_some();
        if paused || held || task.wake_at().is_none_or(|at| tx.now() < at) {
            return Ok(task);
        }
        self.decide(tx, vec![task.course()]).await?;
        tx.task_locked(name).await
    }

    /// Writes the row of a pause up to now, or to its end where that has passed.
    pub(super) async fn leave_pause(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        pause: &Pause,
    ) -> Result<()> {
        let schedule = self.schedule_or_none(task)?;
        let facts = self.facts(&schedule, tx.now());
        let mut course = task.course();
        let row = decide::close_pause(&mut course, &facts, pause, pause.ends_at(tx.now()));
        if let Some(row) = row {
            tx.tell(skipped(&course, &row));
            tx.slots_insert(&[row]).await?;
        }
        decide::plan_next(&mut course, &schedule);
        task.follow(course);
        Ok(())
    }

    /// Writes a changed task as its next version, and tells of it.
    pub(super) async fn touch(&self, tx: &mut Tx, task: &mut Task, kind: EventKind) -> Result<()> {
        task.version += 1;
        task.updated_at = tx.now();
        tx.task_update(task).await?;
        tx.tell(NewEvent::new(
            kind,
            Some(task.id),
            task.resource_name(),
            task,
        ));
        Ok(())
    }

    pub(super) fn facts<'a>(
        &'a self,
        schedule: &'a crate::domain::schedule::Schedule,
        now: Timestamp,
    ) -> Facts<'a> {
        Facts {
            schedule,
            now,
            live: &[],
        }
    }

    async fn decide_everything_due(&self) -> Result<()> {
        super::Scheduler::new(self.clone()).tick().await?;
        Ok(())
    }
}

/// Who paused what, when, why and until when: for whoever meets the pause.
pub(super) fn paused(what: &str, pause: &Pause) -> String {
    let mut text = format!(
        "{what} has been paused since {} by {}",
        pause.at, pause.principal
    );
    if !pause.reason.is_empty() {
        text.push_str(&format!(" ({})", pause.reason));
    }
    if let Some(until) = pause.until {
        text.push_str(&format!(", until {until}"));
    }
    if let Some(ending) = &pause.ending {
        let tasks = ending.tasks;
        text.push_str(&format!(
            "; that is ending, and has ended for {tasks} tasks"
        ));
    }
    text
}

fn pause_by(who: &Caller, reason: &str, until: Option<Timestamp>, now: Timestamp) -> Result<Pause> {
    bounds::pause_end(until, now)?;
    Ok(Pause {
        at: now,
        principal: who.principal.clone(),
        reason: reason.to_owned(),
        until,
        ending: None,
    })
}
