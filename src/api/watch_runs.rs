//! `WatchRuns`.

use futures_util::stream;
use prost::Message as _;

use super::{
    Api, Feed, Shared, convert,
    convert::time,
    deadline::Listens,
    names,
    watch::{Envelope, News, SNAPSHOT_MAX, Start, feed, too_many},
    watch_token::Tokens,
};
use crate::{
    domain::{Event, Run, RunId, TaskId},
    error::{Error, Result, Thing},
    pb,
    pb::watch_runs_response::Message,
};

/// Which runs a watch shows.
#[derive(Clone, Copy, Debug, Default)]
struct Filter {
    task: Option<TaskId>,
    run: Option<RunId>,
}

impl Filter {
    fn wants(&self, run: &Run) -> bool {
        self.task.is_none_or(|task| task == run.task_id) && self.run.is_none_or(|id| id == run.id)
    }
}

impl Envelope for pb::WatchRunsResponse {
    type Item = Run;

    fn snapshot(run: Run) -> Self {
        of(Message::Snapshot(convert::run_basic(&run)))
    }

    fn snapshot_end(count: i64) -> Self {
        of(Message::SnapshotEnd(pb::SnapshotEnd { count }))
    }

    fn heartbeat(heartbeat: pb::Heartbeat) -> Self {
        of(Message::Heartbeat(heartbeat))
    }

    fn end(end: pb::StreamEnd) -> Self {
        of(Message::End(end))
    }

    fn at(self, resume_token: String) -> Self {
        Self {
            resume_token,
            ..self
        }
    }
}

impl Api {
    pub(super) async fn watch_runs_feed(
        &self,
        request: pb::WatchRunsRequest,
        listens: Listens,
    ) -> Result<Feed<Shared<pb::WatchRunsResponse>>> {
        let mut filter = Filter::default();
        if !request.task.is_empty() {
            let name = names::task("task", &request.task)?;
            filter.task = Some(self.engine.store().task(&name).await?.id);
        }
        if !request.run.is_empty() {
            let name = names::run("run", &request.run)?;
            let run = self.run_named(&name).await?;
            if filter.task.is_some_and(|task| task != run.task_id) {
                // Nothing of it would ever be told, nor its end.
                return Err(Error::not_found(Thing::Run, &request.run));
            }
            filter.run = Some(run.id);
        }
        let mut tokens = Tokens::of(self, &["WatchRuns", &request.task, &request.run]);
        if let Some(task) = filter.task {
            tokens = tokens.bound(task, self.engine.store().binds_tokens());
        }
        let start = self
            .watch_start(&tokens, &request.resume_token, request.skip_snapshot)
            .await?;
        let (snapshot, from) = match start {
            Start::After(from) => (None, from),
            Start::Snapshot(from) => (Some(self.runs_now(filter).await?), from),
        };
        let over_at = match (filter.run, &snapshot) {
            (None, _) => None,
            (Some(_), Some(runs)) => runs
                .iter()
                .all(|run| run.state.is_terminal())
                .then_some(from),
            (Some(run), None) => self.ended_by(run).await?,
        };
        let course = self.watch_course(tokens, from, listens);
        let snapshot = snapshot.map(|runs| stream::iter([Ok(runs)]));
        Ok(feed(course, snapshot, over_at, move |event| {
            let run = event.run().filter(|run| filter.wants(run))?;
            Some(News {
                message: event.told(|| told(event, &run)),
                is_last: filter.run.is_some() && run.state.is_terminal(),
            })
        }))
    }

    /// Position by which the log has told the end of a run; none of one that has not ended.
    async fn ended_by(&self, run: RunId) -> Result<Option<i64>> {
        let store = self.engine.store();
        if !store.run(run).await?.state.is_terminal() {
            return Ok(None);
        }
        // Read after the run: its end and the event of it were written at once.
        Ok(Some(store.events_highest().await?))
    }

    async fn runs_now(&self, filter: Filter) -> Result<Vec<Run>> {
        let store = self.engine.store();
        let runs = match filter.run {
            // One run is shown also where it has ended.
            Some(id) => vec![store.run(id).await?],
            None => store.runs_live(filter.task, SNAPSHOT_MAX).await?,
        };
        if SNAPSHOT_MAX <= runs.len() as u64 {
            let advice = "watch one task, or set skip_snapshot";
            return Err(too_many("runs have not ended", advice));
        }
        Ok(runs.into_iter().filter(|run| filter.wants(run)).collect())
    }
}

fn told(event: &Event, run: &Run) -> Vec<u8> {
    let told = pb::RunEvent {
        sequence: event.sequence,
        time: Some(time::stamp(event.at)),
        r#type: event.told_as().to_owned(),
        run: Some(convert::run_basic(run)),
    };
    of(Message::Event(told)).encode_to_vec()
}

fn of(message: Message) -> pb::WatchRunsResponse {
    pb::WatchRunsResponse {
        message: Some(message),
        resume_token: String::new(),
    }
}
