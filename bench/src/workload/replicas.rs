//! One server and three on one PostgreSQL, side by side: transactions that a triggered run takes of all of them, and
//! runs per second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use watchbell_client::pb;

use super::{Scene, noop_tasks, throughput::fill_on};
use crate::{
    database::Kind,
    figures,
    report::{Goal, Report},
    server::{Server, Site},
};

const REPLICAS: [usize; 2] = [1, 3];
/// A backend of PostgreSQL that has nothing more to do counts what it did after 10 s at the latest.
const COUNTED_WITHIN: Duration = Duration::from_secs(12);
const IDLE_FOR: Duration = Duration::from_secs(20);
/// What several replicas may take of what one has.
const SHARE: f64 = 0.95;

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    for replicas in REPLICAS {
        let mut taken = Vec::new();
        for _ in 0..scene.repeats(3) {
            taken.push(of_a_run(scene, kind, replicas).await?);
        }
        let metric = format!("transactions a triggered run, {}", named(replicas));
        let goal = match replicas {
            1 => Goal::None,
            _ => Goal::AtMost(8.0),
        };
        report.add("replicas", kind, (&metric, "transactions"), &taken, goal);
    }
    let all = scene.size(24_000, 2_400);
    for policy in ["skip", "allow"] {
        for tasks in [12, scene.size(1_000, 100)] {
            at_full_speed(scene, kind, (policy, tasks, all / tasks), report).await?;
        }
    }
    Ok(())
}

fn named(replicas: usize) -> &'static str {
    match replicas {
        1 => "one replica",
        _ => "three replicas",
    }
}

/// One and three by turns, so that both have the same of whatever else goes on.
async fn at_full_speed(
    scene: &Scene,
    kind: Kind,
    (policy, tasks, slots): (&str, usize, usize),
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut rates, mut shares, mut lost) = ([Vec::new(), Vec::new()], Vec::new(), Vec::new());
    for _ in 0..scene.repeats(5) {
        for (replicas, rates) in REPLICAS.into_iter().zip(&mut rates) {
            let filled = fill_on(scene, kind, (tasks, slots), policy, replicas).await?;
            rates.push(filled.per_second);
            lost.push(filled.lost);
        }
    }
    let workload = format!("replicas, overlap {policy}, {tasks} tasks");
    for (replicas, rates) in REPLICAS.into_iter().zip(&rates) {
        let metric = format!("durable runs, {}", named(replicas));
        report.add(&workload, kind, (&metric, "runs/s"), rates, Goal::None);
    }
    let [one, three] = rates.map(|rates| figures::median(&rates));
    shares.push(three / one);
    let metric = ("three replicas, of what one has", "ratio");
    report.add(&workload, kind, metric, &shares, Goal::AtLeast(SHARE));
    report.never(&workload, kind, "lost", &lost);
    Ok(())
}

/// Transactions that a run takes that is triggered at one of so many, less what they take anyway.
async fn of_a_run(scene: &Scene, kind: Kind, replicas: usize) -> anyhow::Result<f64> {
    let runs = scene.size(500, 50);
    let toml = noop_tasks("trigger", 1, "overlap = \"allow\"");
    let site = Site::new(&scene.program, kind, &toml).await?;
    let mut servers: Vec<Server> = Vec::new();
    for _ in 0..replicas {
        servers.push(site.start().await?);
    }
    let client = servers.first().context("a server")?.connect().await?;
    let database = site.database.connect(&site.data()).await?;
    tokio::time::sleep(COUNTED_WITHIN).await;

    let idle = Instant::now();
    let before = committed(&database).await?;
    tokio::time::sleep(IDLE_FOR).await;
    let began = Instant::now();
    let between = committed(&database).await?;
    let by_itself = (between - before) / began.duration_since(idle).as_secs_f64();
    for _ in 0..runs {
        let run = client.trigger("trigger-00000").await?;
        let nothing = pb::RunOutcome::NothingToDo;
        client.ended_with(&run.name, nothing).await?;
    }
    tokio::time::sleep(COUNTED_WITHIN).await;
    let took = began.elapsed().as_secs_f64();
    let of_runs = committed(&database).await? - between - by_itself * took;
    ensure!(
        0.0 < of_runs,
        "PostgreSQL has counted no transactions of {runs} runs"
    );

    database.close().await?;
    for server in servers {
        server.stop().await?;
    }
    site.audit()?;
    site.remove().await?;
    Ok(of_runs / runs as f64)
}

/// Transactions that were committed in this database.
async fn committed(database: &DatabaseConnection) -> anyhow::Result<f64> {
    let count = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let statement = Statement::from_string(DbBackend::Postgres, count);
    let row = database.query_one_raw(statement).await?;
    let count: i64 = row.context("a row")?.try_get_by_index(0)?;
    Ok(count as f64)
}
