//! Creating, changing and deleting tasks through the API.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Engine,
    catalogue::{MISFIT, merged},
    checks::refuse_never,
    deciding::skipped,
    etag::check_etag,
    owned,
};
use crate::{
    domain::{
        Caller, EventKind, NewEvent, Task, TaskId, TaskName,
        decide::{self, Facts, Waiting},
        ledger::SlotOutcome,
        schedule::{Schedule, just_before},
        task::{Freshness, Health, Layers, Origin, Override, Pause},
    },
    error::{Error, Reason, Result, all},
    store::{Remember, Tx},
};

impl Engine {
    /// Creates a task of these fields of a `TaskSpec`.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field; [`Error::AlreadyExists`].
    pub async fn create_task(
        &self,
        who: &Caller,
        name: TaskName,
        fields: Map<String, Value>,
        reason: &str,
        validate_only: bool,
        remember: Option<Remember<'_, Task>>,
    ) -> Result<Task> {
        self.refuse_older()?;
        self.refuse_held()?;
        let mut tx = self.store().begin().await?;
        let override_of = |(field, value)| (field, by(who, value, reason, tx.now()));
        let layers = Layers {
            api: fields.into_iter().map(override_of).collect(),
            ..Layers::default()
        };
        let task = self.new_task(&tx, name, layers)?;
        refuse_never(&task)?;
        add(&mut tx, &task, &who.principal, reason).await?;
        if validate_only {
            return Ok(task);
        }
        tx.keep(who, remember, &task).await?;
        tx.commit().await?;
        Ok(task)
    }

    /// Changes fields, by their paths; null takes one to its default.
    ///
    /// Decides what is due by now under the old specification first. A change of the schedule then closes the span up to
    /// now, so that no row of the ledger crosses it; but what has come and is not due yet stays.
    ///
    /// # Errors
    /// [`Error::Aborted`] `ETAG_MISMATCH`; [`Error::Invalid`] naming the field.
    #[expect(clippy::too_many_arguments, reason = "they are the request's fields")]
    pub async fn update_task(
        &self,
        who: &Caller,
        name: &TaskName,
        changes: BTreeMap<String, Value>,
        etag: Option<&str>,
        reason: &str,
        validate_only: bool,
        remember: Option<Remember<'_, Task>>,
    ) -> Result<Task> {
        self.refuse_older()?;
        self.refuse_held()?;
        let mut tx = self.begin_after_pauses().await?;
        let mut task = self.settled(&mut tx, name).await?;
        check_etag(&task, etag)?;
        let mut layers = task.layers.clone();
        for path in changes.keys() {
            if let Some(owner) = layers.owner_of(path) {
                return Err(owned::refused(&task, path, &owner.name));
            }
        }
        let now = tx.now();
        let by_whom = |(path, value)| (path, by(who, value, reason, now));
        layers.change(changes.into_iter().map(by_whom).collect())?;
        let mut spec = merged(&layers, self.default_zone())?;
        if spec.kind != task.spec.kind {
            let what = format!(
                "{:?} given, but the kind of a task cannot be changed; expected {:?}, or make another task",
                spec.kind, task.spec.kind
            );
            // The rest is judged as of the kind that stays.
            spec.kind.clone_from(&task.spec.kind);
            let rest = self.check_spec(name, &spec);
            all((Err::<(), _>(Error::invalid("kind", what)), rest))?;
        }
        let before = task.spec.schedule.clone();
        self.apply(&mut tx, &mut task, layers, &who.principal, reason)
            .await?;
        if before != task.spec.schedule {
            refuse_never(&task)?;
        }
        if validate_only {
            return Ok(task);
        }
        tx.keep(who, remember, &task).await?;
        tx.commit().await?;
        Ok(task)
    }

    /// Drops what the API has changed of a task of the registry or of the configuration.
    ///
    /// # Errors
    /// [`Error::Conflict`] `NOT_OVERRIDDEN` for a task that only the API knows.
    pub async fn reset_task(
        &self,
        who: &Caller,
        name: &TaskName,
        etag: Option<&str>,
        remember: Option<Remember<'_, Task>>,
    ) -> Result<Task> {
        self.refuse_older()?;
        self.refuse_held()?;
        let mut tx = self.begin_after_pauses().await?;
        let mut task = self.settled(&mut tx, name).await?;
        check_etag(&task, etag)?;
        if task.layers.origin() == Origin::Api {
            let message = format!(
                "{} was created through the API: there is nothing to go back to; update or delete it",
                task.resource_name()
            );
            return Err(Error::conflict(
                Reason::NotOverridden,
                task.resource_name(),
                message,
            ));
        }
        let layers = Layers {
            api: BTreeMap::new(),
            ..task.layers.clone()
        };
        self.apply(&mut tx, &mut task, layers, &who.principal, "reset")
            .await?;
        tx.keep(who, remember, &task).await?;
        tx.commit().await?;
        Ok(task)
    }

    /// Deletes a task that was created through the API. Queued runs of it proceed.
    ///
    /// # Errors
    /// [`Error::Conflict`] `NOT_DELETABLE` for a task of the registry or of the configuration.
    pub async fn delete_task(
        &self,
        who: &Caller,
        name: &TaskName,
        etag: Option<&str>,
        remember: Option<Remember<'_, ()>>,
    ) -> Result<()> {
        self.refuse_held()?;
        let mut tx = self.begin_after_pauses().await?;
        let mut task = self.settled(&mut tx, name).await?;
        check_etag(&task, etag)?;
        let advice = match task.layers.origin() {
            Origin::Api => None,
            Origin::BuiltIn => Some("it ships with the server; pause it instead"),
            Origin::Configuration => Some("it stands in the configuration file; remove it there"),
            Origin::Owner => Some("it belongs to a policy; delete that"),
        };
        if let Some(advice) = advice {
            let owner = task.layers.owner.as_ref().map(|owner| owner.name.as_str());
            let owner = owner.map_or_else(String::new, |owner| format!(" ({owner})"));
            let message = format!(
                "{} cannot be deleted: {advice}{owner}",
                task.resource_name()
            );
            return Err(Error::conflict(
                Reason::NotDeletable,
                task.resource_name(),
                message,
            ));
        }
        self.end_task(&mut tx, &mut task, &format!("deleted by {}", who.principal))
            .await?;
        tx.keep(who, remember, &()).await?;
        tx.commit().await
    }

    /// Closes a task's ledger, and marks it deleted. Its pause stays on it, for one that comes back.
    pub(super) async fn end_task(&self, tx: &mut Tx, task: &mut Task, why: &str) -> Result<()> {
        let outcome = SlotOutcome::SkippedEnded;
        self.close_span(tx, task, None, outcome, why.to_owned())
            .await?;
        task.next_slot_at = None;
        task.next_due_at = None;
        task.deleted_at = Some(tx.now());
        tx.problems_clear_of(&task.resource_name()).await?;
        self.touch(tx, task, EventKind::TaskDeleted).await
    }

    /// A task that is to be, from now on.
    pub(super) fn new_task(&self, tx: &Tx, name: TaskName, layers: Layers) -> Result<Task> {
        let now = tx.now();
        let spec = merged(&layers, self.default_zone())?;
        let schedule = self.check_spec(&name, &spec)?;
        let mut task = Task {
            id: TaskId::new(),
            name,
            spec: spec.into(),
            layers,
            revision: 1,
            version: 1,
            cursor_at: now,
            next_slot_at: None,
            next_due_at: None,
            rules: 0,
            pause: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            audited_at: now,
            health: Health::default(),
            freshness: Freshness::new(now),
        };
        plan_next(&mut task, &schedule);
        Ok(task)
    }

    /// Gives a locked task other layers; nothing where they come to the same. The caller has settled
    /// it.
    pub(super) async fn apply(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        layers: Layers,
        principal: &str,
        reason: &str,
    ) -> Result<()> {
        let spec = merged(&layers, self.default_zone())?;
        tx.problem_clear(MISFIT.as_str(), &task.resource_name())
            .await?;
        if layers == task.layers && spec == *task.spec {
            return Ok(());
        }
        if spec == *task.spec {
            task.layers = layers;
            return self.touch(tx, task, EventKind::TaskUpdated).await;
        }
        let schedule = self.check_spec(&task.name, &spec)?;
        if spec.schedule != task.spec.schedule {
            let outcome = SlotOutcome::SkippedEdited;
            let why = format!("edited by {principal}");
            self.close_span(tx, task, Some(&schedule), outcome, why)
                .await?;
            let before = self.schedule_or_none(task)?;
            // What still waits is no slot that went without a success.
            let closed_upto = task.cursor_at.min(tx.now());
            task.freshness.reschedule(&before, closed_upto);
        }
        task.spec = spec.into();
        task.layers = layers;
        task.revision += 1;
        tx.revision_insert(task, principal, reason).await?;
        plan_next(task, &schedule);
        self.touch(tx, task, EventKind::TaskUpdated).await
    }

    /// Closes (cursor, now]: as paused where something is, and the rest with this outcome. A slot that waits for its spread
    /// stays where the schedule that follows has it as well, or runs at once where it is due by that already.
    async fn close_span(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        next: Option<&Schedule>,
        outcome: SlotOutcome,
        why: String,
    ) -> Result<()> {
        let now = tx.now();
        let pauses = [task.pause.clone(), tx.global_pause_locked().await?];
        let pauses: Vec<Pause> = pauses.into_iter().flatten().collect();
        for pause in &pauses {
            self.leave_pause(tx, task, pause).await?;
        }
        let holds = |pause: &&Pause| !pause.is_to_end(now);
        let schedule = self.schedule_or_none(task)?;
        let waiting = next.map_or(Waiting::Nothing, |next| {
            decide::waiting_through(&schedule, next, task.cursor_at, now)
        });
        let facts = self.facts(&schedule, now);
        let mut course = task.course();
        let (upto, outcome, why) = match (waiting, pauses.iter().find(holds)) {
            (Waiting::Nothing, _) => (now, outcome, why),
            (Waiting::Stays(slot), _) => (just_before(slot), outcome, why),
            (Waiting::IsDue(_), Some(pause)) => {
                let why = decide::paused_by(pause);
                (now, SlotOutcome::SkippedPaused, why)
            }
            (Waiting::IsDue(slot), None) => {
                let live = self.live_of(tx, &[task.id]).await?;
                let live = live.get(&task.id).map_or(&[][..], Vec::as_slice);
                let facts = Facts { live, ..facts };
                let decision = decide::decide_early(&mut course, &facts, slot);
                self.write_decided(tx, &course, decision).await?;
                (now, outcome, why)
            }
        };
        if let Some(row) = decide::close(&mut course, &facts, upto, outcome, why) {
            if 0 < row.count {
                tx.tell(skipped(&course, &row));
            }
            tx.slots_insert(&[row]).await?;
        }
        task.follow(course);
        Ok(())
    }

    /// Closes a task's ledger up to now, and plans from there.
    pub(super) async fn close_restored(
        &self,
        tx: &mut Tx,
        task: &mut Task,
        outcome: SlotOutcome,
        why: &str,
    ) -> Result<()> {
        let schedule = self.schedule_or_none(task)?;
        self.close_span(tx, task, Some(&schedule), outcome, why.to_owned())
            .await?;
        plan_next(task, &schedule);
        task.freshness.restart(task.cursor_at.min(tx.now()));
        Ok(())
    }
}

fn plan_next(task: &mut Task, schedule: &Schedule) {
    let mut course = task.course();
    decide::plan_next(&mut course, schedule);
    task.follow(course);
}

fn by(who: &Caller, value: Value, reason: &str, at: jiff::Timestamp) -> Override {
    Override {
        value,
        principal: who.principal.clone(),
        at,
        reason: reason.to_owned(),
    }
}

/// Adds a new task, and tells of it.
///
/// # Errors
/// [`Error::AlreadyExists`]
pub(super) async fn add(tx: &mut Tx, task: &Task, principal: &str, reason: &str) -> Result<()> {
    tx.task_insert(task, principal, reason).await?;
    let subject = task.resource_name();
    tx.tell(NewEvent::new(
        EventKind::TaskCreated,
        Some(task.id),
        subject,
        task,
    ));
    Ok(())
}
