//! Calls of a server with many tasks: its status, lists, agenda and drift.

use std::time::{Duration, Instant};

use anyhow::ensure;
use jiff::{SignedDuration, Timestamp};
use watchbell_client::pb;

use super::Sheet;
use crate::{calls::Client, figures, workload::Scene};

/// Longer than a status holds while nothing happens.
const BETWEEN_STATUSES: Duration = Duration::from_millis(300);

/// Some that do what a configured one does, some that are paused, and some that are overridden.
pub(super) async fn add(sheet: &mut Sheet<'_>, client: &Client) -> anyhow::Result<()> {
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

/// Milliseconds of what is asked of a server with many tasks.
pub(super) async fn measure(
    scene: &Scene,
    sheet: &mut Sheet<'_>,
    client: &Client,
) -> anyhow::Result<()> {
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
    // With whether there is any of it.
    let lists = [
        (of("", ""), true),
        (of("nothing", ""), false),
        (of("odd", ""), true),
        (of("odd", "bench-noop"), true),
        (of("", "nothing"), false),
        (paused(true), true),
        (paused(false), true),
        (failing, false),
    ];
    let mut each = Vec::new();
    for (request, is_there) in lists {
        let took = timed(repeats, Duration::ZERO, || async {
            let page = client.tasks().list_tasks(request.clone()).await?;
            let count = page.get_ref().tasks.len();
            ensure!(is_there == (0 < count), "{count} tasks by {request:?}");
            Ok(())
        });
        each.push(took.await?);
    }
    let slower =
        |one: &Vec<f64>, other: &Vec<f64>| figures::median(one).total_cmp(&figures::median(other));
    let worst = each.into_iter().max_by(slower).unwrap_or_default();
    sheet.add(
        ("ListTasks, the slowest of eight filters", "ms"),
        &worst,
        30.0,
    );

    let page = timed(repeats, Duration::ZERO, || async {
        agenda(client, 1).await
    });
    sheet.add(("GetAgenda, the first page", "ms"), &page.await?, 30.0);
    let pages = timed(repeats.min(5), Duration::ZERO, || async {
        agenda(client, 10).await
    });
    let each: Vec<f64> = pages.await?.iter().map(|took| took / 10.0).collect();
    sheet.add(("GetAgenda, each of ten pages", "ms"), &each, 30.0);

    let drift = timed(repeats.min(5), Duration::ZERO, || async {
        let drift = client
            .scheduler()
            .get_drift(pb::GetDriftRequest::default())
            .await?;
        ensure!(!drift.get_ref().items.is_empty(), "there is no drift");
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
        ensure!(!page.entries.is_empty(), "there is no agenda");
        request.page_token = page.next_page_token;
    }
    Ok(())
}
