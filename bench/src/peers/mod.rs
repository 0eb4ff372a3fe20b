//! `make bench-peers`: Watchbell beside other schedulers, in one session on one machine.
//!
//! In each repeat, each workload is measured once on Watchbell and once on each peer, one after another,
//! so that all see the same machine in the same state. `bench/peers` installs the peers and measures
//! one of them once; here is what alternates, and what puts it together.

mod call;
mod metrics;
mod ours;
mod sheet;
mod table;

use std::{fmt, path::PathBuf};

use anyhow::bail;

use self::{metrics::Figures, sheet::Sheet};
use crate::{
    database::{self, Kind},
    machine, server,
    workload::{Scene, Workload},
};

/// All peers, as `bench/peers` calls them.
const PEERS: [&str; 7] = [
    "celery",
    "apscheduler",
    "graphile-worker",
    "graphile-worker-batched",
    "pg-boss",
    "pg-boss-batched",
    "apalis",
];

/// Measures Watchbell beside its peers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these peers, with commas between them [default: all].
    #[arg(long, value_delimiter = ',', value_parser = PEERS)]
    peers: Vec<String>,
    /// Only these of burst, throughput, trigger and footprint [default: all].
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Once, and with few schedules and jobs: to see that it works, not how quick it is.
    #[arg(long)]
    quick: bool,
    /// The server [default: beside this program].
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where the peers' programs are.
    #[arg(long, value_name = "FOLDER", default_value = "bench/peers")]
    folder: PathBuf,
    /// Where the figures go, as JSON; and as tables beside it, with the extension md.
    #[arg(long, value_name = "FILE", default_value = "bench/peers.json")]
    out: PathBuf,
}

/// Who is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Watchbell(Kind, Policy),
    Peer(String),
}

/// What Watchbell's tasks do with a run that is due while the one before it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Allow,
    Skip,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, policy) = match self {
            Self::Peer(peer) => return f.write_str(peer),
            Self::Watchbell(kind, policy) => (kind, policy),
        };
        let database = match kind {
            Kind::Sqlite => "SQLite",
            Kind::Postgresql => "PostgreSQL",
        };
        write!(f, "Watchbell, {database}")?;
        match policy {
            Policy::Allow => Ok(()),
            Policy::Skip => f.write_str(", overlap skip"),
        }
    }
}

/// What all others are compared with.
const BASE: Subject = Subject::Watchbell(Kind::Postgresql, Policy::Allow);

/// Who is measured in a workload, in this order.
fn subjects(workload: Workload, peers: &[String]) -> Vec<Subject> {
    let mut subjects = vec![BASE, Subject::Watchbell(Kind::Sqlite, Policy::Allow)];
    if workload == Workload::Throughput {
        let skips = [Kind::Postgresql, Kind::Sqlite];
        subjects.extend(skips.map(|kind| Subject::Watchbell(kind, Policy::Skip)));
    }
    subjects.extend(peers.iter().cloned().map(Subject::Peer));
    subjects
}

/// Measures, and writes down after each measurement what is known by then.
///
/// # Errors
/// Where nothing can be measured at all. A measurement that fails is a line of the result.
pub(crate) async fn session(mut args: Args) -> anyhow::Result<()> {
    if args.peers.is_empty() {
        args.peers = PEERS.map(str::to_owned).to_vec();
    }
    if args.workloads.is_empty() {
        args.workloads = metrics::WORKLOADS.to_vec();
    }
    if let Some(workload) = args
        .workloads
        .iter()
        .find(|of| metrics::of(**of).is_empty())
    {
        bail!(
            "the peers have no {workload}: choose among burst, throughput, trigger and footprint"
        );
    }
    let repeats = if args.quick { 1 } else { args.repeats };
    let scene = Scene {
        program: server::program(args.server.clone())?,
        quick: args.quick,
        repeats: Some(1),
    };
    let postgresql = database::durable_postgresql().await?;
    let versions = call::install(&args.folder, &args.peers).await?;
    let mut sheet = Sheet::new(postgresql, versions);
    for repeat in 1..=repeats {
        for workload in &args.workloads {
            for subject in subjects(*workload, &args.peers) {
                let load = machine::load_now();
                eprintln!("── {repeat}/{repeats} {workload}: {subject}, load average {load}");
                let size = metrics::size(*workload, args.quick);
                let measured = measure(&scene, &args, *workload, &subject, size).await;
                let measured = measured.map_err(|error| format!("{error:#}"));
                eprintln!("   {}", said(&measured));
                sheet.add(*workload, &subject, size, load, measured);
                sheet.write(&args.out)?;
            }
        }
    }
    println!("{}", sheet.page());
    Ok(())
}

async fn measure(
    scene: &Scene,
    args: &Args,
    workload: Workload,
    subject: &Subject,
    size: usize,
) -> anyhow::Result<Figures> {
    match subject {
        Subject::Watchbell(kind, policy) => {
            let policy = match policy {
                Policy::Allow => "allow",
                Policy::Skip => "skip",
            };
            ours::measure(scene, workload, (*kind, policy), size).await
        }
        Subject::Peer(peer) => call::measure(&args.folder, peer, workload, size).await,
    }
}

/// A line for whoever watches.
fn said(measured: &Result<Figures, String>) -> String {
    match measured {
        Ok(figures) => format!("{:?} {}", figures.values, figures.note),
        Err(error) => format!("FAILED: {error}"),
    }
}
