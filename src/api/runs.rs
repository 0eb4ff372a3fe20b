//! `RunService`.

use std::time::Duration;

use futures_util::StreamExt as _;
use prost::Message as _;
use tonic::{Request, Response};

use super::{
    Api, Feed, Reply, Shared, convert,
    convert::time,
    deadline,
    deadline::Listens,
    names,
    names::RunName,
    page,
    request::{Asked, each_once},
};
use crate::{
    domain::{Run, bounds},
    error::{Error, Result, all},
    journal,
    pb::{self, run_service_server::RunService},
    store::{Page, PageOf, RunFilter},
};

const WAIT_DEFAULT: Duration = Duration::from_secs(30);
/// Between two looks at a run while nothing is heard of it.
const UNHEARD: Duration = Duration::from_millis(500);

impl Api {
    /// The run once it has ended. Where nothing is heard of what happens, it is looked at.
    async fn run_ended(&self, name: &RunName) -> Result<Run> {
        let tail = self.engine.store().tail();
        while !tail.has_begun() {
            let run = self.run_named(name).await?;
            if run.state.is_terminal() {
                return Ok(run);
            }
            let _ = tokio::time::timeout(UNHEARD, tail.begins()).await;
        }
        let mut stalled = tail.stalled();
        let from = tail.last();
        let mut run = self.run_named(name).await?;
        let mut events = std::pin::pin!(journal::follow(self.engine.store().clone(), from));
        while !run.state.is_terminal() {
            let unheard = async {
                // The sender lives as long as the store.
                let _ = stalled.wait_for(Option::is_some).await;
                tokio::time::sleep(UNHEARD).await;
            };
            let event = tokio::select! {
                event = events.next() => event,
                () = unheard => {
                    run = self.run_named(name).await?;
                    continue;
                }
            };
            let Some(event) = event else { break };
            // What happens to it before that is of no interest here.
            let has_ended = |changed: &Run| changed.id == name.id && changed.state.is_terminal();
            if event?.run().is_some_and(|changed| has_ended(&changed)) {
                run = self.run_named(name).await?;
            }
        }
        Ok(run)
    }
}

#[tonic::async_trait]
impl RunService for Api {
    type WatchRunsStream = Feed<Shared<pb::WatchRunsResponse>>;
    type TailRunLogStream = Feed<pb::TailRunLogResponse>;

    async fn list_runs(
        &self,
        request: Request<pb::ListRunsRequest>,
    ) -> Reply<pb::ListRunsResponse> {
        let request = request.into_inner();
        let size = page::default_size(request.page_size)?;
        let scope = page::scope(&[
            "ListRuns",
            &request.task,
            &format!("{:?} {:?}", request.states, request.triggers),
            &format!(
                "{:?} {:?}",
                request.queued_since_time, request.queued_before_time
            ),
        ]);
        let filter = self.run_filter(&request).await?;
        let after = page::key_of(&scope, &filter.tasks, &request.page_token)?;
        let wanted = Page { size, after };
        let PageOf { items, next } = self.engine.store().runs(&filter, &wanted).await?;
        let encode = |run: &Run| match request.full {
            true => convert::run(run, Vec::new()),
            false => convert::run_basic(run),
        };
        let mut runs: Vec<pb::Run> = items.iter().map(encode).collect();
        let kept = page::fit(&runs);
        let next = match items.get(kept.saturating_sub(1)) {
            Some(last) if kept < runs.len() => Some(last.id),
            _ => next,
        };
        runs.truncate(kept);
        let is_told = self.engine.store().binds_tokens();
        let token = next.map(|id| page::token_of(&scope, &filter.tasks, is_told, &id.to_string()));
        Ok(Response::new(pb::ListRunsResponse {
            runs,
            next_page_token: token.unwrap_or_default(),
        }))
    }

    async fn get_run(&self, request: Request<pb::GetRunRequest>) -> Reply<pb::GetRunResponse> {
        let name = names::run("name", &request.into_inner().name)?;
        let run = self.run_named(&name).await?;
        let attempts = self.engine.store().run_attempts(&run).await?;
        let dropped = self.engine.store().log_dropped_at(run.id).await?;
        Ok(Response::new(pb::GetRunResponse {
            run: Some(pb::Run {
                log_drop_time: dropped.map(time::stamp),
                ..convert::run(&run, attempts)
            }),
        }))
    }

    async fn wait_run(&self, request: Request<pb::WaitRunRequest>) -> Reply<pb::WaitRunResponse> {
        let waits = deadline::for_stream(request.metadata().as_ref());
        let request = request.into_inner();
        let name = names::run("name", &request.name)?;
        let timeout = match &request.timeout {
            Some(span) => time::duration("timeout", span)?.min(deadline::WAIT_MAX),
            None => WAIT_DEFAULT,
        };
        let timeout = timeout.min(waits);
        let waited = tokio::select! {
            run = self.run_ended(&name) => Some(run?),
            () = tokio::time::sleep(timeout) => None,
            () = self.stop.cancelled() => None,
        };
        let run = match waited {
            Some(run) => run,
            None => self.run_named(&name).await?,
        };
        let attempts = self.engine.store().run_attempts(&run).await?;
        Ok(Response::new(pb::WaitRunResponse {
            done: run.state.is_terminal(),
            run: Some(convert::run(&run, attempts)),
        }))
    }

    async fn cancel_run(
        &self,
        request: Request<pb::CancelRunRequest>,
    ) -> Reply<pb::CancelRunResponse> {
        let asked = Asked::new("CancelRun", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let (name, reason) = all((
            names::run("name", &asked.body.name),
            names::reason(asked.body.reason.clone()),
        ))?;
        self.run_named(&name).await?;
        let answer = |run: &Run| pb::CancelRunResponse {
            run: Some(convert::run(run, Vec::new())),
        };
        let encode = |run: &Run| answer(run).encode_to_vec();
        let remember = asked.remember(&encode);
        let done = self
            .engine
            .cancel_run(&asked.who, name.id, &reason, remember)
            .await;
        asked.reply(self, done, answer).await
    }

    async fn retry_run(
        &self,
        request: Request<pb::RetryRunRequest>,
    ) -> Reply<pb::RetryRunResponse> {
        let asked = Asked::new("RetryRun", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let (name, reason) = all((
            names::run("name", &asked.body.name),
            names::reason(asked.body.reason.clone()),
        ))?;
        self.run_named(&name).await?;
        let answer = |run: &Run| pb::RetryRunResponse {
            run: Some(convert::run(run, Vec::new())),
        };
        let encode = |run: &Run| answer(run).encode_to_vec();
        let ignore_pause = asked.body.ignore_pause;
        let remember = asked.remember(&encode);
        let done = self
            .engine
            .retry_run(&asked.who, name.id, &reason, ignore_pause, remember)
            .await;
        asked.reply(self, done, answer).await
    }

    async fn watch_runs(
        &self,
        request: Request<pb::WatchRunsRequest>,
    ) -> Reply<Self::WatchRunsStream> {
        let listens = Listens::of(&request);
        let feed = self.watch_runs_feed(request.into_inner(), listens).await?;
        Ok(Response::new(feed))
    }

    async fn tail_run_log(
        &self,
        request: Request<pb::TailRunLogRequest>,
    ) -> Reply<Self::TailRunLogStream> {
        let listens = Listens::of(&request);
        let feed = self.tail_feed(request.into_inner(), listens).await?;
        Ok(Response::new(feed))
    }
}

impl Api {
    /// The run of that name.
    pub(super) async fn run_named(&self, name: &RunName) -> Result<Run> {
        let run = self.engine.store().run(name.id).await?;
        name.check(&run)?;
        Ok(run)
    }

    async fn run_filter(&self, request: &pb::ListRunsRequest) -> Result<RunFilter> {
        let (queued_since, queued_before, states, triggers) = all((
            time::instant_of("queued_since_time", request.queued_since_time.as_ref()),
            time::instant_of("queued_before_time", request.queued_before_time.as_ref()),
            each_once("states", &request.states, convert::run_state_from),
            each_once("triggers", &request.triggers, convert::run_trigger_from),
        ))?;
        bounds::ordered(
            ("queued_since_time", queued_since),
            ("queued_before_time", queued_before),
        )?;
        let mut filter = RunFilter {
            queued_since,
            queued_before,
            states,
            triggers,
            ..RunFilter::default()
        };
        if !request.task.is_empty() {
            let name = names::task("task", &request.task)?;
            match self.engine.store().task(&name).await {
                Ok(task) => filter.tasks = vec![task.id],
                // A task that is gone may have left runs.
                Err(error @ Error::NotFound { .. }) => {
                    filter.tasks = self.engine.store().tasks_gone(&name).await?;
                    if filter.tasks.is_empty() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(filter)
    }
}
