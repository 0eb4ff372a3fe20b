//! What a server with 1,000, 18,000 and 30,000 tasks takes of the processor while nothing is due. Each half minute the
//! auditor looks at a part of them, and at what is overdue or was never looked at: it must not begin to cost more than
//! there are more tasks.

use std::time::Duration;

use super::{Scene, noop_tasks};
use crate::{
    database::Kind,
    machine,
    report::{Goal, Report},
    server::Site,
};

/// What the last is compared with is the one before.
const SIZES: [usize; 3] = [1_000, 18_000, 30_000];
/// What 30,000 may take of 18,000's: no more than in proportion.
const RATIO: f64 = 30.0 / 18.0;
/// Percent of a core, as 100,000 tasks may.
const GOAL: f64 = 1.5;
/// Rounds of half a minute.
const ROUNDS: u64 = 2;

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let month = (jiff::Zoned::now().date().month() + 5) % 12 + 1;
    let schedule = format!("schedule = {{ cron = \"0 0 1 {month} *\" }}");
    let mut running = Vec::new();
    // They are watched side by side: they rest most of the time, and what counts is their own time of the processor.
    for tasks in SIZES {
        let tasks = scene.size(tasks, tasks / 20);
        let toml = noop_tasks("audited", tasks, &schedule);
        let toml = toml.replace(",watchbell::engine::scheduler=debug", "");
        let site = Site::new(&scene.program, kind, &toml).await?;
        // The first start makes the tasks.
        site.start().await?.stop().await?;
        running.push((tasks, site.start().await?, site));
    }
    let (settle, watch) = match scene.quick {
        true => (2, 5),
        false => (15, 30 * ROUNDS),
    };
    tokio::time::sleep(Duration::from_secs(settle)).await;
    let mut before = Vec::new();
    for (_, server, _) in &running {
        before.push(machine::processor_time(server.id())?);
    }
    tokio::time::sleep(Duration::from_secs(watch)).await;
    let mut percents: Vec<(usize, f64)> = Vec::new();
    for ((tasks, server, site), before) in running.into_iter().zip(before) {
        let used = machine::processor_time(server.id())? - before;
        let percent = 100.0 * used.as_secs_f64() / watch as f64;
        let name = format!("auditor, {tasks} tasks");
        let metric = ("processor, idle", "% of a core");
        report.add(&name, kind, metric, &[percent], Goal::AtMost(GOAL));
        percents.push((tasks, percent));
        server.stop().await?;
        site.remove().await?;
    }
    // A quick look is over before the kernel has counted a tick of the fewer.
    if let [.., (fewer, less), (more, most)] = percents[..]
        && !scene.quick
    {
        let name = format!("auditor, {fewer} to {more} tasks");
        let metric = ("processor, idle, times what the fewer take", "times");
        report.add(&name, kind, metric, &[most / less], Goal::AtMost(RATIO));
    }
    Ok(())
}
