//! A backfill of 100 tasks by 1,000 slots: durable runs per second, from the first call to the end of
//! the last run.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use watchbell_client::pb;

use super::{Scene, noop_tasks};
use crate::{
    calls::{CLOCKS_APART, Client, instant, stamp},
    database::Kind,
    report::{Goal, Report},
    server::Site,
};

/// Backfills that are asked for at one time.
const AT_ONCE: usize = 4;

/// What one backfill came to.
#[derive(Debug)]
pub(crate) struct Filled {
    /// Of runs that succeeded.
    pub(crate) per_second: f64,
    /// Slots without such a run.
    pub(crate) lost: f64,
}

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let tasks = scene.size(100, 20);
    let slots = scene.size(1_000, 100);
    let side_by_side = match kind {
        Kind::Sqlite => 13_500.0,
        Kind::Postgresql => 12_000.0,
    };
    // By each policy: runs of one task one after another, which is the default, and side by side.
    for (policy, goal) in [
        ("skip", Goal::AtLeast(5_000.0)),
        ("allow", Goal::AtLeast(side_by_side)),
    ] {
        let (mut rates, mut lost) = (Vec::new(), Vec::new());
        for _ in 0..scene.repeats(3) {
            let filled = fill(scene, kind, (tasks, slots), policy).await?;
            rates.push(filled.per_second);
            lost.push(filled.lost);
        }
        let name = format!("throughput, overlap {policy}");
        report.add(&name, kind, ("durable runs", "runs/s"), &rates, goal);
        report.never(&name, kind, "lost", &lost);
    }
    Ok(())
}

/// A backfill of so many tasks by so many slots, on a server of its own.
pub(crate) async fn fill(
    scene: &Scene,
    kind: Kind,
    size: (usize, usize),
    policy: &str,
) -> anyhow::Result<Filled> {
    fill_on(scene, kind, size, policy, 1).await
}

/// The same on so many servers of one database, which are asked by turns.
pub(super) async fn fill_on(
    scene: &Scene,
    kind: Kind,
    (tasks, slots): (usize, usize),
    policy: &str,
    replicas: usize,
) -> anyhow::Result<Filled> {
    let fields =
        format!("schedule = {{ every = \"1h\", phase = \"30m\" }}\noverlap = \"{policy}\"");
    let site = Site::new(&scene.program, kind, &noop_tasks("fill", tasks, &fields)).await?;
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..replicas {
        let server = site.start().await?;
        clients.push(server.connect().await?);
        servers.push(server);
    }
    let client = clients.first().context("a client")?;
    let since = Timestamp::now();
    let wanted = Slots::before(since, (slots, 0))?;
    let began = Instant::now();
    let asked = stream::iter(0..tasks).zip(stream::iter(clients.iter().cycle()));
    let asked = asked.map(|(task, client)| backfill(client, task, wanted));
    asked.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    client.idle(Duration::from_secs(300)).await?;
    let took = began.elapsed();
    let done = succeeded(client, tasks, wanted, since).await?;
    for server in servers {
        server.stop().await?;
    }
    site.audit()?;
    site.remove().await?;
    Ok(Filled {
        per_second: done as f64 / took.as_secs_f64(),
        lost: (tasks * slots) as f64 - done as f64,
    })
}

/// Slots that a backfill asks for, the same of each task: one in each hour, at half past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    count: usize,
    start: Timestamp,
    end: Timestamp,
}

impl Slots {
    /// So many of those before an instant of this program's clock, but for the newest of them. They are past by any clock
    /// that is not far from it.
    pub(super) fn before(at: Timestamp, (count, newest): (usize, usize)) -> anyhow::Result<Self> {
        let hour = (at - CLOCKS_APART).as_second() / 3600 * 3600;
        let end = Timestamp::from_second(hour)? - SignedDuration::from_hours(newest as i64);
        Ok(Self {
            count,
            start: end - SignedDuration::from_hours(count as i64),
            end,
        })
    }

    /// Of each task.
    pub(super) fn count(self) -> usize {
        self.count
    }

    fn hold(self, slot: Timestamp) -> bool {
        self.start <= slot && slot < self.end
    }
}

/// Asks for slots of a task, each of which must have been queued.
pub(super) async fn backfill(client: &Client, task: usize, slots: Slots) -> anyhow::Result<()> {
    let request = pb::BackfillTaskRequest {
        name: name_of(task),
        start_time: Some(stamp(slots.start)),
        end_time: Some(stamp(slots.end)),
        max_count: i32::try_from(slots.count)?,
        ..Default::default()
    };
    let answer = client.tasks().backfill_task(request).await?.into_inner();
    ensure!(
        answer.run_count == slots.count as i64,
        "{} runs of {} were queued, not {}",
        answer.run_count,
        name_of(task),
        slots.count
    );
    Ok(())
}

/// Counts the different slots that were asked for, of so many tasks, and have a run that succeeded. The tasks' schedules may
/// have had runs queued meanwhile, too.
pub(super) async fn succeeded(
    client: &Client,
    tasks: usize,
    slots: Slots,
    since: Timestamp,
) -> anyhow::Result<usize> {
    let mut count = 0;
    for task in 0..tasks {
        let runs = client.runs_since(&name_of(task), since).await?;
        let done = runs.iter().filter(|run| {
            run.state() == pb::RunState::Succeeded && run.trigger() == pb::RunTrigger::Backfill
        });
        let of_runs = done.filter_map(|run| instant(run.nominal_time.as_ref()));
        let different: HashSet<Timestamp> = of_runs.filter(|slot| slots.hold(*slot)).collect();
        count += different.len();
    }
    Ok(count)
}

fn name_of(task: usize) -> String {
    format!("tasks/fill-{task:05}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_past_by_a_clock_that_is_behind() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        // A moment after the full hour here may be a moment before it there.
        let slots = Slots::before(at("2026-03-01T12:00:01Z"), (2, 0)).unwrap();
        assert_eq!(slots.end, at("2026-03-01T11:00:00Z"));
        assert!(slots.hold(at("2026-03-01T09:30:00Z")) && slots.hold(at("2026-03-01T10:30:00Z")));
        assert!(!slots.hold(at("2026-03-01T08:30:00Z")));
        // Those of a second time are others.
        let older = Slots::before(at("2026-03-01T12:00:01Z"), (2, 2)).unwrap();
        assert_eq!(older.end, slots.start);
    }
}
