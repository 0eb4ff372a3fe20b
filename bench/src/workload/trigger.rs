//! Triggers, one after another: from before the call to the handler's entry.

use anyhow::Context as _;
use jiff::Timestamp;
use watchbell_client::pb;

use super::{
    Scene,
    clocks::{self, Call},
    noop_tasks,
};
use crate::{
    calls::{Client, entered_at, instant, millis},
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
            waits.push(once(&client, "trigger-00000").await?);
        }
        series.push(until_entered(kind, &waits));
    }
    server.stop().await?;
    site.audit()?;
    site.remove().await?;
    Ok(series)
}

/// What one trigger came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// The answer comes once the run is written.
    pub(super) call: Call,
    /// By the server's clock.
    entered: Timestamp,
}

/// Triggers a task that does nothing, and waits until the run has ended.
pub(super) async fn once(client: &Client, task: &str) -> anyhow::Result<Wait> {
    let called = Timestamp::now();
    let run = client.trigger(task).await?;
    let answered = Timestamp::now();
    let nothing = pb::RunOutcome::NothingToDo;
    let run = client.ended_with(&run.name, nothing).await?;
    Ok(Wait {
        call: Call {
            called,
            answered,
            written: instant(run.queue_time.as_ref()).context("a run that was queued")?,
        },
        entered: entered_at(&run).context("a handler that says when it was entered")?,
    })
}

/// Milliseconds from each call to its handler's entry, on one server and one after another, by one clock.
pub(super) fn until_entered(kind: Kind, waits: &[Wait]) -> Vec<f64> {
    let calls: Vec<Call> = waits.iter().map(|wait| wait.call).collect();
    let ahead = clocks::ahead(kind, &calls);
    let until = |(wait, ahead): (&Wait, f64)| millis(wait.call.called, wait.entered) - ahead;
    waits.iter().zip(ahead).map(until).collect()
}
