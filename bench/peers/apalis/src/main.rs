//! apalis with its PostgreSQL storage, and apalis-cron's schedules piped into it:
//! `apalis-peer prepare|worker`, or `apalis-peer enqueue|trigger N`.

#![expect(
    clippy::disallowed_methods,
    reason = "what Watchbell bans for its own sake: this program is none of it"
)]

mod client;
mod record;
mod worker;

use anyhow::{Context, bail};
use apalis_postgres::{Config, PgPool, PostgresStorage};

/// The name of a job, in eight digits.
type Name = String;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let pool = PgPool::connect(&variable("PEER_POSTGRES")?).await?;
    match arguments.as_slice() {
        ["prepare"] => PostgresStorage::setup(&pool).await?,
        ["worker"] => worker::run(&pool).await?,
        ["enqueue", n] => client::enqueue(&pool, n.parse()?).await?,
        ["trigger", n] => client::trigger(&pool, n.parse()?).await?,
        _ => bail!("usage: apalis-peer prepare|worker|enqueue N|trigger N"),
    }
    Ok(())
}

fn storage(pool: &PgPool) -> PostgresStorage<Name> {
    // Without the second mark on each job, and with batches of 100, as in apalis-postgres's own
    // examples/basic.rs. A fetch locks what it fetches all the same, and results are kept.
    let config = Config::default()
        .queue("peer")
        .batch_size(100)
        .lock_tasks(false);
    PostgresStorage::new(pool).with_config(config)
}

fn names(n: usize) -> impl Iterator<Item = Name> {
    (0..n).map(|number| format!("{number:08}"))
}

/// A variable that `measure/workloads.py` sets.
fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}
