//! Many commands that write much at once: each keeps its lease, its log has both its ends, and nobody else waits.

use std::{fs, time::Duration};

use tokio::runtime::Builder;
use watchbell::clock::Stopwatch;
use watchbell_client::{client::Client, pb};

use super::{harness::Place, server::Server};
use crate::support::tell;

const RUNS: usize = 60;
/// Numbers that each writes, one in a line: 340 KB.
const LINES: usize = 58_000;
/// What the server may hold meanwhile, with what an unoptimised one of its own takes.
const KIB_AT_MOST: u64 = 150 << 10;
/// What a call takes at the most, and what most of them do.
const AT_MOST: Duration = Duration::from_secs(3);
const MOSTLY: Duration = Duration::from_millis(250);

fn configuration() -> String {
    format!(
        "bench_kinds = true\nlease = \"3s\"\nmax_running = {}\n\
         [commands.talks]\nargv = [\"/usr/bin/seq\", \"{LINES}\"]\n\
         [tasks.talks]\nkind = \"command\"\nparameters = {{ command = \"talks\" }}\noverlap = \"allow\"\n\
         [tasks.other]\nkind = \"bench-noop\"\noverlap = \"allow\"\n",
        RUNS + 10
    )
}

/// The most that the process has held so far.
fn peak_kib(server: &Server<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
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

#[test]
fn a_flood_of_logs_holds_up_no_lease_and_nobody_else() {
    let place = Place::new(&configuration());
    let server = place.serve();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let token = fs::read_to_string(&server.token_file).unwrap();
    runtime.block_on(async {
        let endpoint = format!("http://{}", server.address());
        let client = Client::connect_lazily(&endpoint, &token).unwrap();
        let before = peak_kib(&server);
        let watch = Stopwatch::start();
        let mut talking = Vec::new();
        for _ in 0..RUNS {
            talking.push(trigger(&client, "talks").await);
        }
        let mut calls = Vec::new();
        let mut ended = Vec::new();
        while let Some(name) = talking.pop() {
            let call = Stopwatch::start();
            trigger(&client, "other").await;
            calls.push(call.elapsed());
            let call = Stopwatch::start();
            let run = run(&client, &name).await;
            calls.push(call.elapsed());
            match run.finish_time {
                Some(_) => ended.push(run),
                None => talking.insert(0, name),
            }
        }
        let took = watch.elapsed();
        calls.sort();
        let (middle, most) = (calls[calls.len() / 2], calls[calls.len() - 1]);
        let peak = peak_kib(&server);
        tell(&format!(
            "{RUNS} commands of {LINES} lines in {took:.1?}: {} MiB at the most ({} before), calls {middle:?} in the \
             middle, {most:?} at the most",
            peak >> 10,
            before >> 10
        ));
        for run in &ended {
            assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
            assert_eq!(run.attempt, 1, "its lease was late: {run:?}");
        }
        assert!(peak < KIB_AT_MOST, "{peak} KiB");
        assert!(middle < MOSTLY && most < AT_MOST, "{middle:?} {most:?}");
    });
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
    server.stop();
}
