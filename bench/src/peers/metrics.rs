//! Which figures each workload has, for Watchbell and for its peers alike.

use std::collections::BTreeMap;

use crate::workload::Workload;

/// What one measurement came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// How many schedules or jobs there were: fewer than asked for where a peer cannot.
    pub(super) n: u64,
    /// By the keys of [`Metric`]; others are not looked at.
    pub(super) values: BTreeMap<String, f64>,
    /// What there is to know about it.
    pub(super) note: String,
}

/// Which of two figures is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    Less,
    More,
}

/// A figure of a workload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    /// As `bench/peers/run` calls it.
    pub(super) key: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
}

const fn metric(
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    better: Better,
) -> Metric {
    Metric {
        key,
        title,
        unit,
        better,
    }
}

const BURST: [Metric; 6] = [
    metric("first_ms", "due → first started", "ms", Better::Less),
    metric("last_ms", "due → last started", "ms", Better::Less),
    metric("p50_ms", "lateness, p50", "ms", Better::Less),
    metric("p99_ms", "lateness, p99", "ms", Better::Less),
    metric("lost", "lost", "count", Better::Less),
    metric("duplicated", "duplicated", "count", Better::Less),
];

const THROUGHPUT: [Metric; 1] = [metric("per_second", "jobs", "jobs/s", Better::More)];

const TRIGGER: [Metric; 3] = [
    metric("p50_ms", "call → handler entered, p50", "ms", Better::Less),
    metric("p99_ms", "call → handler entered, p99", "ms", Better::Less),
    metric("max_ms", "call → handler entered, most", "ms", Better::Less),
];

const FOOTPRINT: [Metric; 3] = [
    metric("rss_mib", "memory", "MiB", Better::Less),
    metric("cpu_percent", "processor", "% of a core", Better::Less),
    metric("ready_ms", "start to ready", "ms", Better::Less),
];

/// The workloads that peers have, too.
pub(super) const WORKLOADS: [Workload; 4] = [
    Workload::Trigger,
    Workload::Throughput,
    Workload::Burst,
    Workload::Footprint,
];

/// The figures of a workload; none where peers do not have it.
pub(super) fn of(workload: Workload) -> &'static [Metric] {
    match workload {
        Workload::Burst => &BURST,
        Workload::Throughput => &THROUGHPUT,
        Workload::Trigger => &TRIGGER,
        Workload::Footprint => &FOOTPRINT,
        _ => &[],
    }
}

/// Schedules or jobs of each; or few, to see that it works.
pub(super) fn size(workload: Workload, quick: bool) -> usize {
    match (workload, quick) {
        (Workload::Throughput, false) => 20_000,
        (Workload::Throughput, true) => 2_000,
        (Workload::Trigger, false) => 2_000,
        (_, false) => 1_000,
        (_, true) => 100,
    }
}
