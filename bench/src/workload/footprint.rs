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

/// How long to wait before, and how long to watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) settle: Duration,
    pub(crate) watch: Duration,
}

/// What one start of a server came to.
#[derive(Debug)]
pub(crate) struct Idle {
    resident_mib: f64,
    /// Memory with what is shared divided among its sharers.
    pub(crate) proportional_mib: f64,
    pub(crate) processor_percent: f64,
    pub(crate) start_ms: f64,
}

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let span = Span {
        settle: Duration::from_secs(if scene.quick { 2 } else { 10 }),
        watch: Duration::from_secs(if scene.quick { 5 } else { 60 }),
    };
    let (first_start, starts) = idle(scene, kind, (1_000, scene.repeats(3)), span).await?;
    let size = std::fs::metadata(&scene.program)?.len() as f64 / MIB;
    let of = |figure: fn(&Idle) -> f64| starts.iter().map(figure).collect::<Vec<f64>>();
    let mut add = |(metric, unit), values: &[f64], goal| {
        report.add("footprint, 1,000 tasks", kind, (metric, unit), values, goal)
    };
    add(
        ("resident memory, idle", "MiB"),
        &of(|idle| idle.resident_mib),
        Goal::AtMost(36.0),
    );
    add(
        ("processor, idle", "% of a core"),
        &of(|idle| idle.processor_percent),
        Goal::AtMost(0.4),
    );
    add(
        ("start to SERVING", "ms"),
        &of(|idle| idle.start_ms),
        Goal::AtMost(300.0),
    );
    add(
        ("first start, which makes the tasks", "ms"),
        &[first_start],
        Goal::None,
    );
    add(("binary", "MiB"), &[size], Goal::None);
    Ok(())
}

/// Milliseconds of the first start, which makes so many tasks; and what each of the starts after it
/// came to.
pub(crate) async fn idle(
    scene: &Scene,
    kind: Kind,
    (tasks, repeats): (usize, usize),
    span: Span,
) -> anyhow::Result<(f64, Vec<Idle>)> {
    // Half a year away, or nearly.
    let far = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let month = (far.month() + 5) % 12 + 1;
    let schedule = format!("schedule = {{ cron = \"0 0 1 {month} *\" }}");
    let toml = noop_tasks("idle", tasks, &schedule);
    let toml = toml.replace(",watchbell::engine::scheduler=debug", "");
    let site = Site::new(&scene.program, kind, &toml).await?;
    let first = site.start().await?;
    let first_start = first.serving_after.as_secs_f64() * 1000.0;
    first.stop().await?;

    let mut starts = Vec::new();
    for _ in 0..repeats {
        let server = site.start().await?;
        tokio::time::sleep(span.settle).await;
        let before = machine::processor_time(server.id())?;
        tokio::time::sleep(span.watch).await;
        let used = machine::processor_time(server.id())? - before;
        starts.push(Idle {
            resident_mib: machine::resident_mib(server.id())?,
            proportional_mib: machine::proportional_mib(server.id())?,
            processor_percent: 100.0 * used.as_secs_f64() / span.watch.as_secs_f64(),
            start_ms: server.serving_after.as_secs_f64() * 1000.0,
        });
        server.stop().await?;
    }
    site.remove().await?;
    Ok((first_start, starts))
}
