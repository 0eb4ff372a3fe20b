//! The worker, and the schedules that feed it.

use std::str::FromStr;
use std::sync::Once;
use std::time::Duration;

use apalis::prelude::*;
use apalis_cron::{CronScheduler, Error};
use apalis_postgres::PgPool;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Name, names, record, storage, variable};

/// How often to look for jobs that no notification has told of. Its README's example has 5 s, but in
/// 1.0.0 a notification that comes during a fetch is forgotten, and the job waits for the next look.
const POLL: Duration = Duration::from_millis(100);
const MOST_AT_ONCE: usize = 1000;

pub async fn run(pool: &PgPool) -> anyhow::Result<()> {
    record::open()?;
    // A notification for each job, and a poll beside: "Pubsub listener example" of apalis-postgres.
    let storage = storage(pool)
        .with_pubsub()
        .poll_with_strategy(Strategy::new().interval(POLL));
    // Beside the worker, as a pipe of apalis would be inside it.
    tokio::spawn(feed(pool.clone(), schedules()?));
    let ready = Once::new();
    WorkerBuilder::new("peer")
        .backend(storage)
        .parallelize(tokio::spawn)
        .on_event(move |_, event| match event {
            // The first sign of life comes when the worker has registered itself.
            Event::HeartBeat => ready.call_once(|| println!("ready")),
            Event::Error(error) => eprintln!("apalis: {error}"),
            _ => {}
        })
        .build(enter)
        .run_until(terminated())
        .await?;
    Ok(())
}

async fn enter(name: Name) -> Result<(), BoxDynError> {
    record::write(&name)?;
    Ok(())
}

/// Pushes the ticks into the storage, those that are due together as one insert.
///
/// That is what apalis's own `pipe_to` does. But it pipes a backend, of one schedule, or a plain stream,
/// to whose tasks it gives ids that the PostgreSQL storage then refuses to read.
async fn feed(pool: PgPool, schedules: BoxStream<'static, Result<Name, Error>>) {
    let mut storage = storage(&pool);
    let mut due = schedules.try_ready_chunks(MOST_AT_ONCE);
    loop {
        let pushed = match due.try_next().await {
            Ok(Some(names)) => storage
                .push_bulk(names)
                .await
                .map_err(|error| error.to_string()),
            Ok(None) => return,
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = pushed {
            eprintln!("apalis: {error}");
        }
    }
}

/// All schedules in one stream. A worker for each, as in apalis-cron's examples, would be a thousand
/// workers, each with its own queue and its own polling; one stream into one storage is cheaper.
fn schedules() -> anyhow::Result<BoxStream<'static, Result<Name, Error>>> {
    let n = variable("PEER_SCHEDULES").map_or(Ok(0), |n| n.parse())?;
    if n == 0 {
        return Ok(stream::pending().boxed());
    }
    let due: u64 = variable("PEER_DUE")?.parse()?;
    let of_day = due % 86_400;
    let line = format!(
        "{} {} {} * * *",
        of_day % 60,
        of_day / 60 % 60,
        of_day / 3600
    );
    let streams = names(n)
        .map(|name| {
            let schedule = cron::Schedule::from_str(&line)?;
            Ok(CronScheduler::new(schedule)
                .into_stream()
                .map_ok(move |_| name.clone())
                .boxed())
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(stream::select_all(streams).boxed())
}

async fn terminated() -> std::io::Result<()> {
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}
