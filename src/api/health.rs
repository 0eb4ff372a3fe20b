//! `grpc.health.v1`.
//!
//! tonic-health answers NOT_FOUND to a Watch of an unknown name, where the protocol wants
//! SERVICE_UNKNOWN on a stream that stays open; so every name is registered, and Watch is wrapped.

use futures_util::StreamExt as _;
use tonic::{Code, Request, Response, Status};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse, health_check_response,
        health_server::{self, HealthServer},
    },
    server::{HealthReporter, HealthService},
};

use super::{Feed, Reply};

const SERVICES: [&str; 6] = [
    "",
    "watchbell.v1.SchedulerService",
    "watchbell.v1.TaskService",
    "watchbell.v1.RunService",
    "watchbell.v1.DocumentService",
    "watchbell.v1.BackupService",
];
/// Not services, but what a monitor may ask after: whether slots are decided, whether the database
/// answers.
const SCHEDULER: &str = "scheduler";
const STORAGE: &str = "storage";

/// What of the server is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Calls can be served.
    pub ready: bool,
    /// What is due is decided.
    pub scheduler: bool,
    /// The database answers.
    pub storage: bool,
}

/// Says whether the services serve; cheap to clone.
#[derive(Clone)]
pub struct HealthHandle {
    reporter: HealthReporter,
}

impl std::fmt::Debug for HealthHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HealthHandle")
    }
}

impl HealthHandle {
    /// What of it serves.
    pub async fn set(&self, health: Health) {
        for name in SERVICES {
            self.tell(name, health.ready).await;
        }
        self.tell(SCHEDULER, health.scheduler).await;
        self.tell(STORAGE, health.storage).await;
    }

    /// Nothing of it serves: not yet, or not any more.
    pub async fn stop(&self) {
        for name in SERVICES.into_iter().chain([SCHEDULER, STORAGE]) {
            self.tell(name, false).await;
        }
    }

    async fn tell(&self, name: &str, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.reporter.set_service_status(name, status).await;
    }
}

/// The service, not serving yet, and the hand on it.
pub(super) fn service() -> (HealthHandle, HealthServer<impl health_server::Health>) {
    let reporter = HealthReporter::new();
    let inner = HealthService::from_health_reporter(reporter.clone());
    (
        HealthHandle { reporter },
        HealthServer::new(Wrapped { inner }),
    )
}

struct Wrapped<H> {
    inner: H,
}

#[tonic::async_trait]
impl<H: health_server::Health> health_server::Health for Wrapped<H> {
    type WatchStream = Feed<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Reply<HealthCheckResponse> {
        self.inner.check(request).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Reply<Self::WatchStream> {
        match self.inner.watch(request).await {
            Ok(feed) => {
                let mut last = None;
                // It is set each second, to what it was: a watcher is told what changes.
                let news = feed.into_inner().filter(move |told| {
                    let status = told.as_ref().ok().map(|told| told.status);
                    let is_news = status.is_none() || status != last;
                    last = status;
                    std::future::ready(is_news)
                });
                Ok(Response::new(Box::pin(news)))
            }
            Err(status) if status.code() == Code::NotFound => {
                let unknown = HealthCheckResponse {
                    status: health_check_response::ServingStatus::ServiceUnknown.into(),
                };
                let first = futures_util::stream::once(async move { Ok::<_, Status>(unknown) });
                Ok(Response::new(Box::pin(
                    first.chain(futures_util::stream::pending()),
                )))
            }
            Err(status) => Err(status),
        }
    }
}
