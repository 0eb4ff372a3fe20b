//! Followers of logs in which nothing happens: what 600 of them take of the server's processor.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;
use watchbell_client::pb;

use super::Scene;
use crate::{
    calls::Client,
    database::Kind,
    machine,
    report::{Goal, Report},
    server::{Server, Site},
};

const FOLLOWERS: usize = 600;
/// Runs that they follow, and how many share a connection.
const RUNS: usize = 20;
const ON_A_CONNECTION: usize = 100;
/// Percent of a core.
const GOAL: f64 = 3.0;

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let toml = format!(
        "bench_kinds = true\nshutdown_grace = \"0s\"\nmax_running = {}\n[log]\nfilter = \"warn\"\n[tasks.silent]\nkind = \"bench-sleep\"\n\
         parameters = {{ sleep_for = \"1h\" }}\noverlap = \"allow\"\n",
        RUNS + 10
    );
    let site = Site::new(&scene.program, kind, &toml).await?;
    let server = site.start().await?;
    let client = server.connect().await?;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(client.trigger("silent").await?.name);
    }
    let settle = Duration::from_secs(if scene.quick { 1 } else { 5 });
    tokio::time::sleep(settle).await;
    are_running(&client, &runs).await?;
    let alone = used(scene, &server).await?;

    let heard: Arc<Vec<AtomicUsize>> = Arc::new((0..FOLLOWERS).map(|_| 0.into()).collect());
    let mut followers = JoinSet::new();
    for first in (0..FOLLOWERS).step_by(ON_A_CONNECTION) {
        let client = server.connect().await?;
        for number in first..first + ON_A_CONNECTION {
            let request = pb::TailRunLogRequest {
                name: runs[number % RUNS].clone(),
                follow: true,
                ..Default::default()
            };
            let stream = client.runs().tail_run_log(request).await?;
            let (mut stream, heard) = (stream.into_inner(), heard.clone());
            followers.spawn(async move {
                while let Ok(Some(_)) = stream.message().await {
                    heard[number].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
    tokio::time::sleep(settle).await;
    let before: Vec<usize> = counts(&heard);
    let followed = used(scene, &server).await?;
    let after = counts(&heard);
    // Each is told now and then that it is alive; one that has ended, or hears nothing, costs nothing.
    let deaf = before.iter().zip(&after).filter(|(a, b)| a == b).count();
    let ended = std::iter::from_fn(|| followers.try_join_next()).count();
    // A quick look is over before anybody is told.
    let deaf = if scene.quick { 0 } else { deaf };
    ensure!(
        deaf + ended == 0,
        "of {FOLLOWERS} followers {ended} have ended, and {deaf} hear nothing"
    );
    are_running(&client, &runs).await?;

    let name = format!("tails, {FOLLOWERS} of {RUNS} silent runs");
    let metric = ("processor, nobody follows", "% of a core");
    report.add(&name, kind, metric, &[alone], Goal::None);
    let metric = ("processor, all follow", "% of a core");
    report.add(&name, kind, metric, &[followed], Goal::AtMost(GOAL));
    let resident = machine::resident_mib(server.id())?;
    let metric = ("resident memory, all follow", "MiB");
    report.add(&name, kind, metric, &[resident], Goal::None);
    let metric = match scene.quick {
        true => "followers that ended",
        false => "followers that ended or heard nothing",
    };
    report.never(&name, kind, metric, &[(deaf + ended) as f64]);
    followers.abort_all();
    server.stop().await?;
    site.remove().await
}

/// Fails unless all of these runs are under way: of those that wait or have ended nothing is to be told.
async fn are_running(client: &Client, runs: &[String]) -> anyhow::Result<()> {
    for name in runs {
        let request = pb::GetRunRequest { name: name.clone() };
        let run = client.runs().get_run(request).await?.into_inner().run;
        let run = run.context("a run")?;
        let state = run.state();
        ensure!(
            state == pb::RunState::Running,
            "{name} is {}: {}",
            state.as_str_name(),
            run.message
        );
    }
    Ok(())
}

/// Percent of a core.
async fn used(scene: &Scene, server: &Server) -> anyhow::Result<f64> {
    let span = Duration::from_secs(if scene.quick { 3 } else { 20 });
    let before = machine::processor_time(server.id())?;
    tokio::time::sleep(span).await;
    let used = machine::processor_time(server.id())? - before;
    Ok(100.0 * used.as_secs_f64() / span.as_secs_f64())
}

fn counts(heard: &[AtomicUsize]) -> Vec<usize> {
    heard
        .iter()
        .map(|heard| heard.load(Ordering::Relaxed))
        .collect()
}
