//! The loop that reads the log's end, and decides what of it is final.

use std::time::Duration;

use sea_orm::DbBackend;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::numbers::Holder;
use crate::{clock::Stopwatch, domain::Event, error::Result, store::Store};

const PAGE: u64 = 1000;
const GAP_WAIT_MIN: Duration = Duration::from_millis(2);
const GAP_WAIT_MAX: Duration = Duration::from_millis(50);
/// Looks at a gap by which most are filled: who holds numbers is asked at this one.
const LOOKS: u32 = 3;
/// Between two looks at what nobody here follows: each is a transaction, and with several replicas each run rings in all of
/// them. After a pause the first is at once.
const PASS_AFTER: Duration = Duration::from_millis(100);
/// Between two looks where no bell rang: a bell of another replica can be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A gap that has been seen, and how to tell when it is final.
#[derive(Clone, Debug)]
struct Gap {
    /// A number behind it, which was there.
    upto: i64,
    looks: u32,
    /// Of those who held numbers after `upto` was seen, who still does.
    holders: Option<Vec<Holder>>,
    /// Somebody may have filled it since it was read.
    unread: bool,
}

/// What a look at the log's end has found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// The highest number that is there.
    pub(super) newest: i64,
    /// How far it is final, and told.
    pub(super) upto: i64,
    /// Whether something behind that waits for what is missing before it.
    pub(super) lacks: bool,
    pub(super) is_full: bool,
}

impl Store {
    /// Finds where the log ends for good, so that followers can begin.
    ///
    /// On PostgreSQL this waits for writes that have drawn numbers and are under way; a `stop` ends the wait.
    ///
    /// # Errors
    /// Where the database is away, or nothing can be told of its gaps.
    pub async fn start_tail(&self, stop: &CancellationToken) -> Result<()> {
        let tail = self.tail();
        let now = self.inner.clock.now();
        tail.tries(now);
        self.numbers_are_held().await?;
        let last = self.events_highest().await?;
        // After that: who has drawn a lower number holds it still, or is over.
        let mut holders = self.number_holders().await?;
        let mut wait = GAP_WAIT_MIN;
        while !holders.is_empty() {
            tail.waits_for(&holders);
            let slept = stop.run_until_cancelled(tokio::time::sleep(wait)).await;
            if slept.is_none() {
                return Ok(());
            }
            wait = (wait * 2).min(GAP_WAIT_MAX);
            self.still_hold(&mut holders).await?;
        }
        tail.start_at(last, now);
        Ok(())
    }

    /// Begins the tail where that is not done, and keeps it up to date until `stop`.
    pub async fn run_tail(self, stop: CancellationToken) {
        while !self.tail().has_begun() && !stop.is_cancelled() {
            if let Err(error) = self.start_tail(&stop).await {
                warn!(%error, "could not find the log's end; trying again");
                stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN))
                    .await;
            }
        }
        let mut bell = self.bells().log();
        let mut gap = None;
        let mut wait = GAP_WAIT_MIN;
        let mut told: Option<Stopwatch> = None;
        while !stop.is_cancelled() {
            if let Some(told) = &told {
                let pace = match self.is_passing() {
                    true => PASS_AFTER,
                    false => self.tail().pace(),
                };
                let rest = pace.saturating_sub(told.elapsed());
                if !rest.is_zero() {
                    stop.run_until_cancelled(tokio::time::sleep(rest)).await;
                }
            }
            bell.mark_unchanged();
            let before = self.tail().last();
            let read = self.read_tail(&mut gap).await;
            let news = self.tail().last() - before;
            if 0 < news {
                // A full page has more behind it: nobody is woken for little then.
                told = (news < PAGE as i64).then(Stopwatch::start);
            }
            match read {
                Ok(true) => {
                    wait = GAP_WAIT_MIN;
                    continue;
                }
                Ok(false) => {}
                Err(error) => {
                    warn!(%error, "could not read the log's end; trying again");
                    stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN))
                        .await;
                }
            }
            if gap.is_some() {
                stop.run_until_cancelled(tokio::time::sleep(wait)).await;
                wait = (wait * 2).min(GAP_WAIT_MAX);
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                _ = bell.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Whether what is new need not be read here, since nobody follows it: so on PostgreSQL, where others write it, too.
    fn is_passing(&self) -> bool {
        self.inner.backend == DbBackend::Postgres && !self.tail().is_attended()
    }

    /// Tells the next page of the log.
    async fn read_page(&self, last: i64, final_upto: i64) -> Result<Page> {
        let mut events = self.events_between(last, i64::MAX, PAGE).await?;
        let count = events.len();
        let newest = events.last().map_or(last, |event| event.sequence);
        let whole = match self.inner.backend {
            DbBackend::Postgres => final_of(&events, last, final_upto),
            _ => count,
        };
        events.truncate(whole);
        let upto = events.last().map_or(last, |event| event.sequence);
        if !events.is_empty() {
            self.tail().push(events, upto);
        }
        Ok(Page {
            newest,
            upto,
            lacks: whole < count,
            is_full: count as u64 == PAGE,
        })
    }

    /// Tells how far the next page of the log is final, whose events nobody wants.
    async fn pass_page(&self, last: i64) -> Result<Page> {
        let passing = self.events_passing(last).await?;
        self.tail().pass(&passing);
        Ok(passing.page(last))
    }

    /// One look; says whether to look again at once.
    async fn read_tail(&self, gap: &mut Option<Gap>) -> Result<bool> {
        let tail = self.tail();
        let now = self.inner.clock.now();
        tail.tries(now);
        // Asked before the read, which then has whatever there will ever be up to there.
        let mut final_upto = i64::MIN;
        if let Some(Gap {
            upto,
            holders: Some(holders),
            unread,
            ..
        }) = gap
        {
            let before = holders.len();
            self.still_hold(holders).await?;
            *unread |= holders.len() < before;
            if holders.is_empty() {
                final_upto = *upto;
            } else if !*unread {
                return Ok(false);
            }
        }
        let last = tail.last();
        let settled = gap.as_ref().is_some_and(|gap| gap.holders.is_some());
        let passes = self.is_passing() && !settled;
        let page = match passes {
            true => self.pass_page(last).await?,
            false => self.read_page(last, final_upto).await?,
        };
        let Page {
            newest,
            upto,
            lacks,
            is_full,
        } = page;
        if last < upto {
            tail.moved();
        }
        if !lacks {
            // Of one that is final, more may stand on the next page.
            *gap = gap.take().filter(|gap| is_full && upto < gap.upto);
            if !is_full {
                tail.completed(now, upto);
            }
            return Ok(is_full);
        }
        let seen = match gap.take().filter(|gap| upto < gap.upto) {
            Some(seen) => Gap {
                looks: seen.looks.saturating_add(1),
                unread: false,
                ..seen
            },
            None => Gap {
                upto: newest,
                looks: 1,
                holders: None,
                unread: false,
            },
        };
        let seen = gap.insert(seen);
        if LOOKS <= seen.looks && seen.holders.is_none() {
            let holders = self.number_holders().await?;
            // All that was read by now was drawn before.
            seen.upto = newest;
            tail.tries(now);
            tail.waits_for(&holders);
            seen.holders = Some(holders);
            seen.unread = true;
        }
        let is_over = seen.holders.as_ref().is_some_and(Vec::is_empty);
        Ok(last < upto || is_over)
    }
}

/// How many of these, the first ones after `last`, are final: those up to `final_upto`, and those without a gap before
/// them.
fn final_of(events: &[Event], last: i64, final_upto: i64) -> usize {
    let mut next = last + 1;
    let is_final = |event: &&Event| {
        let is_final = event.sequence == next || event.sequence <= final_upto;
        next = event.sequence + 1;
        is_final
    };
    events.iter().take_while(is_final).count()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn events(numbers: &[i64]) -> Vec<Event> {
        let event = |number: &i64| {
            let kind = "run.queued".to_owned();
            Event::new(
                *number,
                Timestamp::UNIX_EPOCH,
                kind,
                None,
                String::new(),
                String::new(),
            )
        };
        numbers.iter().map(event).collect()
    }

    #[test]
    fn what_stands_behind_a_gap_waits_until_it_is_final() {
        let seen = events(&[4, 5, 7, 8, 11, 12, 14]);
        assert_eq!(final_of(&seen, 3, i64::MIN), 2);
        assert_eq!(final_of(&seen, 3, 8), 4);
        assert_eq!(final_of(&seen, 3, 11), 6, "and what goes on from there");
        assert_eq!(final_of(&seen, 2, i64::MIN), 0);
        assert_eq!(final_of(&seen, 2, 4), 2);
        assert_eq!(final_of(&[], 2, i64::MAX), 0);
    }
}
