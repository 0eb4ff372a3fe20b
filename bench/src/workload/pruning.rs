//! Triggers while `prune-history` drops events, runs and logs: how long they wait for it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use watchbell_client::pb;

use super::{
    Scene, history, noop_tasks,
    trigger::{Wait, once},
};
use crate::{
    calls::Client,
    database::Kind,
    figures,
    report::{Goal, Report},
    server::Site,
};

/// What is too old: runs of 100 tasks, logs of some of them, and events.
const RUNS: usize = 20_000;
const LOGS: usize = 400;
const EVENTS: usize = 100_000;
/// Chunks of a log, and the bytes of each.
const CHUNKS: usize = 4;
const BYTES: usize = 64 << 10;
/// Triggers before it.
const BEFORE: usize = 300;
/// Milliseconds that a write may wait: none of the pruning's transactions may be longer.
const GOAL: f64 = 50.0;
/// Milliseconds from a call to the handler, of 99 of 100.
const STARTED: f64 = 50.0;

/// What came of one pruning.
struct Pruned {
    before: Vec<Wait>,
    meanwhile: Vec<Wait>,
    seconds: f64,
    /// Milliseconds; PostgreSQL's own.
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
    let started = |waits: &[Wait], percent| {
        let waits: Vec<f64> = waits.iter().map(|wait| wait.entered).collect();
        figures::percentile(&waits, percent)
    };
    let answered = |waits: &[Wait]| {
        let waits: Vec<f64> = waits.iter().map(|wait| wait.answered).collect();
        figures::most(&waits)
    };
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
    if all.iter().all(|one| one.longest.is_some()) {
        let metric = "the longest transaction that PostgreSQL showed meanwhile";
        add(metric, &|one| one.longest.unwrap_or_default(), goal);
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
    let old = Timestamp::now() - SignedDuration::from_hours(48);
    history::fill(&database, kind, runs, old).await?;
    fill(&database, kind, (logs, events), old).await?;

    let server = site.start().await?;
    let client = server.connect().await?;
    let mut before = Vec::new();
    for _ in 0..scene.size(BEFORE, 30) {
        before.push(once(&client, "trigger").await?);
    }
    let began = Instant::now();
    let pruning = client.trigger("prune-history").await?.name;
    let (mut meanwhile, mut longest) = (Vec::new(), 0.0_f64);
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
    if run.state() != pb::RunState::Succeeded {
        bail!("prune-history: {}", run.message);
    }
    // What was kept back would cost nothing.
    for (counter, least) in [("runs_deleted", runs), ("events_deleted", events)] {
        let gone = run.counters.get(counter).copied().unwrap_or(0);
        // The newest of each task are kept.
        let least = least - 11 * history::TASKS.min(least / 20);
        ensure!(least as i64 <= gone, "{counter} is {gone}: {}", run.message);
    }
    database.close().await?;
    server.stop().await?;
    site.remove().await?;
    Ok(Pruned {
        before,
        meanwhile,
        seconds,
        longest: (kind == Kind::Postgresql).then_some(longest),
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
    longest: &mut f64,
) -> anyhow::Result<std::convert::Infallible> {
    let select = "SELECT COALESCE(max(EXTRACT(EPOCH FROM clock_timestamp() - xact_start)), 0)::float8 * 1000 AS open \
         FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND backend_type = 'client backend' AND xact_start IS NOT NULL AND state <> 'idle'";
    if kind == Kind::Sqlite {
        return std::future::pending().await;
    }
    loop {
        let statement = Statement::from_string(database.get_database_backend(), select);
        let row = database.query_one_raw(statement).await?.context("a row")?;
        *longest = longest.max(row.try_get::<f64>("", "open")?);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Gives the oldest runs a log, and makes events of that time.
async fn fill(
    database: &DatabaseConnection,
    kind: Kind,
    (logs, events): (usize, usize),
    at: Timestamp,
) -> anyhow::Result<()> {
    let at = at.as_microsecond();
    let (body, numbers) = match kind {
        Kind::Sqlite => (
            format!("randomblob({BYTES})"),
            "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {many}) SELECT n FROM c)",
        ),
        Kind::Postgresql => (
            format!(
                "decode(repeat(md5(r.id::text || n.n), {}), 'hex')",
                BYTES / 16
            ),
            "(SELECT generate_series(1::bigint, {many}) AS n)",
        ),
    };
    let of = |many: usize| numbers.replace("{many}", &many.to_string());
    let chunks = format!(
        "INSERT INTO run_log_chunks (run_id, attempt, line, lines, body) \
         SELECT r.id, 1, n.n * 100, 100, {body} FROM {} n, (SELECT id FROM runs ORDER BY id LIMIT {logs}) r",
        of(CHUNKS)
    );
    database.execute_unprepared(&chunks).await?;
    // Numbered behind those that are there, which are of then as well: events are in order of their time.
    let older = format!("UPDATE events SET at = {at}");
    database.execute_unprepared(&older).await?;
    let rows = format!(
        "INSERT INTO events (at, kind, task_id, subject, payload) \
         SELECT {at}, e.kind, e.task_id, e.subject, e.payload \
         FROM {} n, (SELECT * FROM events WHERE task_id IS NOT NULL ORDER BY sequence DESC LIMIT 1) e",
        of(events)
    );
    database.execute_unprepared(&rows).await?;
    if kind == Kind::Postgresql {
        database.execute_unprepared("VACUUM ANALYZE").await?;
    }
    Ok(())
}
