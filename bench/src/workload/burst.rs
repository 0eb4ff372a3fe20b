//! Many tasks that are due in one second: when they are decided, and when they start.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use watchbell_client::pb;

use super::{Scene, noop_tasks};
use crate::{
    calls::{Client, entered_at, instant, millis},
    database::Kind,
    figures,
    report::{Goal, Report},
    server::{Log, Site},
};

/// The scheduler's word after each transaction that decided something, with the time before it.
const DECIDED: &str = "decided what was due";

/// What one burst came to; milliseconds after it was due.
#[derive(Debug, Default)]
struct Burst {
    decided: f64,
    started_first: f64,
    started_p99: f64,
    started_last: f64,
    lost: f64,
    twice: f64,
}

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let goals = [
        (1_000, 10, Goal::AtMost(25.0), 250.0),
        (10_000, 30, Goal::None, 3_000.0),
    ];
    for (count, every, decided, started) in goals {
        if scene.quick && 1_000 < count {
            continue;
        }
        let fields = format!("schedule = {{ every = \"{every}s\" }}");
        let toml = noop_tasks("burst", count, &fields);
        let site = Site::new(&scene.program, kind, &toml).await?;
        let server = site.start().await?;
        let client = server.connect().await?;
        let mut bursts = Vec::new();
        for _ in 0..scene.repeats(5) {
            let due_at = next_due(every);
            bursts.push(one(&client, &server.log, due_at, count).await?);
        }
        server.stop().await?;
        site.audit()?;
        site.remove().await?;

        let name = format!("burst {count}");
        let of = |figure: fn(&Burst) -> f64| bursts.iter().map(figure).collect::<Vec<f64>>();
        let mut add =
            |metric, figure, goal| report.add(&name, kind, (metric, "ms"), &of(figure), goal);
        add(
            "due → last decision committed",
            |burst| burst.decided,
            decided,
        );
        add(
            "due → first handler entered",
            |burst| burst.started_first,
            Goal::None,
        );
        add(
            "due → handler entered, p99",
            |burst| burst.started_p99,
            Goal::None,
        );
        add(
            "due → last handler entered",
            |burst| burst.started_last,
            Goal::AtMost(started),
        );
        report.never(&name, kind, "lost", &of(|burst| burst.lost));
        report.never(&name, kind, "twice", &of(|burst| burst.twice));
    }
    Ok(())
}

/// The next instant of a task that is due every so many seconds, far enough away to be quiet before it.
fn next_due(every: i64) -> Timestamp {
    let soonest = Timestamp::now().as_second() + 4;
    let due = (soonest / every + 1) * every;
    Timestamp::from_second(due).unwrap_or(Timestamp::MAX)
}

async fn one(client: &Client, log: &Log, due_at: Timestamp, count: usize) -> anyhow::Result<Burst> {
    sleep_until(due_at).await;
    // Nobody asks anything while it lasts.
    tokio::time::sleep(Duration::from_millis(1_500 + count as u64 / 4)).await;
    client.idle(Duration::from_secs(60)).await?;
    let runs = client.runs_since(due_at).await?;
    // The server's own tasks are due at some full minutes, too.
    let of_burst = |run: &&pb::Run| {
        run.task.starts_with("tasks/burst-") && instant(run.nominal_time.as_ref()) == Some(due_at)
    };
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut started = Vec::with_capacity(count);
    for run in runs.iter().filter(of_burst) {
        *seen.entry(&run.task).or_default() += 1;
        if run.state() != pb::RunState::Succeeded {
            bail!("{} is {}", run.name, run.state().as_str_name());
        }
        let entered = entered_at(run).context("a handler that says when it was entered")?;
        started.push(millis(due_at, entered));
    }
    Ok(Burst {
        decided: decided_after(log, due_at, count)?,
        started_first: figures::least(&started),
        started_p99: figures::percentile(&started, 99.0),
        started_last: figures::most(&started),
        lost: count.saturating_sub(seen.len()) as f64,
        twice: seen.values().filter(|runs| 1 < **runs).count() as f64,
    })
}

/// When the last of the burst's decisions was committed.
fn decided_after(log: &Log, due_at: Timestamp, count: usize) -> anyhow::Result<f64> {
    let mut decided = 0;
    for line in log.lines().iter().filter(|line| line.contains(DECIDED)) {
        let (at, rest) = line.split_once(' ').context("a time and a message")?;
        let at: Timestamp = at.parse().with_context(|| line.clone())?;
        if at < due_at {
            continue;
        }
        let runs = rest.split("runs=").nth(1).context("a count of runs")?;
        let runs: usize = runs.split(' ').next().unwrap_or(runs).trim().parse()?;
        decided += runs;
        if count <= decided {
            return Ok(millis(due_at, at));
        }
    }
    bail!("only {decided} of {count} decisions stand in the server's log");
}

pub(super) async fn sleep_until(at: Timestamp) {
    let wait = at
        .duration_since(Timestamp::now())
        .max(SignedDuration::ZERO);
    tokio::time::sleep(wait.unsigned_abs()).await;
}
