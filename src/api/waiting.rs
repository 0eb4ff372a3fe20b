//! What is served while the database is away at a start: a status that says so, and of all else that it will be served
//! later.

use std::{
    convert::Infallible,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, UnaryService},
    service::{Routes, interceptor::InterceptedService},
};
use tonic_prost::ProstCodec;

use super::{
    Api, HealthHandle,
    auth::{Guard, Token},
    convert,
    edge::Edge,
    front::Front,
    health,
};
use crate::{
    clock::SharedClock,
    domain::problem::{Problem, ProblemKind},
    error::{Error, Result},
    pb::{
        self, backup_service_server::BackupServiceServer,
        document_service_server::DocumentServiceServer, run_service_server::RunServiceServer,
        scheduler_service_server::SchedulerServiceServer, task_service_server::TaskServiceServer,
    },
};

const GET_STATUS: &str = "/watchbell.v1.SchedulerService/GetStatus";

/// What a server knows that waits for its database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Away {
    since: Timestamp,
    clock: SharedClock,
    why: Arc<Mutex<String>>,
}

impl Away {
    /// A wait that begins now.
    pub fn new(clock: SharedClock, why: String) -> Self {
        Self {
            since: clock.now(),
            clock,
            why: Arc::new(Mutex::new(why)),
        }
    }

    /// Notes why the newest try has failed.
    pub fn note(&self, why: String) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    fn why(&self) -> String {
        self.why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn status(&self) -> pb::Status {
        let message = format!(
            "the server has started and waits for its database since {}: {}; nothing is decided or run",
            self.since,
            self.why()
        );
        let kind = ProblemKind::DatabaseUnreachable;
        let problem = Problem::new(kind, "database".to_owned(), message, self.since);
        pb::Status {
            overall: pb::Severity::Critical.into(),
            check_time: Some(convert::time::stamp(self.clock.now())),
            problems: vec![convert::problem(&problem)],
            database: Some(pb::DatabaseFigures::default()),
            ..pb::Status::default()
        }
    }
}

/// Every service, none of which serves but for the status; and the hand on their health.
///
/// # Errors
/// As [`Api::front`].
pub fn waiting(
    away: &Away,
    token: Arc<Token>,
    stop: &CancellationToken,
) -> Result<(Front, HealthHandle)> {
    let (health_handle, health_service) = health::service();
    macro_rules! wait {
        ($server:ident) => {
            Edge::new(InterceptedService::new(
                Waiting::<$server<Api>> {
                    away: away.clone(),
                    of: PhantomData,
                },
                Guard::new(token.clone(), stop.clone()),
            ))
        };
    }
    let routes = Routes::new(wait!(SchedulerServiceServer))
        .add_service(wait!(TaskServiceServer))
        .add_service(wait!(RunServiceServer))
        .add_service(wait!(DocumentServiceServer))
        .add_service(wait!(BackupServiceServer))
        .add_service(health_service);
    Ok((Front::new(routes)?, health_handle))
}

/// Stands for a service until there is a database.
struct Waiting<S> {
    away: Away,
    of: PhantomData<fn() -> S>,
}

impl<S> Clone for Waiting<S> {
    fn clone(&self) -> Self {
        Self {
            away: self.away.clone(),
            of: PhantomData,
        }
    }
}

impl<S: NamedService> NamedService for Waiting<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Waiting<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, std::result::Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let away = self.away.clone();
        if request.uri().path() != GET_STATUS {
            let error = Error::unavailable("the database", away.why());
            let refused = Status::from(error).into_http();
            return Box::pin(async { Ok(refused) });
        }
        Box::pin(async move {
            let codec = ProstCodec::<pb::GetStatusResponse, pb::GetStatusRequest>::default();
            Ok(Grpc::new(codec).unary(Tell(away), request).await)
        })
    }
}

/// `GetStatus`, from memory.
struct Tell(Away);

impl UnaryService<pb::GetStatusRequest> for Tell {
    type Response = pb::GetStatusResponse;
    type Future = BoxFuture<'static, std::result::Result<Response<Self::Response>, Status>>;

    fn call(&mut self, _: Request<pb::GetStatusRequest>) -> Self::Future {
        let status = Some(self.0.status());
        Box::pin(async { Ok(Response::new(pb::GetStatusResponse { status })) })
    }
}
