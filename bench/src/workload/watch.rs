//! Events to thousands of subscribers: how long one takes to reach them all, and how many a second.

mod probe;

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use watchbell_client::pb;

use self::probe::{Probe, Told};
use super::{
    Scene,
    clocks::{self, Call},
};
use crate::{
    calls::millis,
    database::Kind,
    figures, machine,
    report::{Goal, Report},
    server::{Server, Site},
    subscriber::{Received, Subscriber},
};

/// Subscribers on one connection.
const PER_CONNECTION: usize = 100;
/// Runs triggered each second: each makes three events.
const RUNS_PER_SECOND: u32 = 167;

const TOML: &str = "bench_kinds = true\n[log]\nfilter = \"warn\"\n\
    [tasks.noop]\nkind = \"bench-noop\"\noverlap = \"allow\"\n\
    [tasks.blocker]\nkind = \"bench-sleep\"\nparameters = { sleep_for = \"1h\" }\n";

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let sizes = if scene.quick {
        vec![(100, 50.0)]
    } else {
        vec![(1_000, 50.0), (5_000, 200.0)]
    };
    for (count, goal) in sizes {
        one_event(scene, kind, report, count, goal).await?;
    }
    sustained(scene, kind, report).await
}

/// Nothing runs but a blocker in the only place, so that a trigger is one event, and a cancel another.
async fn one_event(
    scene: &Scene,
    kind: Kind,
    report: &mut Report,
    count: usize,
    goal: f64,
) -> anyhow::Result<()> {
    let site = Site::new(&scene.program, kind, &format!("max_running = 1\n{TOML}")).await?;
    let server = site.start().await?;
    let client = server.connect().await?;
    client.trigger("blocker").await?;
    let probe = Probe::start(&client).await?;
    let subscribers = subscribe(&server, count).await?;
    probe.forget().await;
    let (mut calls, mut last) = (Vec::new(), Vec::new());
    for _ in 0..scene.repeats(20) {
        let mut name = String::new();
        for is_trigger in [true, false] {
            let called = Timestamp::now();
            if is_trigger {
                name = client.trigger("noop").await?.name;
            } else {
                let request = pb::CancelRunRequest {
                    name: name.clone(),
                    ..Default::default()
                };
                client.runs().cancel_run(request).await?;
            }
            let answered = Timestamp::now();
            let (written, received) = all_reached(&probe, &name, &subscribers).await?;
            calls.push(Call {
                called,
                answered,
                written,
            });
            last.push(received);
        }
    }
    let ahead = clocks::ahead(kind, &calls);
    let reached = calls.iter().zip(&last).zip(ahead);
    let reached: Vec<f64> = reached
        .map(|((call, last), ahead)| millis(call.written, *last) + ahead)
        .collect();
    let memory = machine::resident_mib(server.id())?;
    drop(subscribers);
    server.stop().await?;
    site.remove().await?;
    let name = format!("watch, {count} subscribers");
    report.add(
        &name,
        kind,
        ("one event: written → the last has it", "ms"),
        &reached,
        Goal::AtMost(goal),
    );
    report.add(
        &name,
        kind,
        ("resident memory", "MiB"),
        &[memory],
        Goal::None,
    );
    Ok(())
}

/// Waits until everybody has the next event of a run: when it was written, by the server's clock, and when the last had it.
async fn all_reached(
    probe: &Probe,
    run: &str,
    subscribers: &[Subscriber],
) -> anyhow::Result<(Timestamp, Timestamp)> {
    let told = probe.next_of(run, Duration::from_secs(10)).await?;
    let mut last = None;
    for subscriber in subscribers {
        let received = subscriber
            .has(told.sequence, Duration::from_secs(10))
            .await?;
        last = last.max(Some(received.at));
    }
    Ok((told.at, last.context("a subscriber")?))
}

async fn sustained(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let count = scene.size(1_000, 100);
    let seconds = scene.size(30, 5) as u32;
    let site = Site::new(&scene.program, kind, TOML).await?;
    let server = site.start().await?;
    let client = server.connect().await?;
    let probe = Probe::start(&client).await?;
    let subscribers = subscribe(&server, count).await?;
    probe.forget().await;
    let before = machine::resident_mib(server.id())?;
    let worked = machine::processor_time(server.id())?;
    let began = std::time::Instant::now();
    let mut every = tokio::time::interval(Duration::from_secs(1) / RUNS_PER_SECOND);
    let mut triggers = tokio::task::JoinSet::new();
    let mut most = before;
    for number in 0..RUNS_PER_SECOND * seconds {
        every.tick().await;
        let client = client.clone();
        triggers.spawn(async move { client.trigger("noop").await.map(drop) });
        while let Some(done) = triggers.try_join_next() {
            done??;
        }
        if number % RUNS_PER_SECOND == 0 {
            most = most.max(machine::resident_mib(server.id())?);
        }
    }
    while let Some(done) = triggers.join_next().await {
        done??;
    }
    client.idle(Duration::from_secs(30)).await?;
    let took = began.elapsed().as_secs_f64();
    let worked = (machine::processor_time(server.id())? - worked).as_secs_f64();
    let newest = probe.settled().await;
    let told = probe.all();
    let mut lags = Vec::new();
    let mut faults = 0;
    for subscriber in &subscribers {
        subscriber.has(newest, Duration::from_secs(60)).await?;
        let received = subscriber.all();
        // By their order events and receipts belong together, where nothing is missing.
        match same(&told, &received) {
            true => lags.extend(lag(&told, &received)),
            false => faults += 1,
        }
    }
    most = most.max(machine::resident_mib(server.id())?);
    drop(subscribers);
    server.stop().await?;
    site.audit()?;
    site.remove().await?;

    let name = format!("watch, {count} subscribers at 500 events/s");
    let goal = if scene.quick {
        Goal::None
    } else {
        Goal::AtLeast(490.0)
    };
    let mut add = |metric, values: &[f64], goal| report.add(&name, kind, metric, values, goal);
    add(
        ("events to each, sustained", "events/s"),
        &[told.len() as f64 / took],
        goal,
    );
    add(
        ("written → received, p50", "ms"),
        &[figures::median(&lags)],
        Goal::None,
    );
    add(
        ("written → received, p99", "ms"),
        &[figures::percentile(&lags, 99.0)],
        Goal::AtMost(1_000.0),
    );
    add(
        ("written → received, most", "ms"),
        &[figures::most(&lags)],
        Goal::None,
    );
    add(
        ("memory grown", "MiB"),
        &[most - before],
        Goal::AtMost(256.0),
    );
    add(
        ("server's processor", "% of a core"),
        &[100.0 * worked / took],
        Goal::None,
    );
    report.never(
        &name,
        kind,
        "subscribers with a gap, a repeat or a wrong order",
        &[faults as f64],
    );
    Ok(())
}

fn same(told: &[Told], received: &[Received]) -> bool {
    let told = told.iter().map(|told| told.sequence);
    told.eq(received.iter().map(|received| received.sequence))
}

fn lag(told: &[Told], received: &[Received]) -> Vec<f64> {
    let pairs = told.iter().zip(received);
    pairs
        .map(|(told, received)| millis(told.at, received.at))
        .collect()
}

async fn subscribe(server: &Server, count: usize) -> anyhow::Result<Vec<Subscriber>> {
    let mut subscribers = Vec::with_capacity(count);
    let mut client = server.connect().await?;
    for number in 0..count {
        if 0 < number && number % PER_CONNECTION == 0 {
            client = server.connect().await?;
        }
        subscribers.push(Subscriber::start(&client).await?);
    }
    Ok(subscribers)
}
