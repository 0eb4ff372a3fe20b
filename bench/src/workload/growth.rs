//! What grows with the number of tasks: status, lists, agenda and drift, a start, a changed line, memory and the
//! processor at rest, and what many who watch the status take.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use watchbell_client::pb;

use super::Scene;
use crate::{
    calls::Client,
    database::Kind,
    figures, machine,
    report::{Goal, Report},
    server::{Server, Site},
};

const WATCHERS: usize = 500;
/// Longer than a status holds while nothing happens.
const BETWEEN_STATUSES: Duration = Duration::from_millis(300);

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
    add(&mut sheet, &client).await?;
    calls(scene, &mut sheet, &client).await?;
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
    toml.push_str(&format!("priority = {}\n", change % 9 + 1));
    toml
}

/// Some that do what a configured one does, some that are paused, and some that are overridden.
async fn add(sheet: &mut Sheet<'_>, client: &Client) -> anyhow::Result<()> {
    let mut tasks = client.tasks();
    for number in 0..20 {
        let task = pb::Task {
            name: format!("tasks/added-{number}"),
            kind: "bench-noop".to_owned(),
            ..Default::default()
        };
        let request = pb::CreateTaskRequest {
            task_id: format!("added-{number}"),
            task: Some(task),
            ..Default::default()
        };
        tasks.create_task(request).await?;
        let configured = format!("tasks/grown-{:06}", number * sheet.tasks / 20);
        let request = pb::PauseTaskRequest {
            name: configured,
            reason: "to be found".to_owned(),
            ..Default::default()
        };
        tasks.pause_task(request).await?;
    }
    Ok(())
}

/// Milliseconds of a call, of each of its repeats.
async fn timed<F: Future<Output = anyhow::Result<()>>>(
    repeats: usize,
    between: Duration,
    call: impl Fn() -> F,
) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::new();
    for _ in 0..repeats {
        tokio::time::sleep(between).await;
        let began = Instant::now();
        call().await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}

async fn calls(scene: &Scene, sheet: &mut Sheet<'_>, client: &Client) -> anyhow::Result<()> {
    let repeats = scene.repeats(20);
    let status = timed(repeats, BETWEEN_STATUSES, || async {
        client
            .scheduler()
            .get_status(pb::GetStatusRequest {})
            .await?;
        Ok(())
    });
    sheet.add(("GetStatus", "ms"), &status.await?, 8.0);

    let of = |category: &str, kind: &str| pb::ListTasksRequest {
        page_size: 100,
        category: category.to_owned(),
        kind: kind.to_owned(),
        ..Default::default()
    };
    let paused = |paused| pb::ListTasksRequest {
        paused: Some(paused),
        ..of("", "")
    };
    let failing = pb::ListTasksRequest {
        failing: Some(true),
        ..of("odd", "bench-noop")
    };
    let lists = [
        of("", ""),
        of("nothing", ""),
        of("odd", ""),
        of("odd", "bench-noop"),
        of("", "nothing"),
        paused(true),
        paused(false),
        failing,
    ];
    let mut worst = Vec::new();
    for request in lists {
        let took = timed(repeats, Duration::ZERO, || async {
            client.tasks().list_tasks(request.clone()).await?;
            Ok(())
        });
        let took = took.await?;
        if figures::median(&worst) <= figures::median(&took) {
            worst = took;
        }
    }
    sheet.add(
        ("ListTasks, the slowest of eight filters", "ms"),
        &worst,
        30.0,
    );

    let agenda = timed(repeats, Duration::ZERO, || async {
        agenda(client, 1).await
    });
    sheet.add(("GetAgenda, the first page", "ms"), &agenda.await?, 30.0);
    let pages = timed(repeats.min(5), Duration::ZERO, || async {
        self::agenda(client, 10).await
    });
    let each: Vec<f64> = pages.await?.iter().map(|took| took / 10.0).collect();
    sheet.add(("GetAgenda, each of ten pages", "ms"), &each, 30.0);

    let drift = timed(repeats.min(5), Duration::ZERO, || async {
        let drift = client
            .scheduler()
            .get_drift(pb::GetDriftRequest::default())
            .await?;
        anyhow::ensure!(!drift.get_ref().items.is_empty(), "there is no drift");
        Ok(())
    });
    sheet.add(("GetDrift", "ms"), &drift.await?, 100.0);
    Ok(())
}

/// So many pages of the month to come.
async fn agenda(client: &Client, pages: usize) -> anyhow::Result<()> {
    let until = Timestamp::now() + SignedDuration::from_hours(30 * 24);
    let mut request = pb::GetAgendaRequest {
        page_size: 100,
        until_time: Some(prost_types::Timestamp {
            seconds: until.as_second(),
            nanos: 0,
        }),
        ..Default::default()
    };
    for _ in 0..pages {
        let page = client.scheduler().get_agenda(request.clone()).await?;
        let page = page.into_inner();
        anyhow::ensure!(!page.entries.is_empty(), "there is no agenda");
        request.page_token = page.next_page_token;
    }
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
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS.div_ceil(100) {
        let client = server.connect().await?;
        for _ in 0..100 {
            let mut scheduler = client.scheduler();
            let stream = scheduler.watch_status(pb::WatchStatusRequest::default());
            let mut stream = stream.await?.into_inner();
            watchers.spawn(async move { while let Ok(Some(_)) = stream.message().await {} });
        }
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let used = used(
        server,
        Duration::from_secs(if scene.quick { 3 } else { 30 }),
    )
    .await?;
    watchers.abort_all();
    Ok(used)
}
