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
        health_server::{Health, HealthServer},
    },
    server::{HealthReporter, HealthService},
};

use super::{Feed, Reply};

const NAMES: [&str; 6] = [
    "",
    "watchbell.v1.SchedulerService",
    "watchbell.v1.TaskService",
    "watchbell.v1.RunService",
    "scheduler",
    "storage",
];

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
    /// Whether all of it serves.
    pub async fn set(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// It will not serve again.
    pub async fn stop(&self) {
        self.set(false).await;
    }
}

/// The service, not serving yet, and the hand on it.
pub(super) fn service() -> (HealthHandle, HealthServer<impl Health>) {
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
impl<H: Health> Health for Wrapped<H> {
    type WatchStream = Feed<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Reply<HealthCheckResponse> {
        self.inner.check(request).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Reply<Self::WatchStream> {
        match self.inner.watch(request).await {
            Ok(feed) => Ok(Response::new(Box::pin(feed.into_inner()))),
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
