//! Following the log: all that is there, then all that comes.
//!
//! From the table while the follower is older than the ring of recent events, from the ring
//! afterwards, waiting where there is nothing: replay, catch-up, slow reader and live tail are one
//! path, and nobody misses anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_stream::try_stream;
use futures_util::Stream;

use crate::{
    domain::Event,
    error::{Error, Result},
    store::Store,
};

const PAGE: usize = 256;
/// How far a replica may be behind another, whose token comes here.
const BEHIND_AT_MOST: Duration = Duration::from_secs(5);
/// How long who follows waits at a start for the log's end to be found, which takes some milliseconds.
const BEGINS_WITHIN: Duration = Duration::from_millis(100);

/// How far a follower has come: it has been given whatever the log has up to there.
#[derive(Clone, Debug)]
pub struct Reached(Arc<AtomicI64>);

impl Default for Reached {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

impl Reached {
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Every event after `sequence`, in order and without end.
///
/// # Errors
/// [`Error::OutOfRange`] where the log no longer, or not yet, reaches to `sequence`; the stream ends.
pub fn follow(store: Store, sequence: i64) -> impl Stream<Item = Result<Arc<Event>>> + Send {
    follow_noting(store, sequence, Reached::default())
}

/// The same, which notes how far it is.
///
/// # Errors
/// As [`follow`].
pub fn follow_noting(
    store: Store,
    mut sequence: i64,
    reached: Reached,
) -> impl Stream<Item = Result<Arc<Event>>> + Send {
    try_stream! {
        let _attending = store.tail().attend();
        let mut grown = store.tail().grown();
        reach(&store, sequence).await?;
        loop {
            let last = *grown.borrow_and_update();
            let page = match store.tail().after(sequence, PAGE) {
                Some(page) => page,
                None => {
                    let page = store.events_between(sequence, last, PAGE as u64).await?;
                    // Looked at after the page: what is pruned by then may be missing in it.
                    let pruned = store.events_pruned_upto().await?;
                    if sequence < pruned {
                        Err(out_of_range(sequence, pruned))?;
                    }
                    if page.is_empty() {
                        // Numbers that were never used: nothing is there, nor will be.
                        sequence = last;
                    }
                    page.into_iter().map(Arc::new).collect()
                }
            };
            if page.is_empty() {
                reached.0.store(last, Ordering::Relaxed);
                if grown.changed().await.is_err() {
                    return;
                }
            }
            for event in page {
                sequence = event.sequence;
                yield event;
            }
        }
    }
}

/// Where the log ends now, for who will follow it from there.
///
/// # Errors
/// [`Error::Unavailable`] where this process does not know it yet.
pub async fn end(store: &Store) -> Result<i64> {
    let begins = tokio::time::timeout(BEGINS_WITHIN, store.tail().begins());
    if begins.await.is_err() {
        return Err(Error::unavailable(
            "log",
            "this server has just started, and does not know yet where the log ends; ask again, or ask another",
        ));
    }
    Ok(store.tail().last())
}

/// Waits until this process has heard of `sequence`: a token may come from a replica that is ahead.
///
/// # Errors
/// [`Error::OutOfRange`] where the log does not reach that far; [`Error::Unavailable`] where it does, and
/// this process does not hear of it.
pub async fn reach(store: &Store, sequence: i64) -> Result<()> {
    let mut grown = store.tail().grown();
    if sequence <= *grown.borrow() {
        return Ok(());
    }
    let heard = grown.wait_for(|last| sequence <= *last);
    if store.events_highest().await? < sequence {
        return Err(out_of_range(sequence, store.events_pruned_upto().await?));
    }
    match tokio::time::timeout(BEHIND_AT_MOST, heard).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::unavailable(
            "log",
            "this replica is behind another; ask again, or ask that one",
        )),
    }
}

fn out_of_range(sequence: i64, oldest: i64) -> Error {
    Error::OutOfRange {
        message: format!(
            "the log does not reach to {sequence}: its oldest position is {oldest}; begin again \
             without a resume token"
        ),
        oldest: oldest.to_string(),
    }
}
