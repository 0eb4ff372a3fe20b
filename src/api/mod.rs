//! The edge: gRPC in, calls to the rooms, and back.
//!
//! A handler decodes, makes one call and encodes. Reads go to the store; commands go to the engine.
//! An error leaves by `?` through `From<Error> for Status` in `status`, the only place that says
//! how it looks.

mod agenda;
pub mod auth;
mod backup_entries;
mod backup_names;
mod backup_points;
mod backup_policies;
mod backup_restores;
mod backups;
mod content;
mod convert;
mod deadline;
mod document_reads;
mod document_update;
mod document_verbs;
mod documents;
mod drift;
mod edge;
mod front;
mod health;
mod heartbeat;
mod local;
mod mask;
mod names;
mod page;
mod policy_fields;
mod register;
mod request;
mod runs;
mod scheduler;
mod shared;
mod shortened;
mod status;
mod tail;
mod task_fields;
mod task_reads;
mod tasks;
mod waiting;
mod watch;
mod watch_backup;
mod watch_documents;
mod watch_runs;
mod watch_token;

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, codec::CompressionEncoding, service::Routes};

use self::{
    auth::{Guard, Token},
    edge::Edge,
};
pub use self::{
    front::Front,
    health::{Health, HealthHandle},
    local::{LocalDrain, LocalServer},
    shared::Shared,
    waiting::{Away, waiting},
};
use crate::{
    backup::{Backups, PolicyTasks},
    domain::{Caller, bounds},
    engine::Engine,
    error::{Error, Reason, Result},
    monitor::Monitor,
    pb::{
        DESCRIPTORS, backup_service_server::BackupServiceServer,
        document_service_server::DocumentServiceServer, run_service_server::RunServiceServer,
        scheduler_service_server::SchedulerServiceServer, task_service_server::TaskServiceServer,
    },
    records::Documents,
};

/// Largest request, in bytes.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Largest answer, in bytes: pages stay below 1 MiB, so this is never met.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What the server is, for those who ask.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    pub version: String,
    pub cluster_id: String,
    pub log_epoch: String,
    pub max_running: usize,
}

/// The room of backups, and what makes the tasks of its policies.
#[derive(Debug)]
pub struct Backed {
    pub backups: Backups,
    pub policy_tasks: Arc<dyn PolicyTasks>,
}

/// What the services reach; one value serves them all.
#[derive(Clone, Debug)]
pub struct Api {
    pub(crate) engine: Engine,
    pub(crate) monitor: Monitor,
    pub(crate) documents: Documents,
    pub(crate) backups: Backups,
    pub(crate) policy_tasks: Arc<dyn PolicyTasks>,
    pub(crate) token: Arc<Token>,
    pub(crate) stop: CancellationToken,
    pub(crate) info: Arc<ServerInfo>,
}

type Reply<T> = Result<Response<T>, Status>;
type Feed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Api {
    /// When a pause that begins now is to end, where its request says so.
    fn pause_end(&self, given: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>> {
        let until = convert::time::instant_of("until_time", given)?;
        bounds::pause_end(until, self.engine.clock().now())?;
        Ok(until)
    }

    pub fn new(
        engine: Engine,
        monitor: Monitor,
        documents: Documents,
        backed: Backed,
        token: Arc<Token>,
        stop: CancellationToken,
        info: ServerInfo,
    ) -> Self {
        Self {
            engine,
            monitor,
            documents,
            backups: backed.backups,
            policy_tasks: backed.policy_tasks,
            token,
            stop,
            info: Arc::new(info),
        }
    }

    /// Every service, and the hand that says whether they serve.
    ///
    /// # Errors
    /// Where the descriptors do not fit the reflection service: a fault of the build.
    pub fn front(self) -> Result<(Front, HealthHandle)> {
        let (health_handle, health_service) = health::service();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // What an error's details are: without it grpcurl shows them as bytes.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        macro_rules! serve {
            ($server:ident) => {
                Edge::new(tonic::service::interceptor::InterceptedService::new(
                    $server::new(self.clone())
                        .accept_compressed(CompressionEncoding::Gzip)
                        .accept_compressed(CompressionEncoding::Zstd)
                        .send_compressed(CompressionEncoding::Gzip)
                        .send_compressed(CompressionEncoding::Zstd)
                        .max_decoding_message_size(REQUEST_BYTES_MAX)
                        .max_encoding_message_size(ANSWER_BYTES_MAX),
                    Guard::new(self.token.clone(), self.stop.clone()),
                ))
            };
        }
        let routes = Routes::new(serve!(SchedulerServiceServer))
            .add_service(serve!(TaskServiceServer))
            .add_service(serve!(RunServiceServer))
            .add_service(serve!(DocumentServiceServer))
            .add_service(serve!(BackupServiceServer))
            .add_service(health_service)
            .add_service(reflection().build_v1().map_err(Error::internal)?)
            .add_service(reflection().build_v1alpha().map_err(Error::internal)?);
        Ok((Front::new(routes)?, health_handle))
    }
}

/// Who calls: put there by the guard.
fn caller<T>(request: &Request<T>) -> Result<Caller> {
    let found = request.extensions().get::<Caller>().cloned();
    found.ok_or_else(|| Error::Unauthenticated {
        reason: Reason::TokenRequired,
        message: "nobody has said who calls".to_owned(),
    })
}
