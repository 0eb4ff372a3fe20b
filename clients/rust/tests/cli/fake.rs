//! A server that does as its script says and keeps what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::{StreamExt as _, stream};
use tonic::{Request, Response, Status, codegen::BoxStream};
use watchbell_client::pb;

use crate::fake_documents::Documents;

use self::server::{
    backup_service_server::BackupService, run_service_server::RunService,
    scheduler_service_server::SchedulerService, task_service_server::TaskService,
};

pub(crate) mod server {
    //! The generated traits.
    #![allow(
        clippy::all,
        unreachable_pub,
        unused_qualifications,
        missing_debug_implementations,
        reason = "generated"
    )]
    include!(concat!(env!("OUT_DIR"), "/server/watchbell.v1.rs"));
}

/// What callers must show.
pub(crate) const TOKEN: &str = "s3cret";

pub(crate) type Answers<T> = VecDeque<Result<T, Status>>;

/// Answers to come, and requests that came.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) documents: Documents,
    pub(crate) tasks: Vec<pb::Task>,
    pub(crate) status: pb::Status,
    /// What GetStatus answers, should it fail.
    pub(crate) status_fails: Option<Status>,
    pub(crate) fires: Vec<pb::Fire>,
    /// The token with which lists answer that have nothing: there may be more behind it.
    pub(crate) unseen: String,
    /// What each page of the agenda is.
    pub(crate) agenda: pb::GetAgendaResponse,
    pub(crate) waits: Answers<pb::WaitRunResponse>,
    /// Pages of runs; further ones are empty.
    pub(crate) pages: VecDeque<pb::ListRunsResponse>,
    pub(crate) triggers: Answers<pb::TriggerTaskResponse>,
    pub(crate) watches: Answers<Vec<Result<pb::WatchRunsResponse, Status>>>,
    pub(crate) logs: Answers<Vec<Result<pb::TailRunLogResponse, Status>>>,
    pub(crate) statuses: Answers<Vec<Result<pb::WatchStatusResponse, Status>>>,
    /// Streams stay open behind their last message, as where nothing happens.
    pub(crate) streams_stay: bool,
    pub(crate) triggered: Vec<pb::TriggerTaskRequest>,
    pub(crate) updated: Vec<pb::UpdateTaskRequest>,
    pub(crate) waited: Vec<pb::WaitRunRequest>,
    pub(crate) watched: Vec<pb::WatchRunsRequest>,
    pub(crate) previewed: Vec<pb::PreviewScheduleRequest>,
    pub(crate) listed: Vec<pb::ListRunsRequest>,
}

#[derive(Clone)]
pub(crate) struct Fake(pub(crate) Arc<Mutex<Script>>);

impl Fake {
    /// The request, if the caller shows the token.
    pub(crate) fn admit<T>(&self, request: Request<T>) -> Result<T, Status> {
        let shown = request.metadata().get("authorization");
        if shown.is_none_or(|shown| shown != format!("Bearer {TOKEN}").as_str()) {
            return Err(Status::unauthenticated("no such token"));
        }
        Ok(request.into_inner())
    }

    /// The same, and the script.
    pub(crate) fn open<T>(
        &self,
        request: Request<T>,
    ) -> Result<(T, MutexGuard<'_, Script>), Status> {
        Ok((self.admit(request)?, self.script()))
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

/// The messages as a stream, which ends behind them unless it is to stay.
pub(crate) fn streamed<T: Send + 'static>(
    messages: Vec<Result<T, Status>>,
    stays: bool,
) -> BoxStream<T> {
    let messages = stream::iter(messages);
    if stays {
        return Box::pin(messages.chain(stream::pending()));
    }
    Box::pin(messages)
}

pub(crate) fn next<T>(answers: &mut Answers<T>) -> Result<T, Status> {
    let over = || Err(Status::internal("the script is over"));
    answers.pop_front().unwrap_or_else(over)
}

#[tonic::async_trait]
impl TaskService for Fake {
    async fn list_tasks(
        &self,
        request: Request<pb::ListTasksRequest>,
    ) -> Result<Response<pb::ListTasksResponse>, Status> {
        let (request, script) = self.open(request)?;
        // One on a page, whatever was asked for.
        let at: usize = request.page_token.parse().unwrap_or(0);
        let more = at + 1 < script.tasks.len();
        Ok(Response::new(pb::ListTasksResponse {
            tasks: script.tasks.get(at).cloned().into_iter().collect(),
            next_page_token: if more {
                (at + 1).to_string()
            } else {
                script.unseen.clone()
            },
        }))
    }

    async fn get_task(
        &self,
        request: Request<pb::GetTaskRequest>,
    ) -> Result<Response<pb::GetTaskResponse>, Status> {
        let (request, script) = self.open(request)?;
        let task = script.tasks.iter().find(|task| task.name == request.name);
        let task = task.ok_or_else(|| Status::not_found("no such task"))?;
        Ok(Response::new(pb::GetTaskResponse {
            task: Some(task.clone()),
        }))
    }

    async fn update_task(
        &self,
        request: Request<pb::UpdateTaskRequest>,
    ) -> Result<Response<pb::UpdateTaskResponse>, Status> {
        let (request, mut script) = self.open(request)?;
        let mut task = request.task.clone();
        script.updated.push(request);
        if let Some(task) = &mut task {
            let before = script.tasks.iter().find(|before| before.name == task.name);
            task.next_due_time = before.and_then(|before| before.next_due_time);
        }
        Ok(Response::new(pb::UpdateTaskResponse { task }))
    }

    async fn trigger_task(
        &self,
        request: Request<pb::TriggerTaskRequest>,
    ) -> Result<Response<pb::TriggerTaskResponse>, Status> {
        let (request, mut script) = self.open(request)?;
        script.triggered.push(request);
        next(&mut script.triggers).map(Response::new)
    }

    async fn preview_schedule(
        &self,
        request: Request<pb::PreviewScheduleRequest>,
    ) -> Result<Response<pb::PreviewScheduleResponse>, Status> {
        let (request, mut script) = self.open(request)?;
        script.previewed.push(request);
        Ok(Response::new(pb::PreviewScheduleResponse {
            fires: script.fires.clone(),
            next_page_token: "more".into(),
        }))
    }
}

#[tonic::async_trait]
impl RunService for Fake {
    async fn list_runs(
        &self,
        request: Request<pb::ListRunsRequest>,
    ) -> Result<Response<pb::ListRunsResponse>, Status> {
        let (request, mut script) = self.open(request)?;
        script.listed.push(request);
        let page = script.pages.pop_front();
        let empty = || pb::ListRunsResponse {
            next_page_token: script.unseen.clone(),
            ..Default::default()
        };
        Ok(Response::new(page.unwrap_or_else(empty)))
    }

    async fn wait_run(
        &self,
        request: Request<pb::WaitRunRequest>,
    ) -> Result<Response<pb::WaitRunResponse>, Status> {
        let (request, mut script) = self.open(request)?;
        script.waited.push(request);
        next(&mut script.waits).map(Response::new)
    }

    async fn watch_runs(
        &self,
        request: Request<pb::WatchRunsRequest>,
    ) -> Result<Response<BoxStream<pb::WatchRunsResponse>>, Status> {
        let (request, mut script) = self.open(request)?;
        script.watched.push(request);
        let messages = next(&mut script.watches)?;
        Ok(Response::new(streamed(messages, script.streams_stay)))
    }

    async fn tail_run_log(
        &self,
        request: Request<pb::TailRunLogRequest>,
    ) -> Result<Response<BoxStream<pb::TailRunLogResponse>>, Status> {
        let (_, mut script) = self.open(request)?;
        let messages = next(&mut script.logs)?;
        Ok(Response::new(streamed(messages, script.streams_stay)))
    }
}

#[tonic::async_trait]
impl SchedulerService for Fake {
    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let (_, script) = self.open(request)?;
        if let Some(status) = &script.status_fails {
            return Err(status.clone());
        }
        Ok(Response::new(pb::GetStatusResponse {
            status: Some(script.status.clone()),
        }))
    }

    async fn get_agenda(
        &self,
        request: Request<pb::GetAgendaRequest>,
    ) -> Result<Response<pb::GetAgendaResponse>, Status> {
        let (_, script) = self.open(request)?;
        Ok(Response::new(script.agenda.clone()))
    }

    async fn list_replicas(
        &self,
        request: Request<pb::ListReplicasRequest>,
    ) -> Result<Response<pb::ListReplicasResponse>, Status> {
        let (_, script) = self.open(request)?;
        Ok(Response::new(pb::ListReplicasResponse {
            next_page_token: script.unseen.clone(),
            ..Default::default()
        }))
    }

    async fn watch_status(
        &self,
        request: Request<pb::WatchStatusRequest>,
    ) -> Result<Response<BoxStream<pb::WatchStatusResponse>>, Status> {
        let (_, mut script) = self.open(request)?;
        let messages = next(&mut script.statuses)?;
        Ok(Response::new(streamed(messages, script.streams_stay)))
    }
}

#[tonic::async_trait]
impl BackupService for Fake {
    async fn list_backup_policies(
        &self,
        request: Request<pb::ListBackupPoliciesRequest>,
    ) -> Result<Response<pb::ListBackupPoliciesResponse>, Status> {
        let (_, script) = self.open(request)?;
        Ok(Response::new(pb::ListBackupPoliciesResponse {
            next_page_token: script.unseen.clone(),
            ..Default::default()
        }))
    }

    async fn list_backup_sources(
        &self,
        request: Request<pb::ListBackupSourcesRequest>,
    ) -> Result<Response<pb::ListBackupSourcesResponse>, Status> {
        let (_, script) = self.open(request)?;
        Ok(Response::new(pb::ListBackupSourcesResponse {
            next_page_token: script.unseen.clone(),
            ..Default::default()
        }))
    }

    async fn list_restore_points(
        &self,
        request: Request<pb::ListRestorePointsRequest>,
    ) -> Result<Response<pb::ListRestorePointsResponse>, Status> {
        let (_, script) = self.open(request)?;
        Ok(Response::new(pb::ListRestorePointsResponse {
            next_page_token: script.unseen.clone(),
            ..Default::default()
        }))
    }

    async fn list_backup_evidence(
        &self,
        request: Request<pb::ListBackupEvidenceRequest>,
    ) -> Result<Response<pb::ListBackupEvidenceResponse>, Status> {
        let (_, script) = self.open(request)?;
        Ok(Response::new(pb::ListBackupEvidenceResponse {
            next_page_token: script.unseen.clone(),
            ..Default::default()
        }))
    }
}
