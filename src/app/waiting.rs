//! A start whose database is away, or is one that only reads: the server listens and says so, and tries again until it is there.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    api::{self, Away, auth::Token},
    clock::SharedClock,
    door::Door,
    store::{self, Location, Store},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// What calls under way get to end, once the database is there.
const DRAIN: Duration = Duration::from_secs(2);

/// Opens the database. While PostgreSQL does not answer or cannot be written, serves a status that says so on `listener`, and tries again
/// until it does; none where `stop` came first.
///
/// # Errors
/// Where trying again would be in vain: the schema is newer, a migration fails, a SQLite file cannot be opened.
pub(super) async fn open(
    location: &Location,
    clock: &SharedClock,
    door: &Door,
    listener: &mut TcpListener,
    token: &Arc<Token>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Store>> {
    let mut waiting: Option<Waiting> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let tried = stop.run_until_cancelled(attempt(location, clock)).await;
        let why = match tried {
            None => return ended(waiting).await,
            Some(Ok(store)) => {
                if let Some(waiting) = waiting {
                    waiting.end().await;
                    info!("the database is there");
                }
                return Ok(Some(store));
            }
            Some(Err(Tried::InVain(error))) => return Err(error),
            Some(Err(Tried::Away(error))) => format!("{error:#}"),
        };
        warn!("the database is away, or cannot be used yet: {why}; trying again in {pause:?}");
        match &waiting {
            Some(waiting) => waiting.away.note(why),
            None => waiting = Some(Waiting::begin(clock, why, door, listener, token, stop).await?),
        }
        let slept = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        if slept.is_none() {
            return ended(waiting).await;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

enum Tried {
    Away(anyhow::Error),
    InVain(anyhow::Error),
}

async fn attempt(location: &Location, clock: &SharedClock) -> Result<Store, Tried> {
    let away = matches!(location, Location::Postgres(_));
    let store = match Store::connect(location, clock.clone()).await {
        Err(error) if away => return Err(Tried::Away(error)),
        store => store.map_err(Tried::InVain)?,
    };
    match store.prepare().await {
        Ok(()) => Ok(store),
        // It may have gone in the middle, be a standby, or be held by another.
        Err(error) if away && (store::may_come_right(&error) || store.ping().await.is_err()) => {
            Err(Tried::Away(error))
        }
        Err(error) => Err(Tried::InVain(error)),
    }
}

async fn ended(waiting: Option<Waiting>) -> anyhow::Result<Option<Store>> {
    if let Some(waiting) = waiting {
        waiting.end().await;
    }
    info!("stopped before the database was there");
    Ok(None)
}

/// What is served meanwhile.
struct Waiting {
    away: Away,
    end: CancellationToken,
    serving: JoinHandle<()>,
}

impl Waiting {
    async fn begin(
        clock: &SharedClock,
        why: String,
        door: &Door,
        listener: &mut TcpListener,
        token: &Arc<Token>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let away = Away::new(clock.clone(), why);
        let (front, health) = api::waiting(&away, token.clone(), stop)?;
        health.stop().await;
        let address = listener.local_addr()?;
        let shared = share(listener).context("could not listen while the database is away")?;
        info!(%address, "listening on {address} without a database: the status says since when, nothing else is served");
        let end = CancellationToken::new();
        let serving = tokio::spawn(door.clone().serve(shared, front, end.clone()));
        Ok(Self { away, end, serving })
    }

    /// Takes no more calls. Watches of the health, which never end by themselves, are cut.
    async fn end(mut self) {
        self.end.cancel();
        if tokio::time::timeout(DRAIN, &mut self.serving)
            .await
            .is_err()
        {
            self.serving.abort();
        }
    }
}

/// A second hand on the socket: what comes between the two waits in its line.
fn share(listener: &mut TcpListener) -> std::io::Result<TcpListener> {
    use std::os::fd::AsFd as _;
    let copy = listener.as_fd().try_clone_to_owned()?;
    TcpListener::from_std(copy.into())
}
