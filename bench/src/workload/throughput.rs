//! A backfill of 100 tasks by 1,000 slots: durable runs per second, from the first call to the end of
//! the last run.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use watchbell_client::pb;

use super::{Scene, noop_tasks};
use crate::{
    calls::{Client, stamp},
    database::Kind,
    report::{Goal, Report},
    server::Site,
};

/// Backfills that are asked for at one time.
const AT_ONCE: usize = 4;

/// What one backfill came to.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) per_second: f64,
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
    let before = Timestamp::now();
    let began = Instant::now();
    let asked = stream::iter(0..tasks).zip(stream::iter(clients.iter().cycle()));
    let asked = asked.map(|(task, client)| backfill(client, task, (slots, 0)));
    let queued: Vec<u64> = asked.buffer_unordered(AT_ONCE).try_collect().await?;
    client.idle(Duration::from_secs(300)).await?;
    let took = began.elapsed();
    let all = tasks * slots;
    if queued.iter().sum::<u64>() != all as u64 {
        bail!("{queued:?} runs were queued, not {all}");
    }
    let lost = all as f64 - succeeded(client, before).await? as f64;
    for server in servers {
        server.stop().await?;
    }
    site.audit()?;
    site.remove().await?;
    Ok(Filled {
        per_second: all as f64 / took.as_secs_f64(),
        lost,
    })
}

/// Asks for so many slots, but for the newest of them; says how many runs were queued.
pub(super) async fn backfill(
    client: &Client,
    task: usize,
    (slots, newest): (usize, usize),
) -> anyhow::Result<u64> {
    // The slots lie at half past; the newest is at least half an hour old.
    let hour = Timestamp::now().as_second() / 3600 * 3600;
    let end = Timestamp::from_second(hour)? - SignedDuration::from_hours(newest as i64);
    let start = end - SignedDuration::from_hours(slots as i64);
    let request = pb::BackfillTaskRequest {
        name: format!("tasks/fill-{task:05}"),
        start_time: Some(stamp(start)),
        end_time: Some(stamp(end)),
        max_count: i32::try_from(slots)?,
        ..Default::default()
    };
    let answer = client.tasks().backfill_task(request).await?.into_inner();
    Ok(u64::try_from(answer.run_count)?)
}

/// Counts the different slots that were asked for and have a run that succeeded. The server's own tasks may have run
/// meanwhile.
async fn succeeded(client: &Client, since: Timestamp) -> anyhow::Result<usize> {
    let runs = client.runs_since(since).await?;
    let done = runs.iter().filter(|run| {
        run.state() == pb::RunState::Succeeded && run.task.starts_with("tasks/fill-")
    });
    let slots: HashSet<(&str, i64)> = done
        .filter_map(|run| Some((run.task.as_str(), run.nominal_time?.seconds)))
        .collect();
    Ok(slots.len())
}
