//! Triggers, one after another: from before the call to the handler's entry.

use anyhow::Context as _;
use jiff::Timestamp;

use super::{Scene, noop_tasks};
use crate::{
    calls::{Client, entered_at, millis},
    database::Kind,
    figures,
    report::{Goal, Report},
    server::Site,
};

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let (half, goal) = match kind {
        Kind::Sqlite => (Goal::None, 10.0),
        Kind::Postgresql => (Goal::AtMost(1.6), 5.0),
    };
    let count = scene.size(2_000, 200);
    let (mut medians, mut p99s, mut most) = (Vec::new(), Vec::new(), Vec::new());
    for waits in waits(scene, kind, count, scene.repeats(3)).await? {
        medians.push(figures::median(&waits));
        p99s.push(figures::percentile(&waits, 99.0));
        most.push(figures::most(&waits));
    }
    let mut add =
        |metric, values: &[f64], goal| report.add("trigger", kind, (metric, "ms"), values, goal);
    add("call → handler entered, p50", &medians, half);
    add("call → handler entered, p99", &p99s, Goal::AtMost(goal));
    add("call → handler entered, most", &most, Goal::None);
    Ok(())
}

/// So many series of so many triggers, on one server: milliseconds of each.
pub(crate) async fn waits(
    scene: &Scene,
    kind: Kind,
    count: usize,
    repeats: usize,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let toml = noop_tasks("trigger", 1, "overlap = \"allow\"");
    let site = Site::new(&scene.program, kind, &toml).await?;
    let server = site.start().await?;
    let client = server.connect().await?;
    let mut series = Vec::new();
    for _ in 0..repeats {
        let mut waits = Vec::with_capacity(count);
        for _ in 0..count {
            waits.push(once(&client, "trigger-00000").await?.entered);
        }
        series.push(waits);
    }
    server.stop().await?;
    site.audit()?;
    site.remove().await?;
    Ok(series)
}

/// What one trigger waited for, in milliseconds from before the call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// For the answer, which comes once the run is written.
    pub(super) answered: f64,
    pub(super) entered: f64,
}

/// Triggers a task, and waits until the run has ended.
pub(super) async fn once(client: &Client, task: &str) -> anyhow::Result<Wait> {
    let called_at = Timestamp::now();
    let run = client.trigger(task).await?;
    let answered = millis(called_at, Timestamp::now());
    let run = client.ended(&run.name).await?;
    let entered = entered_at(&run).context("a handler that says when it was entered")?;
    Ok(Wait {
        answered,
        entered: millis(called_at, entered),
    })
}
