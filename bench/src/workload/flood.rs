//! A hundred commands that write as much as they can: what the server holds, whether leases are renewed in time, and how
//! long somebody else waits for an answer.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use watchbell_client::pb;

use super::Scene;
use crate::{
    calls::Client,
    database::Kind,
    figures, machine,
    report::{Goal, Report},
    server::Site,
};

const COMMANDS: usize = 100;
/// Lines that each writes: 340 KB.
const LINES: usize = 58_000;
/// Seconds; it is renewed at each third of that.
const LEASE: i64 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);
/// MiB; milliseconds, of two thirds of a lease; milliseconds.
const MEMORY: f64 = 150.0;
const LATE: f64 = 1_000.0;
const CALL: f64 = 250.0;

/// What one flood came to.
struct Flood {
    peak_mib: f64,
    late_ms: f64,
    call_ms: f64,
    seconds: f64,
    /// Runs that failed, or were tried again since their lease had run out.
    lost: f64,
}

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let mut floods = Vec::new();
    for _ in 0..scene.repeats(3) {
        floods.push(flood(scene, kind).await?);
    }
    let name = format!("flood, {} commands of {LINES} lines", commands(scene));
    let of = |figure: fn(&Flood) -> f64| floods.iter().map(figure).collect::<Vec<f64>>();
    let metric = ("peak memory of the server", "MiB");
    report.add(
        &name,
        kind,
        metric,
        &of(|one| one.peak_mib),
        Goal::AtMost(MEMORY),
    );
    let metric = (
        "the latest renewal of a lease of 3 s, after it was due",
        "ms",
    );
    report.add(
        &name,
        kind,
        metric,
        &of(|one| one.late_ms),
        Goal::AtMost(LATE),
    );
    let metric = ("GetTask meanwhile, p99", "ms");
    report.add(
        &name,
        kind,
        metric,
        &of(|one| one.call_ms),
        Goal::AtMost(CALL),
    );
    let metric = ("from the first trigger to the last end", "s");
    report.add(&name, kind, metric, &of(|one| one.seconds), Goal::None);
    let metric = "runs that failed or were tried again";
    report.never(&name, kind, metric, &of(|one| one.lost));
    Ok(())
}

fn commands(scene: &Scene) -> usize {
    scene.size(COMMANDS, 10)
}

async fn flood(scene: &Scene, kind: Kind) -> anyhow::Result<Flood> {
    let commands = commands(scene);
    let toml = format!(
        "lease = \"{LEASE}s\"\nmax_running = {}\n[log]\nfilter = \"warn\"\n\
         [commands.talks]\nargv = [\"/usr/bin/seq\", \"{LINES}\"]\n\
         [tasks.talks]\nkind = \"command\"\nparameters = {{ command = \"talks\" }}\noverlap = \"allow\"\n",
        commands + 10
    );
    let site = Site::new(&scene.program, kind, &toml).await?;
    let server = site.start().await?;
    let (client, other) = (server.connect().await?, server.connect().await?);
    let database = site.database.connect(&site.data()).await?;
    let began_at = Timestamp::now();
    let began = Instant::now();
    for _ in 0..commands {
        client.trigger("talks").await?;
    }
    let flooded = async {
        client.idle(Duration::from_secs(300)).await?;
        Ok::<f64, anyhow::Error>(began.elapsed().as_secs_f64())
    };
    // Both go on until all has ended.
    let (mut late, mut calls) = (0.0_f64, Vec::new());
    let seconds = tokio::select! {
        done = flooded => done?,
        failed = watch_leases(&database, &mut late) => match failed? {},
        failed = call(&other, &mut calls) => match failed? {},
    };
    let peak_mib = machine::peak_mib(server.id())?;
    let runs = client.runs_since(began_at).await?;
    let well = runs.iter().filter(|run| {
        run.task == "tasks/talks" && run.state() == pb::RunState::Succeeded && run.attempt == 1
    });
    let lost = commands as f64 - well.count() as f64;
    database.close().await?;
    server.stop().await?;
    site.remove().await?;
    Ok(Flood {
        peak_mib,
        late_ms: late,
        call_ms: figures::percentile(&calls, 99.0),
        seconds,
        lost,
    })
}

/// Looks at how much is left of the lease that ends first: less than two thirds is late.
async fn watch_leases(
    database: &DatabaseConnection,
    late: &mut f64,
) -> anyhow::Result<std::convert::Infallible> {
    let select = "SELECT min(lease_until) AS until FROM runs WHERE state = 'running'";
    loop {
        let statement = Statement::from_string(database.get_database_backend(), select);
        let row = database.query_one_raw(statement).await?.context("a row")?;
        if let Some(until) = row.try_get::<Option<i64>>("", "until")? {
            let left = (until - Timestamp::now().as_microsecond()) as f64 / 1000.0;
            let due = LEASE as f64 * 1000.0 * 2.0 / 3.0;
            *late = late.max(due - left);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Asks for a task over and over.
async fn call(client: &Client, took: &mut Vec<f64>) -> anyhow::Result<std::convert::Infallible> {
    loop {
        let began = Instant::now();
        let request = pb::GetTaskRequest {
            name: "tasks/talks".to_owned(),
        };
        client.tasks().get_task(request).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
