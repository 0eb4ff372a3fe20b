//! 200 tasks every second for two minutes: how late each starts, and that each slot is recorded.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use watchbell_client::pb;

use super::{Scene, burst::sleep_until, noop_tasks};
use crate::{
    calls::{Client, entered_at, instant, millis},
    database::Kind,
    figures,
    report::{Goal, Report},
    server::Site,
};

/// Upper ends of the histogram's buckets, in milliseconds.
const BUCKETS: [f64; 9] = [
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
    200.0,
    500.0,
    1_000.0,
    f64::INFINITY,
];

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let (tasks, seconds) = (200, scene.size(120, 10));
    let toml = noop_tasks("steady", tasks, "schedule = { cron = \"* * * * * *\" }");
    let mut all = Vec::new();
    let (mut missed, mut unrecorded, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    let mut quantiles: [Vec<f64>; 4] = Default::default();
    for _ in 0..scene.repeats(1) {
        let site = Site::new(&scene.program, kind, &toml).await?;
        let server = site.start().await?;
        let client = server.connect().await?;
        let from = Timestamp::from_second(Timestamp::now().as_second() + 3)?;
        let upto = from + SignedDuration::from_secs(seconds as i64);
        sleep_until(upto + SignedDuration::from_secs(2)).await;
        let runs = client.runs_since("", from).await?;
        let (lateness, seen) = lateness(&runs, from, upto);
        let expected = tasks * seconds;
        let recorded = recorded(&client, tasks, from, upto).await?;
        missed.push((expected - seen.min(expected)) as f64);
        unrecorded.push((expected - recorded.min(expected)) as f64);
        shares.push(100.0 * seen as f64 / expected as f64);
        for (values, percent) in quantiles.iter_mut().zip([50.0, 99.0, 99.9, 100.0]) {
            values.push(figures::percentile(&lateness, percent));
        }
        all.extend(lateness);
        server.stop().await?;
        site.audit()?;
        site.remove().await?;
    }
    let name = format!("steady, {tasks} a second for {seconds} s");
    let metrics = ["p50", "p99", "p99.9", "most"];
    for (metric, values) in metrics.iter().zip(&quantiles) {
        let metric = format!("due → handler entered, {metric}");
        report.add(&name, kind, (&metric, "ms"), values, Goal::None);
    }
    report.add(
        &name,
        kind,
        ("slots that ran by themselves", "%"),
        &shares,
        Goal::None,
    );
    report.never(&name, kind, "slots without a run of their own", &missed);
    report.never(&name, kind, "slots not in the ledger", &unrecorded);
    println!("{}", histogram(&all));
    Ok(())
}

/// How late each run of the span started, in milliseconds; and how many slots had a run of their own.
fn lateness(runs: &[pb::Run], from: Timestamp, upto: Timestamp) -> (Vec<f64>, usize) {
    let mut seen = HashSet::new();
    let mut lateness = Vec::new();
    for run in runs {
        let Some(slot) = instant(run.nominal_time.as_ref()) else {
            continue;
        };
        if slot < from || upto <= slot {
            continue;
        }
        let Some(entered) = entered_at(run) else {
            continue;
        };
        seen.insert((run.task.as_str(), slot));
        lateness.push(millis(slot, entered));
    }
    (lateness, seen.len())
}

/// Slots of the span that the ledger holds, whatever became of them.
async fn recorded(
    client: &Client,
    tasks: usize,
    from: Timestamp,
    upto: Timestamp,
) -> anyhow::Result<usize> {
    let mut count = 0;
    for task in 0..tasks {
        let request = pb::ListSlotsRequest {
            task: format!("tasks/steady-{task:05}"),
            page_size: 1000,
            ..Default::default()
        };
        let rows = client.tasks().list_slots(request).await?.into_inner().slots;
        let there: usize = rows.iter().map(|row| within(row, from, upto)).sum();
        // What is there twice makes up for nothing that is missing.
        let seconds = usize::try_from(upto.duration_since(from).as_secs())?;
        count += there.min(seconds);
    }
    Ok(count)
}

/// How many slots of a row lie in a span, where there is one in each second.
fn within(row: &pb::Slot, from: Timestamp, upto: Timestamp) -> usize {
    let first = instant(row.first_nominal_time.as_ref());
    let last = instant(row.last_nominal_time.as_ref());
    let (Some(first), Some(last)) = (first, last) else {
        return 0;
    };
    let last = last.min(upto - SignedDuration::from_secs(1));
    let seconds = last.duration_since(first.max(from)).as_secs() + 1;
    usize::try_from(seconds.min(row.count)).unwrap_or(0)
}

fn histogram(lateness: &[f64]) -> String {
    let mut text = String::from("lateness:");
    let mut below = 0.0;
    for bucket in BUCKETS {
        let count = lateness
            .iter()
            .filter(|late| below <= **late && **late < bucket)
            .count();
        if 0 < count {
            text.push_str(&format!("  {below} – {bucket} ms: {count}"));
        }
        below = bucket;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::stamp;

    #[test]
    fn of_a_row_only_what_lies_in_the_span_counts() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let of = |first, last, count| {
            let row = pb::Slot {
                first_nominal_time: Some(stamp(at(first))),
                last_nominal_time: Some(stamp(at(last))),
                count,
                ..Default::default()
            };
            within(&row, at(100), at(110))
        };
        assert_eq!((of(100, 100, 1), of(109, 109, 1)), (1, 1));
        assert_eq!((of(99, 99, 1), of(110, 110, 1)), (0, 0));
        assert_eq!(
            (of(95, 103, 9), of(108, 115, 8), of(50, 200, 151)),
            (4, 2, 10)
        );
        assert_eq!(within(&pb::Slot::default(), at(100), at(110)), 0);
    }
}
