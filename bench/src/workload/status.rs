//! GetStatus beside an empty reply of the same tonic server, with calls in flight.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use watchbell_client::pb;

use super::{Scene, noop_tasks};
use crate::{
    calls::{Client, Connection},
    database::Kind,
    report::{Goal, Report},
    server::Site,
};

/// Calls on one connection at the most.
const PER_CONNECTION: usize = 16;

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let lasts = Duration::from_secs(if scene.quick { 1 } else { 3 });
    let fields = "schedule = { cron = \"0 0 1 1 *\" }";
    let site = Site::new(&scene.program, kind, &noop_tasks("status", 100, fields)).await?;
    let server = site.start().await?;
    let (empty, endpoint) = start_empty()?;
    for in_flight in [1, 16, 64] {
        let (mut ours, mut empties, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        // In turn, so that both see the same machine.
        for _ in 0..scene.repeats(5) {
            let rate = rate(&server.endpoint, &server.token, in_flight, lasts).await?;
            let beside = self::rate(&endpoint, &server.token, in_flight, lasts).await?;
            ours.push(rate);
            empties.push(beside);
            shares.push(100.0 * rate / beside);
        }
        let goal = if in_flight == 64 {
            Goal::AtLeast(50.0)
        } else {
            Goal::None
        };
        let name = format!("status, {in_flight} in flight");
        report.add(&name, kind, ("GetStatus", "calls/s"), &ours, Goal::None);
        report.add(
            &name,
            kind,
            ("empty reply", "calls/s"),
            &empties,
            Goal::None,
        );
        report.add(
            &name,
            kind,
            ("GetStatus of empty reply", "%"),
            &shares,
            goal,
        );
    }
    drop(empty);
    server.stop().await?;
    site.remove().await
}

/// Calls per second, each of `in_flight` callers asking again as soon as it is answered.
async fn rate(
    endpoint: &str,
    token: &str,
    in_flight: usize,
    lasts: Duration,
) -> anyhow::Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..in_flight.div_ceil(PER_CONNECTION) {
        connections.push(Connection::open(endpoint, token).await?);
    }
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..in_flight {
        let client: Client = connections[caller % connections.len()].clone();
        callers.spawn(async move {
            let mut scheduler = client.scheduler();
            let mut count = 0_u64;
            while began.elapsed() < lasts {
                scheduler.get_status(pb::GetStatusRequest {}).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(done) = callers.join_next().await {
        count += done??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// Ends with what holds it.
struct EmptyServer(Child);

impl Drop for EmptyServer {
    fn drop(&mut self) {
        // It has ended where these fail.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_empty() -> anyhow::Result<(EmptyServer, String)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--serve-empty")
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("no standard output")?;
    let server = EmptyServer(child);
    let mut address = String::new();
    BufReader::new(stdout).read_line(&mut address)?;
    Ok((server, format!("http://{}", address.trim())))
}
