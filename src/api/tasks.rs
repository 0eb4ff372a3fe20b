//! `TaskService`: what changes tasks is here, what shows them in `task_reads`.

use jiff::Timestamp;
use prost::Message as _;
use tonic::{Request, Response};

use super::{
    Api, Reply, convert, convert::time, convert::values, names, request::Asked, task_fields,
};
use crate::{
    domain::{Run, Task, TaskName, bounds},
    engine::{BackfillOrder, Backfilled, TriggerOrder},
    error::{Error, Result, all},
    pb::{self, task_service_server::TaskService},
};

const BACKFILL_DEFAULT: u32 = 100;
/// Each is a row, an event and a place in line: more would hold up everybody for seconds.
const BACKFILL_MAX: u32 = 10_000;

#[tonic::async_trait]
impl TaskService for Api {
    async fn list_tasks(
        &self,
        request: Request<pb::ListTasksRequest>,
    ) -> Reply<pb::ListTasksResponse> {
        self.answer_list_tasks(request.into_inner()).await
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Reply<pb::GetTaskResponse> {
        let name = names::task("name", &request.into_inner().name)?;
        let task = self.engine.store().task(&name).await?;
        Ok(Response::new(pb::GetTaskResponse {
            task: Some(convert::task(&task)),
        }))
    }

    async fn create_task(
        &self,
        request: Request<pb::CreateTaskRequest>,
    ) -> Reply<pb::CreateTaskResponse> {
        let asked = Asked::new("CreateTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let Some(task) = &body.task else {
            return Err(Error::invalid("task", "expected a task").into());
        };
        let (fields, mut faults) = task_fields::read(task)?;
        let name = faults.take(new_name(&body.task_id, &task.name))?;
        let reason = faults.take(names::reason(body.reason.clone()))?;
        if !faults.is_empty() {
            // What else is wrong is told with it, and not when that is right.
            faults.take(self.engine.check_fields(name.as_ref(), &fields))?;
        }
        let (name, reason) = faults.done_with(name.zip(reason))?;
        let answer = |task: &Task| pb::CreateTaskResponse {
            task: Some(convert::task(task)),
        };
        let encode = |task: &Task| answer(task).encode_to_vec();
        let remember = asked.remember(&encode);
        let done = self
            .engine
            .create_task(
                &asked.who,
                name,
                fields,
                &reason,
                body.validate_only,
                remember,
            )
            .await;
        asked.reply(self, done, answer).await
    }

    async fn update_task(
        &self,
        request: Request<pb::UpdateTaskRequest>,
    ) -> Reply<pb::UpdateTaskResponse> {
        let asked = Asked::new("UpdateTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let Some(task) = &body.task else {
            return Err(Error::invalid("task", "expected a task").into());
        };
        let (name, reason, changes) = all((
            names::task("task.name", &task.name),
            names::reason(body.reason.clone()),
            task_fields::changes(task, body.update_mask.as_ref()),
        ))?;
        let answer = |task: &Task| pb::UpdateTaskResponse {
            task: Some(convert::task(task)),
        };
        let encode = |task: &Task| answer(task).encode_to_vec();
        let etag = (!task.etag.is_empty()).then_some(task.etag.as_str());
        let updated = self
            .engine
            .update_task(
                &asked.who,
                &name,
                changes,
                etag,
                &reason,
                body.validate_only,
                asked.remember(&encode),
            )
            .await;
        let done = match updated {
            Err(Error::NotFound { .. }) if body.allow_missing => {
                let fields = task_fields::populated(task)?;
                let remember = asked.remember(&encode);
                self.engine
                    .create_task(
                        &asked.who,
                        name,
                        fields,
                        &reason,
                        body.validate_only,
                        remember,
                    )
                    .await
            }
            updated => updated,
        };
        asked.reply(self, done, answer).await
    }

    async fn delete_task(
        &self,
        request: Request<pb::DeleteTaskRequest>,
    ) -> Reply<pb::DeleteTaskResponse> {
        let asked = Asked::new("DeleteTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let name = names::task("name", &asked.body.name)?;
        let etag = (!asked.body.etag.is_empty()).then_some(asked.body.etag.as_str());
        let encode = |(): &()| pb::DeleteTaskResponse {}.encode_to_vec();
        let done = self
            .engine
            .delete_task(&asked.who, &name, etag, asked.remember(&encode))
            .await;
        asked
            .reply(self, done, |(): &()| pb::DeleteTaskResponse {})
            .await
    }

    async fn pause_task(
        &self,
        request: Request<pb::PauseTaskRequest>,
    ) -> Reply<pb::PauseTaskResponse> {
        let asked = Asked::new("PauseTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let (name, reason, until) = all((
            names::task("name", &asked.body.name),
            names::reason(asked.body.reason.clone()),
            self.pause_end(asked.body.until_time.as_ref()),
        ))?;
        let answer = |task: &Task| pb::PauseTaskResponse {
            task: Some(convert::task(task)),
        };
        let encode = |task: &Task| answer(task).encode_to_vec();
        let remember = asked.remember(&encode);
        let done = self
            .engine
            .pause_task(&asked.who, &name, &reason, until, remember)
            .await;
        asked.reply(self, done, answer).await
    }

    async fn resume_task(
        &self,
        request: Request<pb::ResumeTaskRequest>,
    ) -> Reply<pb::ResumeTaskResponse> {
        let asked = Asked::new("ResumeTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let name = names::task("name", &asked.body.name)?;
        let answer = |task: &Task| pb::ResumeTaskResponse {
            task: Some(convert::task(task)),
        };
        let encode = |task: &Task| answer(task).encode_to_vec();
        let done = self
            .engine
            .resume_task(&asked.who, &name, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }

    async fn reset_task(
        &self,
        request: Request<pb::ResetTaskRequest>,
    ) -> Reply<pb::ResetTaskResponse> {
        let asked = Asked::new("ResetTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let name = names::task("name", &asked.body.name)?;
        let etag = (!asked.body.etag.is_empty()).then_some(asked.body.etag.as_str());
        let answer = |task: &Task| pb::ResetTaskResponse {
            task: Some(convert::task(task)),
        };
        let encode = |task: &Task| answer(task).encode_to_vec();
        let done = self
            .engine
            .reset_task(&asked.who, &name, etag, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }

    async fn realign_task(
        &self,
        request: Request<pb::RealignTaskRequest>,
    ) -> Reply<pb::RealignTaskResponse> {
        let asked = Asked::new("RealignTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let (name, reason) = all((
            names::task("name", &asked.body.name),
            names::reason(asked.body.reason.clone()),
        ))?;
        let etag = (!asked.body.etag.is_empty()).then_some(asked.body.etag.as_str());
        let answer = |task: &Task| pb::RealignTaskResponse {
            task: Some(convert::task(task)),
        };
        let encode = |task: &Task| answer(task).encode_to_vec();
        let done = self
            .engine
            .realign_task(&asked.who, &name, etag, &reason, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }

    async fn trigger_task(
        &self,
        request: Request<pb::TriggerTaskRequest>,
    ) -> Reply<pb::TriggerTaskResponse> {
        // Whether it was answered before is not asked first: a repeated one fails on what the first has kept, and is told
        // the same. So the others have one way less to the database.
        let asked = Asked::new("TriggerTask", request, |body| &body.request_id)?;
        let body = &asked.body;
        let (name, parameters, reason) = all((
            names::task("name", &body.name),
            values::from_struct("parameters", body.parameters.clone().unwrap_or_default()),
            names::reason(body.reason.clone()),
        ))?;
        let order = TriggerOrder {
            parameters,
            same_work: false,
            dry_run: body.dry_run,
            ignore_pause: body.ignore_pause,
            reason,
        };
        let answer = |run: &Run| pb::TriggerTaskResponse {
            run: Some(convert::run(run, Vec::new())),
        };
        let encode = |run: &Run| answer(run).encode_to_vec();
        let done = self
            .engine
            .trigger(&asked.who, &name, order, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }

    async fn backfill_task(
        &self,
        request: Request<pb::BackfillTaskRequest>,
    ) -> Reply<pb::BackfillTaskResponse> {
        let asked = Asked::new("BackfillTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let (name, order) = all((
            names::task("name", &body.name),
            backfill_order(body, self.engine.clock().now()),
        ))?;
        let answer = |done: &Backfilled| pb::BackfillTaskResponse {
            run_count: i64::try_from(done.count).unwrap_or(i64::MAX),
            runs: done.runs.iter().map(convert::run_basic).collect(),
        };
        let encode = |done: &Backfilled| answer(done).encode_to_vec();
        let done = self
            .engine
            .backfill(&asked.who, &name, order, asked.remember(&encode))
            .await;
        asked.reply(self, done, answer).await
    }

    async fn preview_schedule(
        &self,
        request: Request<pb::PreviewScheduleRequest>,
    ) -> Reply<pb::PreviewScheduleResponse> {
        self.answer_preview_schedule(request.into_inner()).await
    }

    async fn list_slots(
        &self,
        request: Request<pb::ListSlotsRequest>,
    ) -> Reply<pb::ListSlotsResponse> {
        self.answer_list_slots(request.into_inner()).await
    }

    async fn get_task_statistics(
        &self,
        request: Request<pb::GetTaskStatisticsRequest>,
    ) -> Reply<pb::GetTaskStatisticsResponse> {
        self.answer_get_task_statistics(request.into_inner()).await
    }
}

fn new_name(id: &str, name: &str) -> Result<TaskName> {
    match (id, name) {
        ("", "") => Err(Error::invalid(
            "task_id",
            "expected the new task's name, such as backup-daily",
        )),
        ("", name) => names::task("task.name", name),
        (id, "") => names::task_id("task_id", id),
        (id, name) if name.strip_prefix("tasks/") == Some(id) => names::task_id("task_id", id),
        (_, name) => Err(Error::invalid(
            "task_id",
            format!("it differs from task.name {name:?}"),
        )),
    }
}

fn backfill_order(body: &pb::BackfillTaskRequest, now: Timestamp) -> Result<BackfillOrder> {
    let required = |field: &str, at: Option<&prost_types::Timestamp>| {
        let at = time::instant_of(field, at)?;
        at.ok_or_else(|| Error::invalid(field, "expected an instant"))
    };
    let max_count = match u32::try_from(body.max_count) {
        Ok(0) => Ok(BACKFILL_DEFAULT),
        Ok(count) if count <= BACKFILL_MAX => Ok(count),
        _ => {
            let what = format!("{} given; expected 1 to {BACKFILL_MAX}", body.max_count);
            Err(Error::invalid("max_count", what))
        }
    };
    let span = all((
        required("start_time", body.start_time.as_ref()),
        required("end_time", body.end_time.as_ref()),
    ));
    let bounded = |(start, end)| bounds::backfill(start, end, now).map(|start| (start, end));
    let ((start, end), parameters, max_count, reason) = all((
        span.and_then(bounded),
        values::from_struct("parameters", body.parameters.clone().unwrap_or_default()),
        max_count,
        names::reason(body.reason.clone()),
    ))?;
    Ok(BackfillOrder {
        start,
        end,
        parameters,
        max_count,
        dry_run: body.dry_run,
        validate_only: body.validate_only,
        reason,
    })
}
