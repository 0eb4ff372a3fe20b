//! The periodic rounds of the process: cron jobs in UTC that ring bells, and nothing more.
//!
//! They are registered one after another at start and listed in the status. What they ring for would
//! be done without them too, at the latest when its own clock wakes it: a round that is missed
//! delays, and loses nothing.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_cron_scheduler::{Job, JobScheduler};

use super::Engine;
use crate::domain::schedule::{Schedule, ScheduleSpec};

/// A round, as the status shows it.
#[derive(Clone, Debug)]
pub struct Round {
    pub name: &'static str,
    /// With leading seconds, in UTC.
    pub cron: &'static str,
    pub last_at: Option<Timestamp>,
    pub next_at: Option<Timestamp>,
    pub count: i64,
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

    /// Starts them. They end when what is returned is shut down.
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
            engine.board().note(|notes| {
                notes.rounds.push(Round {
                    name,
                    cron,
                    last_at: None,
                    next_at: None,
                    count: 0,
                });
            });
            let (bell, engine) = (bell.clone(), engine.clone());
            // Asked for its next time, the job scheduler tells the present one while the job runs.
            let spec = ScheduleSpec {
                cron: Some(cron.to_owned()),
                ..ScheduleSpec::default()
            };
            let schedule = Schedule::parse(&spec, name, "UTC")?;
            let job = Job::new_async(cron, move |_, _| {
                let (bell, engine, schedule) = (bell.clone(), engine.clone(), schedule.clone());
                Box::pin(async move {
                    bell.send_replace(());
                    ring(&engine, name, &schedule);
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
}

fn ring(engine: &Engine, name: &str, schedule: &Schedule) {
    let at = engine.clock().now();
    engine.board().note(|notes| {
        for round in notes.rounds.iter_mut().filter(|round| round.name == name) {
            round.last_at = Some(at);
            round.next_at = schedule.next_after(at);
            round.count += 1;
        }
    });
}
