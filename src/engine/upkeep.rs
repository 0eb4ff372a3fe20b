//! Keeping SQLite's files in proportion to what they hold, in steps that hold nobody up.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    clock::Stopwatch,
    error::Result,
    store::{Room, Store},
};

/// What is free is kept for what comes, up to so many bytes or a quarter of what is in use.
const KEPT_FREE: i64 = 8 << 20;
/// A log that is longer has not begun anew by itself for a while: it does so at some 16 MiB.
const LOG_BYTES: u64 = 32 << 20;
/// Pages that a step gives back, by how long the one before took.
const STEP_MIN: u32 = 16;
const STEP_MAX: u32 = 4096;
const STEP_SHORT: Duration = Duration::from_millis(10);
const STEP_LONG: Duration = Duration::from_millis(25);
/// After a step, for each time that it took: so that writes hardly notice.
const REST: u32 = 4;

/// Looks at the files on each ring of a round, until `stop`.
pub async fn keep_up(store: Store, stop: CancellationToken, mut bell: watch::Receiver<()>) {
    let mut step = STEP_MIN;
    while stop
        .run_until_cancelled(bell.changed())
        .await
        .is_some_and(|rung| rung.is_ok())
    {
        match look(&store, &stop, &mut step).await {
            Ok(0) => {}
            Ok(bytes) => debug!(bytes, "gave room back that history left in the database"),
            Err(error) => warn!(%error, "could not give room back; trying again"),
        }
    }
}

/// Lets the log begin anew where it is long, and gives back what is free beyond what is kept; says how many bytes that were.
async fn look(store: &Store, stop: &CancellationToken, step: &mut u32) -> Result<i64> {
    let Some(room) = store.room().await? else {
        return Ok(0);
    };
    if LOG_BYTES < room.log_bytes && !store.restart_log().await? {
        debug!(
            bytes = room.log_bytes,
            "the database's log is still read from"
        );
    }
    let mut given = 0;
    let mut left = excess(&room);
    while 0 < left && !stop.is_cancelled() {
        let pages = u32::try_from(left).map_or(*step, |left| left.min(*step));
        let watch = Stopwatch::start();
        store.give_back(pages).await?;
        let took = watch.elapsed();
        left -= i64::from(pages);
        given += i64::from(pages) * room.page_bytes;
        if took < STEP_SHORT {
            *step = (*step * 2).min(STEP_MAX);
        } else if STEP_LONG < took {
            *step = (*step / 2).max(STEP_MIN);
        }
        stop.run_until_cancelled(tokio::time::sleep(took * REST))
            .await;
    }
    Ok(given)
}

/// Pages that are given back.
fn excess(room: &Room) -> i64 {
    if !room.gives_back || room.page_bytes <= 0 {
        return 0;
    }
    let used = room.pages - room.free;
    (room.free - (used / 4).max(KEPT_FREE / room.page_bytes)).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_given_back_but_for_what_new_rows_soon_take() {
        let of = |pages: i64, free: i64| Room {
            page_bytes: 4096,
            pages,
            free,
            gives_back: true,
            log_bytes: 0,
        };
        assert_eq!(excess(&of(10_000, 2000)), 0);
        assert_eq!(excess(&of(625_000, 624_500)), 624_500 - 2048);
        assert_eq!(excess(&of(625_000, 225_000)), 125_000);
        let before = Room {
            gives_back: false,
            ..of(625_000, 624_500)
        };
        assert_eq!(excess(&before), 0);
    }
}
