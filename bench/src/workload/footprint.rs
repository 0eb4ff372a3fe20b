//! What a server with 1,000 tasks takes while nothing is due: memory, processor time; and how quickly it
//! serves.

use std::time::Duration;

use super::{Scene, noop_tasks};
use crate::{
    database::Kind,
    machine,
    report::{Goal, Report},
    server::Site,
};

const MIB: f64 = 1024.0 * 1024.0;

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let settle = Duration::from_secs(if scene.quick { 2 } else { 10 });
    let watch = Duration::from_secs(if scene.quick { 5 } else { 60 });
    // Half a year away, or nearly.
    let far = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let month = (far.month() + 5) % 12 + 1;
    let toml = noop_tasks(
        "idle",
        1_000,
        &format!("schedule = {{ cron = \"0 0 1 {month} *\" }}"),
    );
    let toml = toml.replace(",watchbell::engine::scheduler=debug", "");
    let site = Site::new(&scene.program, kind, &toml).await?;
    let first = site.start().await?;
    let first_start = first.serving_after.as_secs_f64() * 1000.0;
    first.stop().await?;

    let (mut starts, mut resident, mut percent) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scene.repeats(3) {
        let server = site.start().await?;
        starts.push(server.serving_after.as_secs_f64() * 1000.0);
        tokio::time::sleep(settle).await;
        let before = machine::processor_time(server.id())?;
        tokio::time::sleep(watch).await;
        let used = machine::processor_time(server.id())? - before;
        percent.push(100.0 * used.as_secs_f64() / watch.as_secs_f64());
        resident.push(machine::resident_mib(server.id())?);
        server.stop().await?;
    }
    site.remove().await?;
    let size = std::fs::metadata(&scene.program)?.len() as f64 / MIB;
    let mut add = |(metric, unit), values: &[f64], goal| {
        report.add("footprint, 1,000 tasks", kind, (metric, unit), values, goal)
    };
    add(
        ("resident memory, idle", "MiB"),
        &resident,
        Goal::AtMost(40.0),
    );
    add(
        ("processor, idle", "% of a core"),
        &percent,
        Goal::AtMost(0.5),
    );
    add(("start to SERVING", "ms"), &starts, Goal::AtMost(300.0));
    add(
        ("first start, which makes the tasks", "ms"),
        &[first_start],
        Goal::None,
    );
    add(("binary", "MiB"), &[size], Goal::None);
    Ok(())
}
