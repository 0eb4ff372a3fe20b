//! `make bench`: starts the real server as a process, drives it over gRPC, and writes down what it saw.
//!
//! Each workload is a file in `workload`; it runs on SQLite and on PostgreSQL, several times, and adds
//! its figures to a [`report::Report`]. The targets stand beside the figures, so that a figure that falls
//! short shows itself.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program that measures asks for the time, and prints"
)]

mod calls;
mod database;
mod empty;
mod figures;
mod helpers;
mod machine;
mod merge;
mod peers;
mod report;
mod server;
mod subscriber;
mod workload;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{report::Report, workload::Workload};

/// Measures Watchbell.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only these workloads, with commas between them [default: all].
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Only these databases [default: both; PostgreSQL where WATCHBELL_TEST_DATABASE names a server].
    #[arg(long, value_delimiter = ',')]
    databases: Vec<database::Kind>,
    /// Fewer and shorter repeats: to see that it works, not how quick it is.
    #[arg(long)]
    quick: bool,
    /// How often each measurement is repeated [default: the workload's own number].
    #[arg(long)]
    repeats: Option<usize>,
    /// The server [default: beside this program].
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where the figures go, as JSON; and as a table beside it, with the extension md.
    #[arg(long, value_name = "FILE", default_value = "bench/results.json")]
    out: PathBuf,
    /// What is measured [default: the commit that is checked out here].
    #[arg(long)]
    commit: Option<String>,
    /// Serve empty replies until killed: what GetStatus is compared with.
    #[arg(long, hide = true)]
    serve_empty: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Measures Watchbell beside other schedulers, in one session.
    Peers(peers::Args),
    /// Puts figures of single workloads among all others, and into BENCHMARKS.md.
    Merge(merge::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let done = runtime
        .context("could not start the runtime")
        .and_then(|runtime| runtime.block_on(until_interrupted(args)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until it is done, or told to end; then what was started is ended, too, as it is dropped.
async fn until_interrupted(args: Args) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = run(args) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to end"),
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    if args.serve_empty {
        return empty::serve().await;
    }
    match args.command {
        Some(Command::Peers(args)) => return peers::session(args).await,
        Some(Command::Merge(args)) => return merge::merge(&args),
        None => {}
    }
    let scene = workload::Scene {
        program: server::program(args.server)?,
        quick: args.quick,
        repeats: args.repeats,
    };
    let mut kinds = args.databases;
    if kinds.is_empty() {
        kinds = database::Kind::available();
    }
    let mut workloads = args.workloads;
    if workloads.is_empty() {
        workloads = Workload::ALL.to_vec();
    }
    if kinds.contains(&database::Kind::Postgresql) {
        let version = database::durable_postgresql().await?;
        eprintln!("── PostgreSQL {version}, with fsync and synchronous_commit on");
    }
    let mut report = Report::on(args.commit.or_else(machine::commit));
    for workload in workloads {
        for kind in workload.databases(&kinds) {
            eprintln!("── {workload} on {kind}, load average {}", machine::load());
            let measured = workload.measure(&scene, kind, &mut report).await;
            measured
                .and_then(|()| report.check())
                .with_context(|| format!("{workload} on {kind}"))?;
            report.print_newest();
            // What is known is kept, should a later one fail.
            report.write(&args.out)?;
        }
    }
    println!("{}", report.table());
    println!("{}", report.missed());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What only a real server can tell, of workloads that are at work on it: that each runs to its end.
    #[test]
    #[ignore = "starts real servers, for minutes: WATCHBELL_TEST_BENCH says which, as `--workloads tails --databases sqlite`"]
    fn what_is_asked_for_runs_small() {
        let asked = std::env::var("WATCHBELL_TEST_BENCH").unwrap_or_default();
        let tests = std::env::current_exe().unwrap();
        let server = tests.with_file_name("../watchbell").canonicalize().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("figures.json");
        let (server, out) = (server.display().to_string(), out.display().to_string());
        let args = [
            "watchbell-bench",
            "--quick",
            "--server",
            &server,
            "--out",
            &out,
        ];
        let args = args.into_iter().chain(asked.split_whitespace());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(Args::parse_from(args))).unwrap();
        assert!(folder.path().join("figures.md").is_file());
    }
}
