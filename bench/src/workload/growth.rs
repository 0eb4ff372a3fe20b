//! What grows with the number of tasks: status, lists, agenda and drift, a start, a changed line, memory and the
//! processor at rest, and what many who watch the status take.

mod calls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use watchbell_client::pb;

use super::Scene;
use crate::{
    database::Kind,
    machine,
    report::{Goal, Report},
    server::{Server, Site},
};

const WATCHERS: usize = 500;

/// A figure of this number of tasks, and what 100,000 must reach.
struct Sheet<'a> {
    report: &'a mut Report,
    kind: Kind,
    tasks: usize,
}

impl Sheet<'_> {
    fn add(&mut self, metric: (&str, &'static str), values: &[f64], most: f64) {
        let name = format!("growth, {} tasks", self.tasks);
        let goal = Goal::AtMost(most);
        self.report.add(&name, self.kind, metric, values, goal);
    }
}

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    for tasks in [1_000, scene.size(100_000, 5_000)] {
        of_tasks(scene, kind, report, tasks).await?;
    }
    Ok(())
}

async fn of_tasks(
    scene: &Scene,
    kind: Kind,
    report: &mut Report,
    tasks: usize,
) -> anyhow::Result<()> {
    let mut sheet = Sheet {
        report,
        kind,
        tasks,
    };
    let site = Site::new(&scene.program, kind, &configuration(tasks, 0)).await?;
    let first = site.start().await?;
    let made = first.serving_after.as_secs_f64() * 1000.0;
    first.stop().await?;
    sheet.report.add(
        format!("growth, {tasks} tasks"),
        kind,
        ("first start, which makes the tasks", "ms"),
        &[made],
        Goal::None,
    );

    let (mut starts, mut changed) = (Vec::new(), Vec::new());
    for repeat in 0..scene.repeats(3) {
        let same = site.start().await?;
        starts.push(same.serving_after.as_secs_f64() * 1000.0);
        same.stop().await?;
        site.configure(&configuration(tasks, repeat + 1))?;
        let other = site.start().await?;
        changed.push(other.serving_after.as_secs_f64() * 1000.0);
        has_changed(&other, tasks, repeat + 1).await?;
        other.stop().await?;
    }
    sheet.add(("start to SERVING", "ms"), &starts, 1_000.0);
    sheet.add(
        ("start with one line changed, to SERVING", "ms"),
        &changed,
        1_500.0,
    );

    let server = site.start().await?;
    let rest = Duration::from_secs(if scene.quick { 5 } else { 60 });
    tokio::time::sleep(Duration::from_secs(if scene.quick { 2 } else { 15 })).await;
    let idle = used(&server, rest).await?;
    sheet.add(("processor, idle", "% of a core"), &[idle], 1.5);
    let client = server.connect().await?;
    calls::add(&mut sheet, &client).await?;
    calls::measure(scene, &mut sheet, &client).await?;
    let resident = machine::resident_mib(server.id())?;
    sheet.add(
        ("resident memory, after all that", "MiB"),
        &[resident],
        220.0,
    );
    let watched = watched(scene, &server).await?;
    sheet.add(
        ("processor, with 500 who watch the status", "% of a core"),
        &[watched],
        10.0,
    );
    server.stop().await?;
    let began = Instant::now();
    site.audit()?;
    let audited = began.elapsed().as_secs_f64();
    sheet.report.add(
        format!("growth, {tasks} tasks"),
        kind,
        ("audit-slots", "s"),
        &[audited],
        Goal::None,
    );
    site.remove().await
}

/// Tasks of 1,440 schedules, in two categories; of the last, the priority changes.
fn configuration(tasks: usize, change: usize) -> String {
    // Some days away, on a day that every month has.
    let soon = Timestamp::now() + SignedDuration::from_hours(10 * 24);
    let day = soon.to_zoned(jiff::tz::TimeZone::UTC).day().min(28);
    let mut toml = String::from("bench_kinds = true\n[log]\nfilter = \"warn\"\n");
    for number in 0..tasks {
        let (minute, hour) = (number % 60, number / 60 % 24);
        let category = if number % 2 == 0 { "even" } else { "odd" };
        toml.push_str(&format!(
            "[tasks.grown-{number:06}]\nkind = \"bench-noop\"\ncategory = \"{category}\"\n\
             schedule = {{ cron = \"{minute} {hour} {day} * *\" }}\n"
        ));
    }
    toml.push_str(&format!("priority = {}\n", priority(change)));
    toml
}

/// What the last has after so many changes: each time another.
fn priority(change: usize) -> usize {
    change % 9 + 1
}

/// Fails unless a server has taken in the line that was changed.
async fn has_changed(server: &Server, tasks: usize, change: usize) -> anyhow::Result<()> {
    let request = pb::GetTaskRequest {
        name: format!("tasks/grown-{:06}", tasks - 1),
    };
    let client = server.connect().await?;
    let task = client.tasks().get_task(request).await?.into_inner().task;
    let task = task.context("a task")?;
    ensure!(
        task.priority == Some(i32::try_from(priority(change))?),
        "{} has priority {:?} after change {change}",
        task.name,
        task.priority
    );
    Ok(())
}

/// Percent of a core that a server uses while that time passes.
async fn used(server: &Server, span: Duration) -> anyhow::Result<f64> {
    let before = machine::processor_time(server.id())?;
    tokio::time::sleep(span).await;
    let used = machine::processor_time(server.id())? - before;
    Ok(100.0 * used.as_secs_f64() / span.as_secs_f64())
}

/// What a server uses while many watch its status.
async fn watched(scene: &Scene, server: &Server) -> anyhow::Result<f64> {
    let told = Arc::new(AtomicUsize::new(0));
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS.div_ceil(100) {
        let client = server.connect().await?;
        for _ in 0..100 {
            let mut scheduler = client.scheduler();
            let stream = scheduler.watch_status(pb::WatchStatusRequest::default());
            let (mut stream, told) = (stream.await?.into_inner(), told.clone());
            watchers.spawn(async move {
                let mut is_first = true;
                while let Ok(Some(_)) = stream.message().await {
                    told.fetch_add(usize::from(is_first), Ordering::Relaxed);
                    is_first = false;
                }
            });
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let span = Duration::from_secs(if scene.quick { 3 } else { 30 });
    let used = used(server, span).await?;
    // Who has ended, or was never told, costs nothing.
    let told = told.load(Ordering::Relaxed);
    let ended = std::iter::from_fn(|| watchers.try_join_next()).count();
    ensure!(
        told == WATCHERS && ended == 0,
        "of {WATCHERS} watchers {told} were told the status, and {ended} have ended"
    );
    watchers.abort_all();
    Ok(used)
}
