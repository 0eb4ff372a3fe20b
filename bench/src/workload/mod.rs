//! What is measured: a file for each workload.

mod auditor;
mod backups;
pub(crate) mod burst;
mod clocks;
mod content;
mod crontab;
mod documents;
mod evaluator;
mod flood;
pub(crate) mod footprint;
mod growth;
mod history;
mod leases;
mod ledger;
mod pages;
mod pruning;
mod register;
mod replicas;
mod snapshot;
mod status;
mod steady;
mod tails;
pub(crate) mod throughput;
pub(crate) mod trigger;
mod watch;

use std::{fmt, path::PathBuf};

use crate::{database::Kind, report::Report};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// Many tasks that are due in one second.
    Burst,
    /// 200 tasks every second.
    Steady,
    /// A backfill of 100 tasks by 1,000 slots.
    Throughput,
    /// Triggers, one after another.
    Trigger,
    /// One server and three on one database.
    Replicas,
    /// GetStatus beside an empty reply.
    Status,
    /// Pages of ListRuns over a million runs.
    History,
    /// Pages of ListSlots over three million rows.
    Ledger,
    /// Events to thousands of subscribers.
    Watch,
    /// A content of 1 GiB, up and down.
    Content,
    /// Backups and restores, beside restic and borg.
    Backups,
    /// Drills of 300 MiB, beside restores of the same.
    Drills,
    /// What backups and restores hold in memory for each file, up to a million of them.
    Files,
    /// Memory, processor time and start with 1,000 tasks.
    Footprint,
    /// What grows with the number of tasks, up to 100,000 of them.
    Growth,
    /// What a server with 18,000 and 30,000 tasks takes while nothing is due.
    Auditor,
    /// 600 followers of logs in which nothing happens.
    Tails,
    /// A hundred commands that write as much as they can.
    Flood,
    /// Triggers while history is pruned.
    Pruning,
    /// One server while somebody holds a snapshot of its PostgreSQL.
    Snapshot,
    /// Documents that become effective, and lists of a million.
    Documents,
    /// A register brought in, and out again.
    Register,
    /// Next fires of cron lines, without a server.
    Evaluator,
    /// A crontab of 10,000 lines, made a configuration of.
    Crontab,
}

/// What all workloads share.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) program: PathBuf,
    pub(crate) quick: bool,
    pub(crate) repeats: Option<usize>,
}

impl Scene {
    /// How often to repeat what is usually repeated so often.
    fn repeats(&self, usual: usize) -> usize {
        let usual = if self.quick { 1 } else { usual };
        self.repeats.unwrap_or(usual)
    }

    /// A size, or a smaller one where only a quick look is wanted.
    fn size(&self, usual: usize, quick: usize) -> usize {
        if self.quick { quick } else { usual }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Burst => "burst",
            Self::Steady => "steady",
            Self::Throughput => "throughput",
            Self::Trigger => "trigger",
            Self::Replicas => "replicas",
            Self::Status => "status",
            Self::History => "history",
            Self::Ledger => "ledger",
            Self::Watch => "watch",
            Self::Content => "content",
            Self::Backups => "backups",
            Self::Drills => "drills",
            Self::Files => "files",
            Self::Footprint => "footprint",
            Self::Growth => "growth",
            Self::Auditor => "auditor",
            Self::Tails => "tails",
            Self::Flood => "flood",
            Self::Pruning => "pruning",
            Self::Snapshot => "snapshot",
            Self::Documents => "documents",
            Self::Register => "register",
            Self::Evaluator => "evaluator",
            Self::Crontab => "crontab",
        })
    }
}

impl Workload {
    pub(crate) const ALL: [Self; 24] = [
        Self::Evaluator,
        Self::Crontab,
        Self::Footprint,
        Self::Trigger,
        Self::Burst,
        Self::Throughput,
        Self::Replicas,
        Self::Status,
        Self::Watch,
        Self::History,
        Self::Ledger,
        Self::Documents,
        Self::Register,
        Self::Content,
        Self::Backups,
        Self::Drills,
        Self::Files,
        Self::Growth,
        Self::Auditor,
        Self::Tails,
        Self::Flood,
        Self::Pruning,
        Self::Snapshot,
        Self::Steady,
    ];

    /// On which of these databases it says something.
    pub(crate) fn databases(self, kinds: &[Kind]) -> Vec<Kind> {
        let kinds = kinds.iter().copied();
        match self {
            // The evaluator knows none, and contents lie beside them: once is enough.
            Self::Evaluator | Self::Crontab | Self::Content | Self::Files => {
                kinds.take(1).collect()
            }
            // SQLite has one server, and snapshots that hold nothing up but its log.
            Self::Replicas | Self::Snapshot => {
                kinds.filter(|kind| *kind == Kind::Postgresql).collect()
            }
            _ => kinds.collect(),
        }
    }

    pub(crate) async fn measure(
        self,
        scene: &Scene,
        kind: Kind,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        match self {
            Self::Burst => burst::measure(scene, kind, report).await,
            Self::Steady => steady::measure(scene, kind, report).await,
            Self::Throughput => throughput::measure(scene, kind, report).await,
            Self::Trigger => trigger::measure(scene, kind, report).await,
            Self::Replicas => replicas::measure(scene, kind, report).await,
            Self::Status => status::measure(scene, kind, report).await,
            Self::History => history::measure(scene, kind, report).await,
            Self::Ledger => ledger::measure(scene, kind, report).await,
            Self::Watch => watch::measure(scene, kind, report).await,
            Self::Content => content::measure(scene, kind, report).await,
            Self::Backups => backups::measure(scene, kind, report).await,
            Self::Drills => backups::drills(scene, kind, report).await,
            Self::Files => backups::memory::measure(scene, report).await,
            Self::Footprint => footprint::measure(scene, kind, report).await,
            Self::Growth => growth::measure(scene, kind, report).await,
            Self::Auditor => auditor::measure(scene, kind, report).await,
            Self::Tails => tails::measure(scene, kind, report).await,
            Self::Flood => flood::measure(scene, kind, report).await,
            Self::Pruning => pruning::measure(scene, kind, report).await,
            Self::Snapshot => snapshot::measure(scene, kind, report).await,
            Self::Documents => documents::measure(scene, kind, report).await,
            Self::Register => register::measure(scene, kind, report).await,
            Self::Evaluator => evaluator::measure(scene, report),
            Self::Crontab => crontab::measure(scene, report),
        }
    }
}

/// A configuration of tasks that do nothing: `{name}-0000` and so on, each with these fields.
fn noop_tasks(name: &str, count: usize, fields: &str) -> String {
    let mut toml = String::from("bench_kinds = true\n");
    toml.push_str("[log]\nfilter = \"warn,watchbell::engine::scheduler=debug\"\n");
    for number in 0..count {
        toml.push_str(&format!(
            "[tasks.{name}-{number:05}]\nkind = \"bench-noop\"\n{fields}\n"
        ));
    }
    toml
}
