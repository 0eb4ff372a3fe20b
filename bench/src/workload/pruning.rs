//! Triggers while `prune-history` drops events, runs and logs: how long they wait for it.

mod old;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use watchbell_client::pb;

use self::old::{BYTES, CHUNKS, chunks_left};
use super::{
    Scene, history, noop_tasks,
    trigger::{Wait, once, until_entered},
};
use crate::{
    calls::{Client, expect_outcome},
    database::Kind,
    figures,
    report::{Goal, Report},
    server::Site,
};

/// What is too old: runs of 100 tasks, logs of some of them, and events.
const RUNS: usize = 20_000;
const LOGS: usize = 400;
const EVENTS: usize = 100_000;
/// Triggers before it, and at least meanwhile: the latest of few says little.
const BEFORE: usize = 300;
const MEANWHILE: usize = 20;
/// Milliseconds that a write may wait: none of the pruning's transactions may be longer.
const GOAL: f64 = 50.0;
/// Milliseconds from a call to the handler, of 99 of 100.
const STARTED: f64 = 50.0;

/// Milliseconds of triggers, one after another.
struct Waits {
    entered: Vec<f64>,
    answered: Vec<f64>,
}

impl Waits {
    fn of(kind: Kind, waits: &[Wait]) -> Self {
        let answered = waits.iter().map(|wait| wait.call.until_answered());
        Self {
            entered: until_entered(kind, waits),
            answered: answered.collect(),
        }
    }
}

/// What came of one pruning.
struct Pruned {
    before: Waits,
    meanwhile: Waits,
    seconds: f64,
    /// Milliseconds, of PostgreSQL's own; none where it showed none.
    longest: Option<f64>,
}

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for _ in 0..scene.repeats(2) {
        all.push(prune(scene, kind).await?);
    }
    let (runs, logs, events) = sizes(scene);
    let mib = (logs * CHUNKS * BYTES) >> 20;
    let name = format!("pruning of {runs} runs, {mib} MiB of logs, {events} events");
    let of = |figure: &dyn Fn(&Pruned) -> f64| all.iter().map(figure).collect::<Vec<f64>>();
    let started = |waits: &Waits, percent| figures::percentile(&waits.entered, percent);
    let answered = |waits: &Waits| figures::most(&waits.answered);
    let mut add = |metric, figure: &dyn Fn(&Pruned) -> f64, goal| {
        report.add(&name, kind, (metric, "ms"), &of(figure), goal);
    };
    let (goal, none) = (Goal::AtMost(GOAL), Goal::None);
    add(
        "trigger → start before it, p50",
        &|one| started(&one.before, 50.0),
        none,
    );
    add(
        "trigger → start before it, p99",
        &|one| started(&one.before, 99.0),
        none,
    );
    add(
        "trigger → start meanwhile, p50",
        &|one| started(&one.meanwhile, 50.0),
        none,
    );
    add(
        "trigger → start meanwhile, p99",
        &|one| started(&one.meanwhile, 99.0),
        Goal::AtMost(STARTED),
    );
    add(
        "a trigger's write before it, most",
        &|one| answered(&one.before),
        none,
    );
    add(
        "a trigger's write meanwhile, most",
        &|one| answered(&one.meanwhile),
        goal,
    );
    let longest: Vec<f64> = all.iter().filter_map(|one| one.longest).collect();
    let metric = "the longest transaction that PostgreSQL showed meanwhile";
    if !longest.is_empty() {
        report.add(&name, kind, (metric, "ms"), &longest, goal);
    } else if kind == Kind::Postgresql {
        eprintln!("   {name}: PostgreSQL showed no transaction: no row");
    }
    report.add(
        &name,
        kind,
        ("the pruning", "s"),
        &of(&|one| one.seconds),
        none,
    );
    Ok(())
}

fn sizes(scene: &Scene) -> (usize, usize, usize) {
    (
        scene.size(RUNS, 1_000),
        scene.size(LOGS, 40),
        scene.size(EVENTS, 5_000),
    )
}

async fn prune(scene: &Scene, kind: Kind) -> anyhow::Result<Pruned> {
    let (runs, logs, events) = sizes(scene);
    // Of tasks without a schedule everything goes that is old enough; with one, what its last periods made would stay.
    let fields = "overlap = \"allow\"\nhistory = { keep_for = \"1h\", keep_count = 10 }";
    let toml = noop_tasks("history", history::TASKS, fields);
    let toml = toml.replace(
        "[log]\n",
        "[history]\nevents_keep_for = \"1h\"\nevents_keep_count = 1000\n[log]\n",
    );
    let toml = format!("{toml}\n[tasks.trigger]\nkind = \"bench-noop\"\noverlap = \"allow\"\n");
    let site = Site::new(&scene.program, kind, &toml).await?;
    let server = site.start().await?;
    let client = server.connect().await?;
    once(&client, "history-00000").await?;
    server.stop().await?;
    let database = site.database.connect(&site.data()).await?;
    let then = Timestamp::now() - SignedDuration::from_hours(48);
    history::fill(&database, kind, runs, then).await?;
    old::fill(&database, kind, (logs, events), then).await?;

    let server = site.start().await?;
    let client = server.connect().await?;
    let mut before = Vec::new();
    for _ in 0..scene.size(BEFORE, 30) {
        before.push(once(&client, "trigger").await?);
    }
    let began = Instant::now();
    let pruning = client.trigger("prune-history").await?.name;
    let (mut meanwhile, mut longest) = (Vec::new(), None);
    let triggers = async {
        loop {
            meanwhile.push(once(&client, "trigger").await?);
            if let Some(run) = ended(&client, &pruning).await? {
                return Ok::<pb::Run, anyhow::Error>(run);
            }
        }
    };
    let run = tokio::select! {
        run = triggers => run?,
        failed = watch(&database, kind, &mut longest) => match failed? {},
    };
    let seconds = began.elapsed().as_secs_f64();
    expect_outcome(&run, pb::RunOutcome::Worked)?;
    ensure!(
        scene.size(MEANWHILE, 1) <= meanwhile.len(),
        "the pruning was over after {} triggers",
        meanwhile.len()
    );
    // What was kept back would cost nothing.
    for (counter, least) in [("runs_deleted", runs), ("events_deleted", events)] {
        let gone = run.counters.get(counter).copied().unwrap_or(0);
        // The newest of each task are kept.
        let least = least - 11 * history::TASKS.min(least / 20);
        ensure!(least as i64 <= gone, "{counter} is {gone}: {}", run.message);
    }
    // A failure that is a task's newest is kept with its log, where there are few.
    let left = chunks_left(&database).await?;
    ensure!(
        left * 10 <= (logs * CHUNKS) as i64,
        "{left} of {} chunks of logs are still there",
        logs * CHUNKS
    );
    database.close().await?;
    server.stop().await?;
    site.remove().await?;
    Ok(Pruned {
        before: Waits::of(kind, &before),
        meanwhile: Waits::of(kind, &meanwhile),
        seconds,
        longest,
    })
}

/// The run, once it has ended.
async fn ended(client: &Client, name: &str) -> anyhow::Result<Option<pb::Run>> {
    let request = pb::GetRunRequest {
        name: name.to_owned(),
    };
    let run = client.runs().get_run(request).await?.into_inner().run;
    Ok(run.filter(|run| run.finish_time.is_some()))
}

/// Notes how long transactions are open, as PostgreSQL tells; on SQLite a write's wait is all that can be seen.
async fn watch(
    database: &DatabaseConnection,
    kind: Kind,
    longest: &mut Option<f64>,
) -> anyhow::Result<std::convert::Infallible> {
    let select = "SELECT max(EXTRACT(EPOCH FROM clock_timestamp() - xact_start))::float8 * 1000 AS open \
         FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND backend_type = 'client backend' AND xact_start IS NOT NULL AND state <> 'idle'";
    if kind == Kind::Sqlite {
        return std::future::pending().await;
    }
    loop {
        let statement = Statement::from_string(database.get_database_backend(), select);
        let row = database.query_one_raw(statement).await?.context("a row")?;
        let open: Option<f64> = row.try_get("", "open")?;
        if let Some(open) = open {
            *longest = Some(longest.map_or(open, |known: f64| known.max(open)));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
