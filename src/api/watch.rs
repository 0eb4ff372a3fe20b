//! What all watches have in common: a snapshot, then every change, resumable on any replica.

use std::{sync::Arc, time::Duration};

use async_stream::try_stream;
use futures_util::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Api, Feed,
    convert::time,
    heartbeat::Beats,
    shared::Shared,
    watch_token::{Place, Tokens},
};
use crate::{
    clock::{SharedClock, Stopwatch},
    domain::Event,
    error::{Error, Result},
    journal, pb,
    store::Store,
};

pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Things that a snapshot shows at most.
pub(super) const SNAPSHOT_MAX: u64 = 10_000;

/// A message of a watch, of each kind there is.
pub(super) trait Envelope: prost::Message + Default + 'static {
    /// What a snapshot shows.
    type Item: Send + 'static;

    fn snapshot(item: Self::Item) -> Self;
    fn snapshot_end(count: i64) -> Self;
    fn heartbeat(time: pb::Heartbeat) -> Self;
    fn end(end: pb::StreamEnd) -> Self;
    /// With where to resume after it.
    fn at(self, resume_token: String) -> Self;
}

/// An event that is told: its message but for the token, encoded once for all who watch.
pub(super) struct News {
    pub(super) message: Arc<[u8]>,
    /// Nothing that is watched will happen any more.
    pub(super) is_last: bool,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With a snapshot, and what came after this event.
    Snapshot(i64),
    /// With what came after this event.
    After(i64),
}

/// A watch about to begin.
pub(super) struct Course {
    store: Store,
    clock: SharedClock,
    stop: CancellationToken,
    tokens: Tokens,
    from: i64,
    deadline: Duration,
}

impl Api {
    /// Where a watch begins: noted before its snapshot is read, so that what happens meanwhile is told after it.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where the log no longer reaches back to the token; [`Error::Unavailable`] where it is not
    /// known yet where it ends.
    pub(super) async fn watch_start(
        &self,
        tokens: &Tokens,
        resume_token: &str,
        skip_snapshot: bool,
    ) -> Result<Start> {
        let place = tokens.read(resume_token)?;
        let store = self.engine.store();
        let from = journal::end(store).await?;
        let sequence = match place {
            Some(Place::After(sequence)) => sequence,
            None if skip_snapshot => return Ok(Start::After(from)),
            None | Some(Place::Snapshot) => return Ok(Start::Snapshot(from)),
        };
        let reached = journal::reach(store, sequence).await;
        let pruned = store.events_pruned_upto().await?;
        let beyond = matches!(reached, Err(Error::OutOfRange { .. }));
        if sequence < pruned || beyond {
            return Err(Error::OutOfRange {
                message: format!(
                    "the log reaches from {pruned} to {}; begin without a resume token",
                    store.tail().last()
                ),
                oldest: tokens.make(Place::After(pruned)),
            });
        }
        reached?;
        Ok(Start::After(sequence))
    }

    pub(super) fn watch_course(&self, tokens: Tokens, from: i64, deadline: Duration) -> Course {
        Course {
            store: self.engine.store().clone(),
            clock: self.engine.clock().clone(),
            stop: self.stop.clone(),
            tokens,
            from,
            deadline,
        }
    }
}

/// The snapshot, where there is one, then what `news` makes of the events. `over_at`: where the log has told the last that
/// there will be; the watch ends there.
pub(super) fn feed<M: Envelope>(
    course: Course,
    snapshot: Option<impl Stream<Item = Result<Vec<M::Item>>> + Send + 'static>,
    over_at: Option<i64>,
    news: impl Fn(&Event) -> Option<News> + Send + 'static,
) -> Feed<Shared<M>> {
    let Course {
        store,
        clock,
        stop,
        tokens,
        from,
        deadline,
    } = course;
    let own =
        |message: M, place: Place, tokens: &Tokens| Shared::own(message.at(tokens.make(place)));
    let end = |reason: &str| M::end(stream_end(reason));
    let is_over = move |at: i64| over_at.is_some_and(|over_at| over_at <= at);
    Box::pin(try_stream! {
        // Runs beside every wait, also those of a snapshot: one of all there is may take long.
        let mut over = std::pin::pin!(tokio::time::sleep(deadline));
        if let Some(pages) = snapshot {
            let mut pages = std::pin::pin!(pages);
            let mut count = 0;
            loop {
                let page = tokio::select! {
                    page = pages.next() => page,
                    () = &mut over => {
                        yield own(end("DEADLINE"), Place::Snapshot, &tokens);
                        return;
                    }
                    () = stop.cancelled() => {
                        yield own(end("DRAINING"), Place::Snapshot, &tokens);
                        return;
                    }
                };
                let Some(page) = page else { break };
                for item in page.map_err(Status::from)? {
                    count += 1;
                    yield own(M::snapshot(item), Place::Snapshot, &tokens);
                }
            }
            yield own(M::snapshot_end(count), Place::After(from), &tokens);
        }
        if is_over(from) {
            yield own(end("RUN_ENDED"), Place::After(from), &tokens);
            return;
        }
        let mut at = from;
        let mut beats = Beats::new(store.clone(), clock);
        let mut events = std::pin::pin!(journal::follow_noting(store, from, beats.reached()));
        let mut quiet = std::pin::pin!(tokio::time::sleep(HEARTBEAT));
        let mut spoke = Stopwatch::start();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut quiet => {
                    let rest = HEARTBEAT.saturating_sub(spoke.elapsed());
                    if !rest.is_zero() {
                        quiet.set(tokio::time::sleep(rest));
                        continue;
                    }
                    spoke = Stopwatch::start();
                    quiet.set(tokio::time::sleep(HEARTBEAT));
                    yield own(M::heartbeat(beats.beat()), Place::After(at), &tokens);
                    continue;
                }
                () = beats.changed() => {
                    spoke = Stopwatch::start();
                    yield own(M::heartbeat(beats.beat()), Place::After(at), &tokens);
                    continue;
                }
                () = &mut over => {
                    yield own(end("DEADLINE"), Place::After(at), &tokens);
                    return;
                }
                () = stop.cancelled() => {
                    yield own(end("DRAINING"), Place::After(at), &tokens);
                    return;
                }
            };
            let Some(event) = event else { return };
            let event = event.map_err(|error| Status::from(with_token(error, &tokens)))?;
            at = event.sequence;
            let mut ends = is_over(at);
            if let Some(News { message, is_last }) = news(&event) {
                spoke = Stopwatch::start();
                ends |= is_last;
                yield Shared::new(message, M::default().at(tokens.make(Place::After(at))));
            }
            if ends {
                yield own(end("RUN_ENDED"), Place::After(at), &tokens);
                return;
            }
        }
    })
}

/// The same error, with the oldest position as a token of this watch.
fn with_token(error: Error, tokens: &Tokens) -> Error {
    match error {
        Error::OutOfRange { message, oldest } => Error::OutOfRange {
            oldest: oldest
                .parse()
                .map_or(oldest, |number| tokens.make(Place::After(number))),
            message,
        },
        other => other,
    }
}

/// That a snapshot would be too large.
pub(super) fn too_many(what: &str, advice: &str) -> Error {
    Error::Exhausted(format!("more than {SNAPSHOT_MAX} {what}; {advice}"))
}

pub(super) fn stream_end(reason: &str) -> pb::StreamEnd {
    pb::StreamEnd {
        reason: reason.to_owned(),
        retry_after: Some(time::span(Duration::from_secs(1))),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use jiff::Timestamp;

    use super::*;
    use crate::{
        clock::ManualClock,
        pb::{WatchDocumentsResponse, watch_documents_response::Message},
        store::plan::empty_store,
    };

    /// How a watch ends whose snapshot has begun and goes on for ever, and whether its token begins it again.
    async fn ends(deadline: Duration, stop: CancellationToken) -> (String, bool) {
        let (_folder, store) = empty_store().await;
        let course = Course {
            store,
            clock: Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH)),
            stop,
            tokens: Tokens::new("cluster", "epoch", &["WatchDocuments"]),
            from: 0,
            deadline,
        };
        let tokens = course.tokens.clone();
        let pages = stream::iter([Ok(Vec::new())]).chain(stream::pending());
        let mut feed = feed::<WatchDocumentsResponse>(course, Some(pages), None, |_| None);
        let last = feed.next().await.unwrap().unwrap();
        assert!(feed.next().await.is_none(), "nothing comes after its end");
        let bytes = prost::Message::encode_to_vec(&last);
        let last: WatchDocumentsResponse = prost::Message::decode(bytes.as_slice()).unwrap();
        let Some(Message::End(end)) = last.message else {
            panic!("expected an end, got {last:?}");
        };
        (
            end.reason,
            tokens.read(&last.resume_token).unwrap() == Some(Place::Snapshot),
        )
    }

    #[tokio::test]
    async fn a_snapshot_that_takes_long_ends_with_a_word_when_its_time_is_over() {
        let ended = ends(Duration::from_millis(20), CancellationToken::new()).await;
        assert_eq!(ended, ("DEADLINE".to_owned(), true));
    }

    #[tokio::test]
    async fn a_snapshot_that_takes_long_ends_with_a_word_when_the_server_stops() {
        let stop = CancellationToken::new();
        stop.cancel();
        let ended = ends(Duration::from_secs(3600), stop).await;
        assert_eq!(ended, ("DRAINING".to_owned(), true));
    }
}
