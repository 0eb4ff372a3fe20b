//! Calls to the server that runs on this host, for those commands of `watchbell` that ask it.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context as _;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::convert::time;
use crate::pb::{
    DrainRequest, DrainState, EndDrainRequest, GetDrainRequest,
    scheduler_service_client::SchedulerServiceClient,
};

/// How long a connection, and an answer, may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Longest part of an error that comes from the server and is shown.
const SHOWN: usize = 1_000;

/// A running server of this host.
#[derive(Clone, Debug)]
pub struct LocalServer {
    service: SchedulerServiceClient<Channel>,
    token: MetadataValue<Ascii>,
}

/// Whether the server takes runs, and what runs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDrain {
    /// Identifies the server, anew at each start.
    pub replica: String,
    /// Whether it takes no runs.
    pub drained: bool,
    /// Runs under way.
    pub running: i32,
    /// Names of some of them.
    pub names: Vec<String>,
}

impl LocalServer {
    /// Connects to `address` with the token that the server wrote.
    ///
    /// # Errors
    /// Where the token cannot be read, or nobody listens there.
    pub async fn connect(address: SocketAddr, token: &Path) -> anyhow::Result<Self> {
        let text = tokio::fs::read_to_string(token).await.with_context(|| {
            format!(
                "could not read the token {}: run this as the server's user, and with its --data",
                token.display()
            )
        })?;
        let token = format!("Bearer {}", text.trim())
            .parse()
            .with_context(|| format!("{} holds no token", token.display()))?;
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(ANSWERS_WITHIN)
            .timeout(ANSWERS_WITHIN)
            .connect()
            .await
            .with_context(|| {
                format!("no server answers at {address}: is it running, and is --listen its own?")
            })?;
        Ok(Self {
            service: SchedulerServiceClient::new(channel),
            token,
        })
    }

    /// Asks it to take no more runs for `lasts_for`.
    ///
    /// # Errors
    /// The server's, as a sentence.
    pub async fn drain(&mut self, lasts_for: Duration, reason: &str) -> anyhow::Result<LocalDrain> {
        let request = DrainRequest {
            lasts_for: Some(time::span(lasts_for)),
            reason: reason.to_owned(),
        };
        let request = self.shown(request);
        let answer = self.service.drain(request).await.map_err(told)?;
        Ok(state(answer.into_inner().drain))
    }

    /// How far the drain is.
    ///
    /// # Errors
    /// The server's, as a sentence.
    pub async fn drain_state(&mut self) -> anyhow::Result<LocalDrain> {
        let request = self.shown(GetDrainRequest {});
        let answer = self.service.get_drain(request).await.map_err(told)?;
        Ok(state(answer.into_inner().drain))
    }

    /// Asks it to take runs again.
    ///
    /// # Errors
    /// The server's, as a sentence.
    pub async fn end_drain(&mut self) -> anyhow::Result<LocalDrain> {
        let request = self.shown(EndDrainRequest {});
        let answer = self.service.end_drain(request).await.map_err(told)?;
        Ok(state(answer.into_inner().drain))
    }

    fn shown<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.token.clone());
        request
    }
}

fn state(drain: Option<DrainState>) -> LocalDrain {
    let drain = drain.unwrap_or_default();
    LocalDrain {
        replica: drain.replica,
        drained: drain.drain_time.is_some(),
        running: drain.running_count,
        names: drain.running,
    }
}

fn told(status: Status) -> anyhow::Error {
    let message: String = status.message().chars().take(SHOWN).collect();
    let code = status.code();
    match message.as_str() {
        "" => anyhow::anyhow!("the server answers {code:?}"),
        _ => anyhow::anyhow!("the server answers {code:?}: {}", message.escape_debug()),
    }
}
