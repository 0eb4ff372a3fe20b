//! What people order: a run now, runs of the past, a stop, a repetition.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Engine, pauses::paused};
use crate::{
    domain::{
        Caller, Run, RunId, RunState, Task, TaskName, Trigger, bounds,
        decide::{self, Live},
        run::{Cancellation, reason},
        schedule::just_before,
    },
    error::{Error, Reason, Result},
    store::{AttemptEnd, Ended, Remember, Tx},
};

/// How a task is to be run now.
#[derive(Clone, Debug, Default)]
pub struct TriggerOrder {
    /// Laid over the task's own, field by field.
    pub parameters: Map<String, Value>,
    /// Whether the work is the task's own, whatever the parameters: they do but allow it.
    pub same_work: bool,
    pub dry_run: bool,
    pub ignore_pause: bool,
    pub reason: String,
}

/// Which slots of the past are to be run.
#[derive(Clone, Debug)]
pub struct BackfillOrder {
    pub start: Timestamp,
    /// Excluded.
    pub end: Timestamp,
    /// Laid over the task's own in each run, field by field.
    pub parameters: Map<String, Value>,
    pub max_count: u32,
    pub dry_run: bool,
    pub validate_only: bool,
    pub reason: String,
}

/// What a backfill came to.
#[derive(Clone, Debug)]
pub struct Backfilled {
    pub count: u64,
    /// The first of them.
    pub runs: Vec<Run>,
}

/// Runs that an answer to a backfill shows.
const SHOWN: usize = 100;

impl Engine {
    /// Queues a run now; where there is a place, it is started in the same transaction.
    ///
    /// # Errors
    /// [`Error::Conflict`] `PAUSED` or `OVERLAP`; [`Error::Invalid`] below `parameters`.
    pub async fn trigger(
        &self,
        who: &Caller,
        name: &TaskName,
        order: TriggerOrder,
        remember: Option<Remember<'_, Run>>,
    ) -> Result<Run> {
        let mut tx = self.store().begin().await?;
        let to_order = tx.task_to_order(name).await?;
        let task = to_order.task;
        refuse_pause(&task, to_order.pause, Some(order.ignore_pause))?;
        let mut run = decide::new_run(&task.course(), Trigger::Manual, tx.now(), tx.now());
        run.parameters.extend(order.parameters);
        run.policy.given = !order.same_work && run.parameters != task.spec.parameters;
        self.registry().admit(&run.kind, &mut run.parameters)?;
        run.dry_run = order.dry_run;
        run.principal.clone_from(&who.principal);
        run.request_reason = order.reason;
        self.line_up(&mut tx, &task, &mut run).await?;
        tx.keep(who, remember, &run).await?;
        self.insert_and_start(tx, run.clone(), to_order.others_wait)
            .await?;
        Ok(run)
    }

    /// Queues a new run that repeats one that has ended, with the same parameters.
    ///
    /// # Errors
    /// [`Error::Conflict`] `NOT_ENDED`, `PAUSED` or `OVERLAP`.
    pub async fn retry_run(
        &self,
        who: &Caller,
        id: RunId,
        reason: &str,
        ignore_pause: bool,
        remember: Option<Remember<'_, Run>>,
    ) -> Result<Run> {
        let old = self.store().run(id).await?;
        if !old.state.is_terminal() {
            let message = format!(
                "run {id} is {}: wait until it has ended, or cancel it",
                old.state
            );
            return Err(Error::conflict(
                Reason::NotEnded,
                old.resource_name(),
                message,
            ));
        }
        let mut tx = self.store().begin().await?;
        let to_order = tx.task_to_order(&old.task).await?;
        let task = to_order.task;
        refuse_pause(&task, to_order.pause, Some(ignore_pause))?;
        let mut run = decide::new_run(&task.course(), Trigger::Retry, tx.now(), tx.now());
        run.parameters = old.parameters;
        self.registry().admit(&run.kind, &mut run.parameters)?;
        run.policy.given = old.policy.given;
        run.dry_run = old.dry_run;
        run.nominal_at = old.nominal_at;
        run.retry_of = Some(old.id);
        run.principal.clone_from(&who.principal);
        reason.clone_into(&mut run.request_reason);
        self.line_up(&mut tx, &task, &mut run).await?;
        tx.keep(who, remember, &run).await?;
        self.insert_and_start(tx, run.clone(), to_order.others_wait)
            .await?;
        Ok(run)
    }

    /// Queues a run for each slot of a span of the past. They stand in line, oldest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the span or where it holds more slots than `max_count`.
    pub async fn backfill(
        &self,
        who: &Caller,
        name: &TaskName,
        order: BackfillOrder,
        remember: Option<Remember<'_, Backfilled>>,
    ) -> Result<Backfilled> {
        let mut tx = self.store().begin().await?;
        let pause = tx.global_pause_locked().await?;
        let task = tx.task_locked(name).await?;
        refuse_pause(&task, pause, None)?;
        let now = tx.now();
        let start = bounds::backfill(order.start, order.end, now)?;
        let schedule = self.schedule_of(&task)?;
        let max = usize::try_from(order.max_count).unwrap_or(usize::MAX);
        let slots: Vec<Timestamp> = schedule
            .slots(just_before(start), just_before(order.end))
            .take(max.saturating_add(1))
            .collect();
        if max < slots.len() {
            let what = format!(
                "the span holds more than {max} slots; shorten the span, or raise max_count (to 10,000 at most)"
            );
            return Err(Error::invalid("max_count", what));
        }
        let live = self.live_of(&mut tx, &[task.id]).await?;
        let mut parameters = task.spec.parameters.clone();
        parameters.extend(order.parameters);
        let given = parameters != task.spec.parameters;
        self.registry().admit(&task.spec.kind, &mut parameters)?;
        let mut in_line = live.contains_key(&task.id);
        let mut runs = Vec::with_capacity(slots.len());
        for slot in slots {
            let mut run = decide::new_run(&task.course(), Trigger::Backfill, now, now);
            run.nominal_at = Some(slot);
            run.parameters.clone_from(&parameters);
            run.policy.given = given;
            run.dry_run = order.dry_run;
            // A backfill may take long: what was meant for the schedule does not expire its runs.
            run.start_deadline_at = None;
            run.principal.clone_from(&who.principal);
            run.request_reason.clone_from(&order.reason);
            if run.solo && in_line {
                run.claim_at = None;
            }
            in_line = true;
            runs.push(run);
        }
        let done = Backfilled {
            count: runs.len() as u64,
            runs: runs.iter().take(SHOWN).cloned().collect(),
        };
        if order.validate_only {
            return Ok(done);
        }
        tx.runs_insert(&runs).await?;
        tx.keep(who, remember, &done).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// Asks a run to stop. One that is not under way ends at once.
    ///
    /// # Errors
    /// [`Error::Conflict`] `ENDED` where it has ended.
    pub async fn cancel_run(
        &self,
        who: &Caller,
        id: RunId,
        why: &str,
        remember: Option<Remember<'_, Run>>,
    ) -> Result<Run> {
        let task = self.store().run(id).await?.task_id;
        let mut tx = self.store().begin().await?;
        tx.tasks_lock(&[task]).await?;
        let mut run = tx.run_locked(id).await?;
        if run.state.is_terminal() {
            let message = format!("run {id} has ended: it is {}", run.state);
            return Err(Error::conflict(Reason::Ended, run.resource_name(), message));
        }
        if run.cancellation.is_none() {
            let wish = Cancellation {
                at: tx.now(),
                principal: who.principal.clone(),
                reason: why.to_owned(),
            };
            run = tx.run_cancel_wish(id, &wish).await?;
        }
        if run.state != RunState::Running {
            let message = format!("cancelled by {}", who.principal);
            let ended = Ended {
                run: id,
                task,
                token: run.attempt,
                replica: None,
                end: AttemptEnd::because(RunState::Cancelled, reason::CANCEL_REQUESTED, message),
                known: None,
            };
            let from = [RunState::Queued, RunState::RetryWait];
            if let Some(ended) = tx.runs_end(&[ended], &from).await?.pop() {
                run = ended;
            }
        }
        tx.keep(who, remember, &run).await?;
        tx.commit().await?;
        Ok(run)
    }

    /// Gives an ordered run its place among the task's others: it obeys the overlap policy as a slot's does.
    async fn line_up(&self, tx: &mut Tx, task: &Task, run: &mut Run) -> Result<()> {
        if !run.solo {
            return Ok(());
        }
        let live = self.live_of(tx, &[task.id]).await?;
        let live: &[Live] = live.get(&task.id).map_or(&[], Vec::as_slice);
        if let Some(reason) = decide::overlap_reason(task.spec.overlap, live) {
            let message = format!(
                "{}: {reason}, and the task's overlap policy is {}; wait for it, cancel it, or change \
                 the policy",
                task.resource_name(),
                task.spec.overlap
            );
            return Err(Error::conflict(
                Reason::Overlap,
                task.resource_name(),
                message,
            ));
        }
        if !live.is_empty() {
            run.claim_at = None;
        }
        Ok(())
    }
}

/// `ignore`: whether the caller insists, where one may.
fn refuse_pause(
    task: &Task,
    global: Option<crate::domain::task::Pause>,
    ignore: Option<bool>,
) -> Result<()> {
    let own = task
        .pause
        .as_ref()
        .map(|pause| (task.resource_name(), pause));
    let all = global
        .as_ref()
        .map(|pause| ("everything".to_owned(), pause));
    match own.or(all) {
        Some((what, pause)) if ignore != Some(true) => {
            let advice = match ignore {
                Some(_) => "resume it, or set ignore_pause",
                None => "resume it first",
            };
            let message = format!("{}; {advice}", paused(&what, pause));
            Err(Error::conflict(
                Reason::Paused,
                task.resource_name(),
                message,
            ))
        }
        _ => Ok(()),
    }
}
