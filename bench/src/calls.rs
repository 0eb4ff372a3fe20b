//! Calls of the server, over plain stubs: no retries and no compression, so that only the server is
//! measured.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use watchbell_client::pb::{
    self, document_service_client::DocumentServiceClient, run_service_client::RunServiceClient,
    scheduler_service_client::SchedulerServiceClient, task_service_client::TaskServiceClient,
};

/// The most that this program's clock and that of a server, which is its database's, may be apart. What is asked for by an instant
/// of this one is asked for by so much of a margin, whichever of them is ahead.
pub(crate) const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(5);

pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

/// Adds the token to each call.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Opens connections.
#[derive(Debug)]
pub(crate) struct Connection;

/// A connection to a server; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) channel: Authorized,
}

impl Connection {
    pub(crate) async fn open(endpoint: &str, token: &str) -> anyhow::Result<Client> {
        let bearer = format!("Bearer {token}").parse().context("the token")?;
        let endpoint = Endpoint::from_shared(endpoint.to_owned())?
            .tcp_nodelay(true)
            // A thousand streams share a connection's window.
            .initial_connection_window_size(16 << 20)
            .initial_stream_window_size(1 << 20);
        let channel = endpoint.connect().await?;
        Ok(Client {
            channel: InterceptedService::new(channel, Bearer(bearer)),
        })
    }
}

impl Client {
    pub(crate) fn tasks(&self) -> TaskServiceClient<Authorized> {
        TaskServiceClient::new(self.channel.clone())
    }

    pub(crate) fn runs(&self) -> RunServiceClient<Authorized> {
        RunServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    pub(crate) fn documents(&self) -> DocumentServiceClient<Authorized> {
        DocumentServiceClient::new(self.channel.clone())
    }

    pub(crate) fn scheduler(&self) -> SchedulerServiceClient<Authorized> {
        SchedulerServiceClient::new(self.channel.clone())
    }

    /// Queues a run, and returns it.
    pub(crate) async fn trigger(&self, task: &str) -> anyhow::Result<pb::Run> {
        let request = pb::TriggerTaskRequest {
            name: format!("tasks/{task}"),
            ..Default::default()
        };
        let answer = self.tasks().trigger_task(request).await?.into_inner();
        answer.run.context("a run")
    }

    /// The run once it has ended.
    pub(crate) async fn ended(&self, name: &str) -> anyhow::Result<pb::Run> {
        loop {
            let request = pb::WaitRunRequest {
                name: name.to_owned(),
                timeout: None,
            };
            let answer = self.runs().wait_run(request).await?.into_inner();
            if answer.done {
                return answer.run.context("a run");
            }
        }
    }

    /// The run once it has ended, which must be with this outcome.
    pub(crate) async fn ended_with(
        &self,
        name: &str,
        outcome: pb::RunOutcome,
    ) -> anyhow::Result<pb::Run> {
        let run = self.ended(name).await?;
        expect_outcome(&run, outcome)?;
        Ok(run)
    }

    /// Every run of a task, or of all where it is empty, that was queued since an instant of this program's clock, newest
    /// first. Older ones, of up to [`CLOCKS_APART`] before, are among them: by the server's clock the first that is meant may
    /// be of a moment before. Whoever asks takes their own.
    pub(crate) async fn runs_since(
        &self,
        task: &str,
        since: Timestamp,
    ) -> anyhow::Result<Vec<pb::Run>> {
        let mut request = pb::ListRunsRequest {
            task: task.to_owned(),
            page_size: 1000,
            queued_since_time: Some(stamp(since - CLOCKS_APART)),
            ..Default::default()
        };
        let mut runs = Vec::new();
        loop {
            let page = self.runs().list_runs(request.clone()).await?.into_inner();
            runs.extend(page.runs);
            if page.next_page_token.is_empty() {
                return Ok(runs);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Whether any run has not ended.
    pub(crate) async fn is_busy(&self) -> anyhow::Result<bool> {
        let states = [
            pb::RunState::Queued,
            pb::RunState::Running,
            pb::RunState::RetryWait,
        ];
        let request = pb::ListRunsRequest {
            page_size: 1,
            states: states.map(Into::into).to_vec(),
            ..Default::default()
        };
        let page = self.runs().list_runs(request).await?.into_inner();
        // Where very many wait, a page may hold none though there are more.
        Ok(!page.runs.is_empty() || !page.next_page_token.is_empty())
    }

    /// Waits until every run has ended.
    pub(crate) async fn idle(&self, limit: Duration) -> anyhow::Result<()> {
        let wait = async {
            while self.is_busy().await? {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let idle = tokio::time::timeout(limit, wait).await;
        idle.with_context(|| format!("runs still under way after {limit:?}"))?
    }
}

/// Fails unless a run did its work with this outcome, and at once: one that was tried again took the time of two.
pub(crate) fn expect_outcome(run: &pb::Run, outcome: pb::RunOutcome) -> anyhow::Result<()> {
    ensure!(
        run.state() == pb::RunState::Succeeded && run.outcome() == outcome && run.attempt == 1,
        "{} should have come to {}: it is {}, {}, in attempt {}, {} {}",
        run.name,
        outcome.as_str_name(),
        run.state().as_str_name(),
        run.outcome().as_str_name(),
        run.attempt,
        run.reason,
        run.message
    );
    Ok(())
}

/// When the run's handler was entered, as the handler itself says.
pub(crate) fn entered_at(run: &pb::Run) -> Option<Timestamp> {
    let micros = run.counters.get("entered_us")?;
    Timestamp::from_microsecond(*micros).ok()
}

pub(crate) fn stamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

pub(crate) fn instant(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let at = at?;
    Timestamp::new(at.seconds, at.nanos).ok()
}

/// Milliseconds from one instant to a later one.
pub(crate) fn millis(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1000.0
}
