//! A hundred commands that write as much as they can: what the server holds, whether leases are renewed in time, and how
//! long somebody else waits for an answer.

use std::{
    collections::HashSet,
    convert::Infallible,
    time::{Duration, Instant},
};

use anyhow::ensure;
use jiff::Timestamp;
use watchbell_client::pb::{self, tail_run_log_response::Message};

use super::{Scene, leases::Leases};
use crate::{
    calls::{Client, expect_outcome},
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
/// MiB; milliseconds, of two thirds of a lease; milliseconds.
const MEMORY: f64 = 150.0;
const LATE: f64 = 1_000.0;
const CALL: f64 = 250.0;

/// What one flood came to.
struct Flood {
    peak_mib: f64,
    /// None where all was over before a renewal was due.
    late_ms: Option<f64>,
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
    let metric = "the latest renewal of a lease of 3 s, after it was due";
    let late: Vec<f64> = floods.iter().filter_map(|one| one.late_ms).collect();
    match late.is_empty() {
        true => eprintln!("   {name} on {kind}: no renewal was due before all had ended: no row"),
        false => report.add(&name, kind, (metric, "ms"), &late, Goal::AtMost(LATE)),
    }
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
    let flooded = async {
        let mut asked = HashSet::new();
        for _ in 0..commands {
            asked.insert(client.trigger("talks").await?.name);
        }
        client.idle(Duration::from_secs(300)).await?;
        anyhow::Ok((asked, began.elapsed().as_secs_f64()))
    };
    // Both go on from before the first is triggered until all have ended.
    let (mut leases, mut calls) = (Leases::of(LEASE), Vec::new());
    let (asked, seconds) = tokio::select! {
        done = flooded => done?,
        failed = leases.watch(&database) => match failed? {},
        failed = call(&other, &mut calls) => match failed? {},
    };
    let peak_mib = machine::peak_mib(server.id())?;
    let runs = client.runs_since("tasks/talks", began_at).await?;
    let mut well = 0;
    for run in runs.iter().filter(|run| asked.contains(&run.name)) {
        if let Err(why) = expect_outcome(run, pb::RunOutcome::Worked) {
            eprintln!("   {why}");
            continue;
        }
        // A flood that the server did not take in would have cost it little.
        let last = last_line(&client, &run.name).await?;
        let is_whole = last.as_deref() == Some(&*LINES.to_string());
        ensure!(is_whole, "the log of {} ends with {last:?}", run.name);
        well += 1;
    }
    database.close().await?;
    server.stop().await?;
    site.remove().await?;
    Ok(Flood {
        peak_mib,
        late_ms: leases.latest_ms(),
        call_ms: figures::percentile(&calls, 99.0),
        seconds,
        lost: (commands - well) as f64,
    })
}

/// Asks for a task over and over.
async fn call(client: &Client, took: &mut Vec<f64>) -> anyhow::Result<Infallible> {
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

/// The last line that a command wrote, as the run's log has it.
async fn last_line(client: &Client, run: &str) -> anyhow::Result<Option<String>> {
    let request = pb::TailRunLogRequest {
        name: run.to_owned(),
        ..Default::default()
    };
    let mut log = client.runs().tail_run_log(request).await?.into_inner();
    let mut last = None;
    while let Some(message) = log.message().await? {
        let Some(Message::Chunk(chunk)) = message.message else {
            continue;
        };
        let mut lines = chunk.lines.into_iter();
        let said = lines.rfind(|line| line.stream() == pb::LogStream::Stdout);
        last = said.map(|line| line.text).or(last);
    }
    Ok(last)
}
