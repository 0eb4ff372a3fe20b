//! Events to thousands of subscribers: how long one takes to reach them all, and how many a second.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use watchbell_client::pb::{self, watch_runs_response::Message};

use super::Scene;
use crate::{
    calls::{Client, instant, millis},
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

/// An event as the log has it.
#[derive(Clone, Copy, Debug)]
struct Told {
    sequence: i64,
    at: Timestamp,
}

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
    let mut reached = Vec::new();
    for _ in 0..scene.repeats(20) {
        let run = client.trigger("noop").await?;
        reached.push(all_reached(&probe, &subscribers).await?);
        let request = pb::CancelRunRequest {
            name: run.name,
            ..Default::default()
        };
        client.runs().cancel_run(request).await?;
        reached.push(all_reached(&probe, &subscribers).await?);
    }
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

/// Waits until everybody has the newest event; milliseconds from its transaction's instant to the last.
async fn all_reached(probe: &Probe, subscribers: &[Subscriber]) -> anyhow::Result<f64> {
    let told = probe.newest(Duration::from_secs(10)).await?;
    let mut last = told.at;
    for subscriber in subscribers {
        let received = subscriber
            .has(told.sequence, Duration::from_secs(10))
            .await?;
        last = last.max(received.at);
    }
    Ok(millis(told.at, last))
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
        faults += usize::from(!same(&told, &received));
        lags.extend(lag(&told, &received));
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

/// A subscriber that reads what events say.
#[derive(Debug)]
struct Probe {
    told: Arc<Mutex<Vec<Told>>>,
    taken: Mutex<usize>,
}

impl Probe {
    async fn start(client: &Client) -> anyhow::Result<Self> {
        let request = pb::WatchRunsRequest {
            skip_snapshot: true,
            ..Default::default()
        };
        let mut feed = client.runs().watch_runs(request).await?.into_inner();
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = told.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = feed.message().await {
                let Some(Message::Event(event)) = message.message else {
                    continue;
                };
                let Some(at) = instant(event.time.as_ref()) else {
                    continue;
                };
                let told = Told {
                    sequence: event.sequence,
                    at,
                };
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(told);
            }
        });
        Ok(Self {
            told,
            taken: Mutex::new(0),
        })
    }

    /// What came before all subscribers were there is not theirs.
    async fn forget(&self) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn all(&self) -> Vec<Told> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The next event that was not asked for yet.
    async fn newest(&self, limit: Duration) -> anyhow::Result<Told> {
        let began = std::time::Instant::now();
        loop {
            let told = self.all();
            let taken = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(next) = told.get(taken) {
                *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = told.len();
                return Ok(*next);
            }
            if limit < began.elapsed() {
                bail!("no event within {limit:?}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The last event's number, once no more come.
    async fn settled(&self) -> i64 {
        let mut known = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let told = self.all();
            if told.len() == known {
                return told.last().map_or(0, |told| told.sequence);
            }
            known = told.len();
        }
    }
}

impl Subscriber {
    /// Waits until it has the event of this number.
    async fn has(&self, sequence: i64, limit: Duration) -> anyhow::Result<Received> {
        let wait = async {
            loop {
                if let Some(received) = self.find(sequence) {
                    return received;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let found = tokio::time::timeout(limit, wait).await;
        found.with_context(|| {
            format!("a subscriber has not received event {sequence} within {limit:?}")
        })
    }
}
