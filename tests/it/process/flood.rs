//! Many commands that write much at once: each keeps its lease, its log has both its ends, and nobody else waits.

use std::{fs, time::Duration};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use watchbell::clock::{Stopwatch, wall_now};
use watchbell_client::{client::Client, pb};

use super::{harness::Place, server::Server};
use crate::support::{Database, on_both, rest, tell};

on_both!(a_flood_of_logs_holds_up_no_lease_and_nobody_else);

pub(crate) const RUNS: usize = 100;
/// Numbers that each writes, one in a line: 340 KB.
const LINES: usize = 58_000;
/// What the server may hold meanwhile, with what an unoptimised one of its own takes.
const KIB_AT_MOST: u64 = 150 << 10;
/// What a call takes at the most, and what most of them do.
const AT_MOST: Duration = Duration::from_secs(3);
const MOSTLY: Duration = Duration::from_millis(250);
/// A lease is renewed after a third of it. One that has less than half of it left was renewed too late.
const LEASE: Duration = Duration::from_secs(9);
const LEFT: Duration = Duration::from_millis(4500);
/// How often there is a flood until all was in time once: whatever else is done on this machine holds up both.
const TRIES: usize = 3;
const BETWEEN_TRIES: Duration = Duration::from_secs(5);

/// A command that writes much, with a task of its name.
pub(crate) fn talkative() -> String {
    format!(
        "[commands.talks]\nargv = [\"/usr/bin/seq\", \"{LINES}\"]\n\
         [tasks.talks]\nkind = \"command\"\nparameters = {{ command = \"talks\" }}\noverlap = \"allow\"\n"
    )
}

fn configuration() -> String {
    format!(
        "bench_kinds = true\nlease = \"{}s\"\nmax_running = {}\n{}\
         [tasks.other]\nkind = \"bench-noop\"\noverlap = \"allow\"\n",
        LEASE.as_secs(),
        RUNS + 10,
        talkative()
    )
}

/// The most that the process has held so far.
fn peak_kib(server: &Server<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// How long the lease goes on that runs out first; none where none is held.
async fn lease_left(fate: &DatabaseConnection) -> Option<Duration> {
    let now = wall_now().as_microsecond();
    let select = "SELECT min(lease_until) FROM runs WHERE state = 'running' AND kind = 'command'";
    let select = Statement::from_string(fate.get_database_backend(), select);
    let row = fate.query_one_raw(select).await.unwrap().unwrap();
    let until: Option<i64> = row.try_get_by_index(0).unwrap();
    let left = u64::try_from(until? - now).unwrap_or(0);
    Some(Duration::from_micros(left))
}

async fn trigger(client: &Client, task: &str) -> String {
    let request = pb::TriggerTaskRequest {
        name: format!("tasks/{task}"),
        ..Default::default()
    };
    let answer = client.tasks().trigger_task(request).await.unwrap();
    answer.into_inner().run.unwrap().name
}

async fn run(client: &Client, name: &str) -> pb::Run {
    let request = pb::GetRunRequest {
        name: name.to_owned(),
    };
    let answer = client.runs().get_run(request).await.unwrap();
    answer.into_inner().run.unwrap()
}

/// What there was time for meanwhile.
#[derive(Debug)]
struct Flood {
    /// Of the lease that had the least left.
    left: Duration,
    /// What a call took in the middle, and at the most.
    middle: Duration,
    most: Duration,
}

impl Flood {
    fn was_in_time(&self) -> bool {
        LEFT < self.left && self.middle < MOSTLY && self.most < AT_MOST
    }
}

/// All that talk, at once, each to its end.
async fn flood(client: &Client, fate: &DatabaseConnection) -> Flood {
    let watch = Stopwatch::start();
    let mut talking = Vec::new();
    for _ in 0..RUNS {
        talking.push(trigger(client, "talks").await);
    }
    let (mut calls, mut ended) = (Vec::new(), Vec::new());
    let mut left = LEASE;
    while let Some(name) = talking.pop() {
        let call = Stopwatch::start();
        trigger(client, "other").await;
        calls.push(call.elapsed());
        let call = Stopwatch::start();
        let run = run(client, &name).await;
        calls.push(call.elapsed());
        match run.finish_time {
            Some(_) => ended.push(run),
            None => talking.insert(0, name),
        }
        left = left.min(lease_left(fate).await.unwrap_or(LEASE));
    }
    let took = watch.elapsed();
    calls.sort();
    let (middle, most) = (calls[calls.len() / 2], calls[calls.len() - 1]);
    tell(&format!(
        "{RUNS} commands of {LINES} lines in {took:.1?}: leases with {left:.1?} left at the least, calls {middle:?} in \
         the middle, {most:?} at the most"
    ));
    for run in &ended {
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
        assert_eq!(run.attempt, 1, "its lease was lost: {run:?}");
    }
    Flood { left, middle, most }
}

async fn a_flood_of_logs_holds_up_no_lease_and_nobody_else(database: Database) {
    let place = Place::new(&configuration());
    let mut command = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
    if database.is_postgresql() {
        command.args(["--database", &database.url()]);
    }
    let server = place.serve_by(command, "data");
    let token = fs::read_to_string(&server.token_file).unwrap();
    let endpoint = format!("http://{}", server.address());
    let client = Client::connect_lazily(&endpoint, &token).unwrap();
    let fate = database.connect(&place.data()).await;
    let before = peak_kib(&server);
    let mut floods = vec![flood(&client, &fate).await];
    let peak = peak_kib(&server);
    tell(&format!(
        "{} MiB at the most, {} before",
        peak >> 10,
        before >> 10
    ));
    assert!(peak < KIB_AT_MOST, "{peak} KiB");
    while !floods[floods.len() - 1].was_in_time() {
        assert!(floods.len() < TRIES, "{floods:?}");
        tokio::task::block_in_place(|| rest(BETWEEN_TRIES));
        floods.push(flood(&client, &fate).await);
    }

    let run = server.json(&["run", "list", "--task", "talks"]);
    let name = run["runs"][0]["name"].as_str().unwrap();
    let log = server.bellctl(&["run", "logs", name]).stdout;
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        log.starts_with("1\n2\n3\n"),
        "{}",
        &log[..100.min(log.len())]
    );
    assert_eq!(lines.last(), Some(&LINES.to_string().as_str()));
    assert!(
        log.contains("lines left out"),
        "58,000 lines are more than are kept"
    );
    drop(client);
    server.stop();
}
