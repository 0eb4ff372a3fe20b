//! `WatchRuns`: a snapshot, then every change, resumable on any replica.

use std::time::Duration;

use async_stream::try_stream;
use futures_util::StreamExt as _;
use prost::Message as _;
use tonic::Status;

use super::{
    Api, Feed, convert,
    convert::time,
    names,
    shared::Shared,
    watch_token::{Place, Tokens},
};
use crate::{
    clock::Stopwatch,
    domain::{Event, Run, RunId, TaskId},
    error::{Error, Result},
    journal, pb,
    pb::watch_runs_response::Message,
};

pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
const SNAPSHOT_MAX: u64 = 10_000;

/// What a watch sends.
pub(super) type Told = Shared<pb::WatchRunsResponse>;

/// Which runs a watch shows.
#[derive(Clone, Debug, Default)]
struct Filter {
    task: Option<TaskId>,
    run: Option<RunId>,
}

impl Filter {
    fn wants(&self, run: &Run) -> bool {
        self.task.is_none_or(|task| task == run.task_id) && self.run.is_none_or(|id| id == run.id)
    }
}

impl Api {
    pub(super) async fn watch_runs_feed(
        &self,
        request: pb::WatchRunsRequest,
        deadline: Duration,
    ) -> Result<Feed<Told>> {
        let mut filter = Filter::default();
        if !request.task.is_empty() {
            let name = names::task("task", &request.task)?;
            filter.task = Some(self.engine.store().task(&name).await?.id);
        }
        if !request.run.is_empty() {
            let name = names::run("run", &request.run)?;
            filter.run = Some(self.run_named(&name).await?.id);
        }
        let one_run = filter.run;
        let tokens = Tokens::of(self, &["WatchRuns", &request.task, &request.run]);
        let place = tokens.read(&request.resume_token)?;
        let store = self.engine.store().clone();
        // Noted before the snapshot is read: what happens meanwhile is told after it.
        let from = store.tail().last();
        let (snapshot, from) = match place {
            Some(Place::After(sequence)) => {
                let reached = journal::reach(&store, sequence).await;
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
                (None, sequence)
            }
            None if request.skip_snapshot => (None, from),
            None | Some(Place::Snapshot) => {
                let runs = match one_run {
                    // One run is shown also where it has ended.
                    Some(id) => vec![store.run(id).await?],
                    None => store.runs_live(filter.task, SNAPSHOT_MAX).await?,
                };
                if SNAPSHOT_MAX <= runs.len() as u64 {
                    return Err(Error::Exhausted(format!(
                        "more than {SNAPSHOT_MAX} runs have not ended; watch one task, or set skip_snapshot"
                    )));
                }
                (Some(runs), from)
            }
        };
        let stop = self.stop.clone();
        let clock = self.engine.clock().clone();
        let feed = try_stream! {
            if let Some(runs) = snapshot {
                let mut count = 0;
                for run in runs.iter().filter(|run| filter.wants(run)) {
                    count += 1;
                    yield message(Message::Snapshot(convert::run_basic(run)), tokens.make(Place::Snapshot));
                }
                yield message(Message::SnapshotEnd(pb::SnapshotEnd { count }), tokens.make(Place::After(from)));
                if one_run.is_some() && runs.iter().all(|run| run.state.is_terminal()) {
                    yield end("RUN_ENDED", tokens.make(Place::After(from)));
                    return;
                }
            }
            let mut at = from;
            let mut events = std::pin::pin!(journal::follow(store, from));
            let mut quiet = std::pin::pin!(tokio::time::sleep(HEARTBEAT));
            let mut spoke = Stopwatch::start();
            let mut over = std::pin::pin!(tokio::time::sleep(deadline));
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
                        let time = Some(time::stamp(clock.now()));
                        yield message(Message::Heartbeat(pb::Heartbeat { time }), tokens.make(Place::After(at)));
                        continue;
                    }
                    () = &mut over => {
                        yield end("DEADLINE", tokens.make(Place::After(at)));
                        return;
                    }
                    () = stop.cancelled() => {
                        yield end("DRAINING", tokens.make(Place::After(at)));
                        return;
                    }
                };
                let Some(event) = event else { return };
                let event = event.map_err(Status::from)?;
                at = event.sequence;
                let Some(run) = event.run().filter(|run| filter.wants(run)) else { continue };
                spoke = Stopwatch::start();
                yield told(&event, &run, tokens.make(Place::After(at)));
                if one_run.is_some() && run.state.is_terminal() {
                    yield end("RUN_ENDED", tokens.make(Place::After(at)));
                    return;
                }
            }
        };
        Ok(Box::pin(feed))
    }
}

/// An event, encoded once for all who watch; but the token is of this watch.
fn told(event: &Event, run: &Run, resume_token: String) -> Told {
    let encode = || {
        let told = pb::RunEvent {
            sequence: event.sequence,
            time: Some(time::stamp(event.at)),
            r#type: event.kind.as_str().to_owned(),
            run: Some(convert::run_basic(run)),
        };
        let message = Some(Message::Event(told));
        let resume_token = String::new();
        pb::WatchRunsResponse {
            message,
            resume_token,
        }
        .encode_to_vec()
    };
    let own = pb::WatchRunsResponse {
        message: None,
        resume_token,
    };
    Shared::new(event.told(encode), own)
}

fn message(message: Message, resume_token: String) -> Told {
    Shared::own(pb::WatchRunsResponse {
        message: Some(message),
        resume_token,
    })
}

fn end(reason: &str, resume_token: String) -> Told {
    message(Message::End(stream_end(reason)), resume_token)
}

pub(super) fn stream_end(reason: &str) -> pb::StreamEnd {
    pb::StreamEnd {
        reason: reason.to_owned(),
        retry_after: Some(time::span(Duration::from_secs(1))),
    }
}
