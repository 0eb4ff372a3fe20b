//! Enqueues jobs from another process than the worker's.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use apalis::prelude::TaskSink;
use apalis_postgres::PgPool;

use crate::record::{LINE_BYTES, now_ns};
use crate::{names, storage, variable};

const CHUNK: usize = 1000;
const POLL: Duration = Duration::from_millis(5);
const TRIGGER_FOR: Duration = Duration::from_secs(60);

pub async fn enqueue(pool: &PgPool, n: usize) -> anyhow::Result<()> {
    let mut storage = storage(pool);
    let names: Vec<_> = names(n).collect();
    for (index, chunk) in names.chunks(CHUNK).enumerate() {
        storage.push_bulk(chunk.to_vec()).await?;
        if index == 0 {
            println!("committed {}", now_ns());
        }
    }
    wait_until_entered(n).await?;
    let unfinished = "SELECT EXISTS (SELECT FROM apalis.jobs WHERE status <> 'Done')";
    while sqlx::query_scalar(unfinished).fetch_one(pool).await? {
        tokio::time::sleep(POLL).await;
    }
    println!("completed {}", now_ns());
    Ok(())
}

/// Waits until n handlers were entered, without asking the store.
async fn wait_until_entered(n: usize) -> anyhow::Result<()> {
    let path = variable("PEER_RECORD")?;
    let path = Path::new(&path);
    while !path.exists() || path.metadata()?.len() < n as u64 * LINE_BYTES {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

pub async fn trigger(pool: &PgPool, n: usize) -> anyhow::Result<()> {
    let mut storage = storage(pool);
    let mut pipe = BufReader::new(File::open(variable("PEER_RECORD")?)?);
    let mut latencies = Vec::with_capacity(n);
    let began = Instant::now();
    for name in names(n) {
        let started_ns = now_ns();
        storage.push(name.clone()).await?;
        // Blocks this thread, on which nothing else has to run.
        let mut line = String::new();
        pipe.read_line(&mut line)?;
        let (entered, at_ns) = line.trim_end().split_once(' ').context("half a line")?;
        ensure!(entered == name, "{entered} was entered, not {name}");
        latencies.push((at_ns.parse::<i128>()? - started_ns) as f64 / 1e6);
        if began.elapsed() > TRIGGER_FOR {
            break;
        }
    }
    println!("latencies {}", serde_json::to_string(&latencies)?);
    Ok(())
}
