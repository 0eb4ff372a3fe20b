//! Watchbell's side: the workloads of `make bench`, in the sizes that the peers have.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;

use super::metrics::Figures;
use crate::{
    database::Kind,
    figures,
    workload::{
        Scene, Workload, burst,
        footprint::{self, Span},
        throughput, trigger,
    },
};

/// As `bench/peers` has it.
const IDLE: Span = Span {
    settle: Duration::from_secs(5),
    watch: Duration::from_secs(20),
};
/// Tasks of a backfill; the rest of its size are their slots.
const TASKS: usize = 100;

/// Measures Watchbell once, with a server and a database of its own. `policy` is what a task does with a
/// run that is due while the one before it is under way.
pub(super) async fn measure(
    scene: &Scene,
    workload: Workload,
    (kind, policy): (Kind, &str),
    size: usize,
) -> anyhow::Result<Figures> {
    let (values, note) = match workload {
        Workload::Burst => (burst_of(scene, kind, size).await?, ""),
        Workload::Throughput => {
            let slots = size.div_ceil(TASKS);
            let filled = throughput::fill(scene, kind, (TASKS, slots), policy).await?;
            anyhow::ensure!(filled.lost == 0.0, "{} runs were lost", filled.lost);
            let note = match policy {
                "skip" => "the runs of each task one after another, which is the default",
                _ => "the runs of each task side by side, as the peers' jobs are",
            };
            (vec![("per_second", filled.per_second)], note)
        }
        Workload::Trigger => (triggers(scene, kind, size).await?, ""),
        Workload::Footprint => (idle(scene, kind, size).await?, ""),
        _ => anyhow::bail!("{workload} is no workload of the peers"),
    };
    if let Some((key, value)) = values.iter().find(|(_, value)| !value.is_finite()) {
        anyhow::bail!("nothing was measured of {key}: {value}");
    }
    let values = values
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect::<BTreeMap<String, f64>>();
    Ok(Figures {
        n: size as u64,
        values,
        note: note.to_owned(),
    })
}

type Values = Vec<(&'static str, f64)>;

async fn burst_of(scene: &Scene, kind: Kind, size: usize) -> anyhow::Result<Values> {
    let bursts = burst::bursts(scene, kind, size, 1).await?;
    let burst = bursts.first().context("a burst")?;
    Ok(vec![
        ("first_ms", burst.started_first),
        ("p50_ms", burst.started_p50),
        ("p99_ms", burst.started_p99),
        ("last_ms", burst.started_last),
        ("lost", burst.lost),
        ("duplicated", burst.twice),
    ])
}

async fn triggers(scene: &Scene, kind: Kind, size: usize) -> anyhow::Result<Values> {
    let series = trigger::waits(scene, kind, size, 1).await?;
    let waits = series.first().context("a series")?;
    Ok(vec![
        ("p50_ms", figures::percentile(waits, 50.0)),
        ("p99_ms", figures::percentile(waits, 99.0)),
        ("max_ms", figures::most(waits)),
    ])
}

async fn idle(scene: &Scene, kind: Kind, size: usize) -> anyhow::Result<Values> {
    let (_, starts) = footprint::idle(scene, kind, (size, 1), IDLE).await?;
    let start = starts.first().context("a start")?;
    Ok(vec![
        ("rss_mib", start.proportional_mib),
        ("cpu_percent", start.processor_percent),
        ("ready_ms", start.start_ms),
    ])
}
