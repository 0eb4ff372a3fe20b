//! What a server loses while somebody holds a snapshot of its PostgreSQL: nothing that was replaced since then can be
//! removed, as beside a long dump or a forgotten transaction.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use watchbell_client::pb;

use super::{
    Scene, noop_tasks,
    throughput::{Slots, backfill, succeeded},
    trigger::{once, until_entered},
};
use crate::{
    calls::Client,
    database::Kind,
    figures,
    report::{Goal, Report},
    server::Site,
};

/// Tasks that are due every second all the while.
const DUE: usize = 200;
/// Seconds for which the snapshot is held before anything is measured beside it.
const HELD: u64 = 120;
const TRIGGERS: usize = 500;
/// Tasks of a backfill, and slots of each.
const FILL: (usize, usize) = (20, 500);
const LOOKS: usize = 50;
/// What may be lost: milliseconds of a start, a share of the throughput, milliseconds of a look.
const START: f64 = 50.0;
const SHARE: f64 = 0.8;
const LOOK: f64 = 5.0;

/// What was seen at one time.
struct Seen {
    starts: Vec<f64>,
    per_second: f64,
    /// Milliseconds of `min(wake_at)`: of all, and of what is later than some seconds ago, as the server asks.
    of_all: f64,
    of_recent: f64,
}

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let (due, tasks) = (scene.size(DUE, 50), FILL.0);
    let mut toml = noop_tasks("due", due, "schedule = { every = \"1s\" }");
    toml = toml.replace(",watchbell::engine::scheduler=debug", "");
    let fields = "schedule = { every = \"1h\", phase = \"30m\" }\noverlap = \"allow\"";
    let more = noop_tasks("fill", tasks, fields);
    // Without what a file begins with.
    toml.push_str(&more[more.find("[tasks.").context("tasks")?..]);
    toml.push_str("[tasks.trigger]\nkind = \"bench-noop\"\noverlap = \"allow\"\n");
    let site = Site::new(&scene.program, kind, &toml).await?;
    let server = site.start().await?;
    let client = server.connect().await?;
    let database = site.database.connect(&site.data()).await?;
    tokio::time::sleep(Duration::from_secs(if scene.quick { 1 } else { 5 })).await;
    // Each time other slots than before, whatever time it is by then.
    let (began_at, count) = (Timestamp::now(), scene.size(FILL.1, 50));
    let slots = |time: usize| Slots::before(began_at, (count, time * count));
    let before = see(scene, &client, &database, slots(0)?).await?;

    let holder = site.database.connect(&site.data()).await?;
    holder
        .execute_unprepared("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await?;
    let taken = snapshot_of(&holder).await?;
    let held = scene.size(HELD as usize, 5) as u64;
    tokio::time::sleep(Duration::from_secs(held)).await;
    let beside = see(scene, &client, &database, slots(1)?).await?;
    // It was held to the end, or nothing was measured.
    let still = snapshot_of(&holder).await?;
    ensure!(still == taken, "{taken} was held, and {still} at the end");
    holder.execute_unprepared("COMMIT").await?;
    holder.close().await?;

    let name = format!("snapshot held for {held} s, {due} tasks due each second");
    let mut add = |metric: &str, unit, value, goal| {
        report.add(&name, kind, (metric, unit), &[value], goal);
    };
    for (when, seen, goal) in [
        ("before", &before, Goal::None),
        ("meanwhile", &beside, Goal::AtMost(START)),
    ] {
        let of = |percent| figures::percentile(&seen.starts, percent);
        add(
            &format!("trigger → start {when}, p50"),
            "ms",
            of(50.0),
            Goal::None,
        );
        add(
            &format!("trigger → start {when}, p99"),
            "ms",
            of(99.0),
            goal,
        );
        add(
            &format!("durable runs beside what is due, {when}"),
            "runs/s",
            seen.per_second,
            Goal::None,
        );
        let goal = match goal {
            Goal::None => Goal::None,
            _ => Goal::AtMost(LOOK),
        };
        add(
            &format!("min(wake_at) of what is recent, {when}"),
            "ms",
            seen.of_recent,
            goal,
        );
        add(
            &format!("min(wake_at) of all, {when}"),
            "ms",
            seen.of_all,
            Goal::None,
        );
    }
    add(
        "durable runs, of what they were before",
        "ratio",
        beside.per_second / before.per_second,
        Goal::AtLeast(SHARE),
    );
    database.close().await?;
    server.stop().await?;
    site.audit()?;
    site.remove().await
}

/// Names the session and its snapshot, which stays the same for as long as its transaction is open.
async fn snapshot_of(holder: &DatabaseConnection) -> anyhow::Result<String> {
    let select = "SELECT pg_backend_pid()::text || ' ' || txid_current_snapshot()::text";
    let statement = Statement::from_string(holder.get_database_backend(), select);
    let row = holder.query_one_raw(statement).await?;
    Ok(row.context("a row")?.try_get_by_index(0)?)
}

async fn see(
    scene: &Scene,
    client: &Client,
    database: &DatabaseConnection,
    slots: Slots,
) -> anyhow::Result<Seen> {
    let mut waits = Vec::new();
    for _ in 0..scene.size(TRIGGERS, 30) {
        waits.push(once(client, "trigger").await?);
    }
    let recent = Timestamp::now().as_microsecond() - 5_000_000;
    let of_recent = look(database, &format!(" AND wake_at > {recent}")).await?;
    let of_all = look(database, "").await?;
    let tasks = FILL.0;
    let (asked_at, began) = (Timestamp::now(), Instant::now());
    let asked = stream::iter(0..tasks).map(|task| backfill(client, task, slots));
    asked.buffer_unordered(4).try_collect::<()>().await?;
    while is_filling(client).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    let done = succeeded(client, tasks, slots, asked_at).await?;
    let all = tasks * slots.count();
    ensure!(done == all, "{done} of {all} runs succeeded");
    Ok(Seen {
        starts: until_entered(Kind::Postgresql, &waits),
        per_second: done as f64 / took.as_secs_f64(),
        of_all,
        of_recent,
    })
}

/// Milliseconds of a look at which task is next, the median of many.
async fn look(database: &DatabaseConnection, above: &str) -> anyhow::Result<f64> {
    let select = format!("SELECT min(wake_at) FROM tasks WHERE wake_at IS NOT NULL{above}");
    let mut took = Vec::new();
    for _ in 0..LOOKS {
        let statement = Statement::from_string(database.get_database_backend(), select.as_str());
        let began = Instant::now();
        let row = database.query_one_raw(statement).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        let next: Option<i64> = row.context("a row")?.try_get_by_index(0)?;
        ensure!(next.is_some(), "no task is next");
    }
    Ok(figures::median(&took))
}

/// Whether a run of the backfill has not ended; others go on all the while.
async fn is_filling(client: &Client) -> anyhow::Result<bool> {
    let states = [
        pb::RunState::Queued,
        pb::RunState::Running,
        pb::RunState::RetryWait,
    ];
    let request = pb::ListRunsRequest {
        page_size: 1000,
        states: states.map(Into::into).to_vec(),
        ..Default::default()
    };
    let page = client.runs().list_runs(request).await?.into_inner();
    let mut runs = page.runs.iter();
    Ok(!page.next_page_token.is_empty() || runs.any(|run| run.task.starts_with("tasks/fill-")))
}
