//! The periodic rounds of the process: cron jobs in UTC that ring bells, and nothing more.
//!
//! They are registered one after another at start and listed in the status. What they ring for would
//! be done without them too, at the latest when its own clock wakes it: a round that is missed
//! delays, and loses nothing.
//!
//! The job scheduler goes by the wall clock alone: where that is set back, it rings nothing until the clock has come as
//! far again. So a round that was silent for longer than it should be, by the time that passes, is rung beside it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Engine;
use crate::domain::schedule::{Schedule, ScheduleSpec};

/// Where no round is known.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Between two looks for what was silent.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// A round, as the status shows it.
#[derive(Clone, Debug)]
pub struct Round {
    pub name: &'static str,
    /// With leading seconds, in UTC.
    pub cron: &'static str,
    pub last_at: Option<Timestamp>,
    pub next_at: Option<Timestamp>,
    pub count: i64,
    /// When it last rang, or was made, by the time that passes.
    pub rung: Duration,
    /// Between two times that it rings.
    pub period: Duration,
}

impl Round {
    /// When it is rung beside the job scheduler, by the time that passes.
    fn silent_at(&self) -> Duration {
        self.rung + self.period + self.period / 2
    }
}

/// The bells that the rounds ring.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    refill: Bell,
    reap: Bell,
    audit: Bell,
    keep_house: Bell,
    upkeep: Bell,
}

type Bell = Arc<watch::Sender<()>>;

/// None is on a full minute, nor on a full ten seconds: that is when people's tasks are due.
impl Rounds {
    /// Look into the database for what is due and what is queued.
    pub const REFILL: (&'static str, &'static str) = ("refill", "7/10 * * * * *");
    /// Look for lost leases and halted lines.
    pub const REAP: (&'static str, &'static str) = ("reap-leases", "3/5 * * * * *");
    /// Compare the ledger with what it should be.
    pub const AUDIT: (&'static str, &'static str) = ("audit", "14/30 * * * * *");
    /// Give a sign of life, and set the clock.
    pub const HOUSE: (&'static str, &'static str) = ("keep-house", "2/5 * * * * *");

    /// Give back room that the database's files hold and nobody needs.
    pub const UPKEEP: (&'static str, &'static str) = ("upkeep", "8/10 * * * * *");

    pub fn reap(&self) -> watch::Receiver<()> {
        self.reap.subscribe()
    }

    pub fn audit(&self) -> watch::Receiver<()> {
        self.audit.subscribe()
    }

    pub fn refill(&self) -> watch::Receiver<()> {
        self.refill.subscribe()
    }

    pub fn keep_house(&self) -> watch::Receiver<()> {
        self.keep_house.subscribe()
    }

    pub fn upkeep(&self) -> watch::Receiver<()> {
        self.upkeep.subscribe()
    }

    /// Starts them. They end when what is returned is shut down, but for what [`Self::ring_beside`] rings.
    ///
    /// # Errors
    /// Where the job scheduler does not start: a fault of this program.
    pub async fn start(&self, engine: &Engine) -> anyhow::Result<JobScheduler> {
        let jobs = JobScheduler::new()
            .await
            .context("could not make the rounds' scheduler")?;
        let rounds = [
            (Self::REFILL, &self.refill),
            (Self::REAP, &self.reap),
            (Self::AUDIT, &self.audit),
            (Self::HOUSE, &self.keep_house),
            (Self::UPKEEP, &self.upkeep),
        ];
        for ((name, cron), bell) in rounds {
            let (bell, engine) = (bell.clone(), engine.clone());
            // Asked for its next time, the job scheduler tells the present one while the job runs.
            let spec = ScheduleSpec {
                cron: Some(cron.to_owned()),
                ..ScheduleSpec::default()
            };
            let schedule = Schedule::parse(&spec, name, "UTC")?;
            let (rung, period) = (engine.clock().passed(), period(&schedule));
            engine.board().note(|notes| {
                notes.rounds.push(Round {
                    name,
                    cron,
                    last_at: None,
                    next_at: None,
                    count: 0,
                    rung,
                    period,
                });
            });
            let job = Job::new_async(cron, move |_, _| {
                let (bell, engine, schedule) = (bell.clone(), engine.clone(), schedule.clone());
                Box::pin(async move {
                    bell.send_replace(());
                    note(&engine, name, Some(&schedule));
                })
            });
            let job = job.with_context(|| format!("could not make the round {name}"))?;
            jobs.add(job)
                .await
                .with_context(|| format!("could not add the round {name}"))?;
        }
        jobs.start().await.context("could not start the rounds")?;
        Ok(jobs)
    }

    /// Rings, until `stop`, what the job scheduler has not rung for longer than it should.
    pub async fn ring_beside(self, engine: Engine, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let clock = engine.clock();
            let passed = clock.passed();
            let rounds = engine.board().read().rounds;
            for round in rounds.iter().filter(|round| round.silent_at() <= passed) {
                debug!(round = round.name, "the wall clock rings no more");
                if let Some(bell) = self.bell(round.name) {
                    bell.send_replace(());
                }
                note(&engine, round.name, None);
            }
            let rounds = engine.board().read().rounds;
            let next = rounds.iter().map(Round::silent_at).min();
            let left = next.map_or(LOOK_AGAIN, |next| next.saturating_sub(passed));
            stop.run_until_cancelled(clock.sleep_for(left.max(AT_MOST_EVERY)))
                .await;
        }
    }

    fn bell(&self, name: &str) -> Option<&Bell> {
        let bells = [
            (Self::REFILL.0, &self.refill),
            (Self::REAP.0, &self.reap),
            (Self::AUDIT.0, &self.audit),
            (Self::HOUSE.0, &self.keep_house),
            (Self::UPKEEP.0, &self.upkeep),
        ];
        let found = bells.into_iter().find(|(of, _)| *of == name);
        found.map(|(_, bell)| bell)
    }
}

/// Between two times that a round rings: each has one cadence.
fn period(schedule: &Schedule) -> Duration {
    let first = schedule.next_after(Timestamp::UNIX_EPOCH);
    let second = first.and_then(|first| schedule.next_after(first));
    let between = first
        .zip(second)
        .map(|(first, second)| second.duration_since(first));
    between
        .and_then(|between| Duration::try_from(between).ok())
        .unwrap_or(LOOK_AGAIN)
}

/// Notes that a round has rung; when it rings next where that is by the wall clock.
fn note(engine: &Engine, name: &str, schedule: Option<&Schedule>) {
    let (at, passed) = (engine.clock().now(), engine.clock().passed());
    engine.board().note(|notes| {
        for round in notes.rounds.iter_mut().filter(|round| round.name == name) {
            let by_span = at.checked_add(round.period + round.period / 2).ok();
            round.last_at = Some(at);
            round.next_at = schedule.map_or(by_span, |schedule| schedule.next_after(at));
            round.rung = passed;
            round.count += 1;
        }
    });
}
