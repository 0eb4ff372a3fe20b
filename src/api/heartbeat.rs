//! What a heartbeat of a watch says: that the server lives, and how far what it told is all that has happened.

use jiff::Timestamp;
use tokio::sync::watch;

use super::convert::time;
use crate::{clock::SharedClock, journal::Reached, pb, store::Store};

/// The heartbeats of one watch.
pub(super) struct Beats {
    store: Store,
    clock: SharedClock,
    reached: Reached,
    stalled: watch::Receiver<Option<Timestamp>>,
    as_of: Option<Timestamp>,
}

impl Beats {
    pub(super) fn new(store: Store, clock: SharedClock) -> Self {
        let mut stalled = store.tail().stalled();
        // Who begins while it stalls hears of it at once.
        if stalled.borrow().is_some() {
            stalled.mark_changed();
        }
        Self {
            store,
            clock,
            reached: Reached::default(),
            stalled,
            as_of: None,
        }
    }

    /// What the watch notes in how far it has come.
    pub(super) fn reached(&self) -> Reached {
        self.reached.clone()
    }

    /// Waits until the log stalls, or goes on.
    pub(super) async fn changed(&mut self) {
        if self.stalled.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn beat(&mut self) -> pb::Heartbeat {
        let complete = self.store.tail().complete();
        // What this watch has still to tell is not told.
        let complete = complete.filter(|complete| complete.upto <= self.reached.get());
        self.as_of = complete.map(|complete| complete.at).or(self.as_of);
        pb::Heartbeat {
            time: Some(time::stamp(self.clock.now())),
            as_of: self.as_of.map(time::stamp),
            stalled_since: self.stalled.borrow_and_update().map(time::stamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt as _;
    use jiff::SignedDuration;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        clock::ManualClock,
        domain::{EventKind, NewEvent},
        journal,
        store::plan::empty_store,
    };

    #[tokio::test]
    async fn nothing_is_called_complete_that_the_watch_has_still_to_tell() {
        let (_folder, store) = empty_store().await;
        let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let stop = CancellationToken::new();
        let tail = tokio::spawn(store.clone().run_tail(stop.clone()));
        let from = journal::end(&store).await.unwrap();
        let mut beats = Beats::new(store.clone(), clock.clone());
        let reached = beats.reached();
        let mut events = Box::pin(journal::follow_noting(store.clone(), from, reached));
        let mut tx = store.begin().await.unwrap();
        for _ in 0..2 {
            let thing = NewEvent::new(EventKind::RunQueued, None, "thing".to_owned(), &());
            tx.tell(thing);
        }
        tx.commit().await.unwrap();
        clock.advance(SignedDuration::from_secs(5));

        events.next().await.unwrap().unwrap();
        assert_eq!(beats.beat().as_of, None, "one is not told yet");
        events.next().await.unwrap().unwrap();
        let rest = tokio::time::timeout(std::time::Duration::from_millis(1), events.next());
        assert!(rest.await.is_err(), "that was all");
        let beat = beats.beat();
        assert!(beat.as_of.is_some());
        assert_eq!(beat.stalled_since, None);

        store.tail().tell_stalled(Some(Timestamp::UNIX_EPOCH));
        beats.changed().await;
        let beat = beats.beat();
        assert_eq!(beat.stalled_since, Some(time::stamp(Timestamp::UNIX_EPOCH)));
        stop.cancel();
        tail.await.unwrap();
    }
}
