//! The end of a pause of all: for some tasks after others, each portion in a transaction of its own.
//!
//! One transaction over all tasks would keep every other write waiting, or never come to its end. How far the end has come
//! stands in the pause itself, and all stays paused until it has ended for all: so whoever meets it goes on with it, also
//! after a kill, and several may at once. Up to where slots are paused is said once, at the beginning.

use std::time::Duration;

use jiff::Timestamp;

use super::{Engine, deciding::skipped};
use crate::{
    domain::{
        Caller, EventKind, NewEvent, Task, decide,
        ledger::SlotRow,
        task::{Asking, Course, Ending, Pause},
    },
    error::{Error, Reason, Result},
    store::{Remember, StoredReply, Tx},
};

/// Tasks for which it ends in one transaction.
const PORTION: u64 = 500;
/// How often in a row it is tried once more where the database is away for a moment, and after how long.
const TRIES: u32 = 5;
const AFTER_ERROR: Duration = Duration::from_millis(200);
/// Key of what the last end has come to.
const ENDED: &str = "pause_ended";

impl Engine {
    /// Ends the pause of all; says how many tasks had slots in it.
    ///
    /// # Errors
    /// [`Error::Conflict`] `NOT_PAUSED`
    pub async fn resume_all(
        &self,
        who: &Caller,
        remember: Option<Remember<'_, u64>>,
    ) -> Result<u64> {
        self.refuse_held()?;
        let asking = remember.as_ref().map(|remember| Asking {
            principal: who.principal.clone(),
            method: remember.method.to_owned(),
            request_id: remember.request_id.to_owned(),
            fingerprint: remember.fingerprint.clone(),
        });
        let turn = self.ending_turn().lock().await;
        let mut tx = self.store().begin().await?;
        let Some(pause) = tx.global_pause_to_set().await? else {
            return Err(Error::conflict(
                Reason::NotPaused,
                "scheduler",
                "not everything is paused",
            ));
        };
        let mut ending = pause.ending_at(tx.now());
        if let Some(asking) = asking.clone() {
            ending.note(asking);
        }
        let upto = ending.upto;
        let pause = Pause {
            ending: Some(ending),
            ..pause
        };
        // Of few tasks the first portion is the last, and all of it is one write.
        let ended = self.end_portion(&mut tx, &pause).await?;
        if let (Some(count), Some(asking)) = (ended, &asking) {
            // The pause itself remembers so many who have asked, and no more.
            keep(&mut tx, asking, count).await?;
        }
        tx.ring_schedule();
        tx.commit().await?;
        drop(turn);
        if let Some(count) = ended {
            self.board().note(|notes| notes.changes += 1);
            return Ok(count);
        }
        self.end_rest(upto).await?;
        // Of another end, where a server of an earlier version ended this one: it notes nothing.
        let ended: Option<Ending> = self.store().value(ENDED).await?;
        let ended = ended.filter(|ended| ended.upto == upto);
        let count = ended.map_or(0, |ended| ended.count);
        if let Some(asking) = asking {
            // Where such a server ended it, nothing is kept yet.
            let mut tx = self.store().begin().await?;
            keep(&mut tx, &asking, count).await?;
            tx.commit().await?;
        }
        self.board().note(|notes| notes.changes += 1);
        Ok(count)
    }

    /// Goes on with an end until it is over. What is away for a moment, as where others write for long, is no end of it: it
    /// goes on whether who asked for it hears of that or not.
    async fn end_rest(&self, upto: Timestamp) -> Result<()> {
        let mut failed = 0;
        loop {
            match self.end_more(|pause| is_ending(pause, upto)).await {
                Ok(true) => return Ok(()),
                Ok(false) => failed = 0,
                Err(error) if error.is_transient() && failed < TRIES => {
                    failed += 1;
                    tokio::time::sleep(AFTER_ERROR).await;
                }
                Err(error) => return Err(error),
            }
            // By a clock in doubt no more of it ends.
            self.refuse_held()?;
        }
    }

    /// Ends a pause of all that is due, for some tasks; says whether nothing of it is left to do.
    ///
    /// # Errors
    /// Where the database is away: whoever comes next goes on with it.
    pub(super) async fn end_some(&self, due: &Pause) -> Result<bool> {
        // Another may end it meanwhile, and someone begin a new one.
        self.end_more(|pause| pause.at == due.at && pause.until == due.until)
            .await
    }

    /// Ends a pause of all whose end is due, or goes on with it. Where the clock is in doubt meanwhile, the rest is left to
    /// whoever comes once it is not.
    pub(super) async fn end_global_pause(&self, due: &Pause) -> Result<()> {
        while !self.end_some(due).await? {
            if self.held().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Ends the pause of all for some tasks more, where it is the one that is meant; says whether nothing is left to do.
    /// One of this server at a time: of many who wait for the row of the pause, each for some portions, the last would wait in
    /// vain.
    async fn end_more(&self, is_meant: impl Fn(&Pause) -> bool) -> Result<bool> {
        let _turn = self.ending_turn().lock().await;
        let mut tx = self.store().begin().await?;
        let Some(pause) = tx.global_pause_to_set().await?.filter(is_meant) else {
            return Ok(true);
        };
        let ended = self.end_portion(&mut tx, &pause).await?;
        tx.commit().await?;
        Ok(ended.is_some())
    }

    /// Ends the pause of all, which this write holds, for the next tasks; once that is so for all, says how many had slots
    /// in it.
    async fn end_portion(&self, tx: &mut Tx, pause: &Pause) -> Result<Option<u64>> {
        let mut ending = pause.ending_at(tx.now());
        let tasks = tx.tasks_locked_behind(ending.behind, PORTION).await?;
        let is_last = (tasks.len() as u64) < PORTION;
        ending.behind = tasks.last().map(|task| task.id).or(ending.behind);
        ending.tasks += tasks.len() as u64;
        let (mut rows, mut moved) = (Vec::new(), Vec::new());
        for task in tasks {
            let from = task.cursor_at;
            if let Some((row, course)) = self.leave_all(tx, task, pause).await? {
                ending.count += u64::from(row.as_ref().is_some_and(|row| 0 < row.count));
                rows.extend(row);
                moved.push((from, course));
            }
        }
        tx.slots_insert(&rows).await?;
        tx.cursors_move(&moved).await?;
        if !is_last {
            let under_way = Pause {
                ending: Some(ending),
                ..pause.clone()
            };
            tx.note_global_pause(&under_way).await?;
            return Ok(None);
        }
        tx.set_global_pause(&None).await?;
        tx.set_value(ENDED, &ending).await?;
        for asking in &ending.asked {
            keep(tx, asking, ending.count).await?;
        }
        tx.tell(NewEvent::new(
            EventKind::AllResumed,
            None,
            "scheduler".to_owned(),
            &pause.without_ending(),
        ));
        Ok(Some(ending.count))
    }

    /// A task's row of the pause, where it has slots or time in it, and its course after; none of one that stays paused by
    /// itself for longer, whose own row is written when that ends.
    async fn leave_all(
        &self,
        tx: &mut Tx,
        mut task: Task,
        pause: &Pause,
    ) -> Result<Option<(Option<SlotRow>, Course)>> {
        let upto = pause.ends_at(tx.now());
        match &task.pause {
            Some(own) if !own.is_to_end(upto) => return Ok(None),
            Some(_) => {
                task.pause = None;
                self.touch(tx, &mut task, EventKind::TaskResumed).await?;
            }
            None => {}
        }
        let schedule = self.schedule_or_none(&task)?;
        let facts = self.facts(&schedule, tx.now());
        let mut course = task.course();
        let row = decide::close_pause(&mut course, &facts, pause, upto);
        if let Some(row) = &row {
            tx.tell(skipped(&course, row));
        }
        decide::plan_next(&mut course, &schedule);
        Ok(Some((row, course)))
    }
}

/// Keeps the answer to who asked for an end, where none is kept.
async fn keep(tx: &mut Tx, asking: &Asking, count: u64) -> Result<()> {
    let reply = StoredReply {
        fingerprint: asking.fingerprint.clone(),
        response: asking.answer(count),
    };
    let key = (
        asking.principal.as_str(),
        asking.method.as_str(),
        asking.request_id.as_str(),
    );
    tx.request_keep_new(key, &reply).await.map(drop)
}

fn is_ending(pause: &Pause, upto: Timestamp) -> bool {
    let ending = pause.ending.as_ref();
    ending.is_some_and(|ending| ending.upto == upto)
}
