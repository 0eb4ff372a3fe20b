//! Many tasks that are due in one second: when they are decided, and when they start.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
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

/// What one burst came to; milliseconds, after it was due where nothing else is said.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// From the commit of the first decision to that of the last one.
    committing: f64,
    /// From the first decision, which is the instant at which its transaction began, to the last one's commit.
    deciding: f64,
    decided: f64,
    pub(crate) started_first: f64,
    pub(crate) started_p50: f64,
    pub(crate) started_p99: f64,
    pub(crate) started_last: f64,
    pub(crate) lost: f64,
    pub(crate) twice: f64,
}

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let goals = [
        (1_000, Goal::AtMost(25.0), 250.0),
        (10_000, Goal::None, 3_000.0),
    ];
    for (count, deciding, started) in goals {
        if scene.quick && 1_000 < count {
            continue;
        }
        let bursts = bursts(scene, kind, count, scene.repeats(5)).await?;
        let name = format!("burst {count}");
        let of = |figure: fn(&Burst) -> f64| bursts.iter().map(figure).collect::<Vec<f64>>();
        let mut add =
            |metric, figure, goal| report.add(&name, kind, (metric, "ms"), &of(figure), goal);
        add(
            "first decision committed → last decision committed",
            |burst| burst.committing,
            deciding,
        );
        add(
            "first decision begun → last decision committed",
            |burst| burst.deciding,
            deciding,
        );
        add(
            "due → last decision committed",
            |burst| burst.decided,
            Goal::None,
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

/// So many bursts of so many tasks, on one server, one after another.
pub(crate) async fn bursts(
    scene: &Scene,
    kind: Kind,
    count: usize,
    repeats: usize,
) -> anyhow::Result<Vec<Burst>> {
    // Far enough apart that one has ended before the next.
    let every = if count <= 1_000 { 10 } else { 30 };
    let fields = format!("schedule = {{ every = \"{every}s\" }}");
    let toml = noop_tasks("burst", count, &fields);
    let site = Site::new(&scene.program, kind, &toml).await?;
    let server = site.start().await?;
    let client = server.connect().await?;
    let mut bursts = Vec::new();
    for _ in 0..repeats {
        let due_at = next_due(every);
        bursts.push(one(&client, &server.log, due_at, count).await?);
    }
    server.stop().await?;
    site.audit()?;
    site.remove().await?;
    Ok(bursts)
}

/// The next instant of a task that is due every so many seconds, far enough away to be quiet before it. Not at a full minute,
/// when the server's own tasks are due and decided, too.
fn next_due(every: i64) -> Timestamp {
    let soonest = Timestamp::now().as_second() + 4;
    let mut due = (soonest / every + 1) * every;
    if due % 60 == 0 {
        due += every;
    }
    Timestamp::from_second(due).unwrap_or(Timestamp::MAX)
}

async fn one(client: &Client, log: &Log, due_at: Timestamp, count: usize) -> anyhow::Result<Burst> {
    sleep_until(due_at).await;
    // Nobody asks anything while it lasts.
    tokio::time::sleep(Duration::from_millis(1_500 + count as u64 / 4)).await;
    client.idle(Duration::from_secs(60)).await?;
    let runs = client.runs_since("", due_at).await?;
    let of_burst = |run: &&pb::Run| {
        run.task.starts_with("tasks/burst-") && instant(run.nominal_time.as_ref()) == Some(due_at)
    };
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut started = Vec::with_capacity(count);
    let mut first_decision = Timestamp::MAX;
    for run in runs.iter().filter(of_burst) {
        *seen.entry(&run.task).or_default() += 1;
        if run.state() != pb::RunState::Succeeded {
            bail!("{} is {}", run.name, run.state().as_str_name());
        }
        let entered = entered_at(run).context("a handler that says when it was entered")?;
        started.push(millis(due_at, entered));
        // A slot that runs is queued by its decision, at the same instant.
        let queued = instant(run.queue_time.as_ref()).context("a run that was queued")?;
        first_decision = first_decision.min(queued);
    }
    ensure!(!started.is_empty(), "no task of the burst has run");
    let (first_at, decided_at) = decided(log, due_at, count)?;
    Ok(Burst {
        committing: millis(first_at, decided_at),
        deciding: millis(first_decision, decided_at),
        decided: millis(due_at, decided_at),
        started_first: figures::least(&started),
        started_p50: figures::percentile(&started, 50.0),
        started_p99: figures::percentile(&started, 99.0),
        started_last: figures::most(&started),
        lost: count.saturating_sub(seen.len()) as f64,
        twice: seen.values().filter(|runs| 1 < **runs).count() as f64,
    })
}

/// When the first and the last of the burst's decisions were committed.
fn decided(log: &Log, due_at: Timestamp, count: usize) -> anyhow::Result<(Timestamp, Timestamp)> {
    let mut decided = 0;
    let mut first_at = None;
    for line in log.lines().iter().filter(|line| line.contains(DECIDED)) {
        let (at, rest) = line.split_once(' ').context("a time and a message")?;
        let at: Timestamp = at.parse().with_context(|| line.clone())?;
        if at < due_at {
            continue;
        }
        let runs = rest.split("runs=").nth(1).context("a count of runs")?;
        let runs: usize = runs.split(' ').next().unwrap_or(runs).trim().parse()?;
        decided += runs;
        let first_at = *first_at.get_or_insert(at);
        if count <= decided {
            return Ok((first_at, at));
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
