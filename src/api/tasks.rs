//! `TaskService`.

use jiff::Timestamp;
use prost::Message as _;
use tonic::{Request, Response};

use super::{
    Api, Reply, convert, convert::time, convert::values, names, page, request::Asked, task_fields,
};
use crate::{
    domain::{
        Run, Task,
        schedule::{Schedule, preview},
    },
    engine::{BackfillOrder, Backfilled, TriggerOrder},
    error::{Error, Result},
    pb::{self, task_service_server::TaskService},
    store::{Page, PageOf, TaskFilter},
};

const BACKFILL_DEFAULT: u32 = 100;
const BACKFILL_MAX: u32 = 100_000;
const PREVIEW_DEFAULT: u64 = 10;
const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

#[tonic::async_trait]
impl TaskService for Api {
    async fn list_tasks(
        &self,
        request: Request<pb::ListTasksRequest>,
    ) -> Reply<pb::ListTasksResponse> {
        let request = request.into_inner();
        let size = page::default_size(request.page_size)?;
        let flags = format!("{:?} {:?}", request.paused, request.failing);
        let scope = page::scope(&["ListTasks", &request.kind, &request.category, &flags]);
        let filter = TaskFilter {
            kind: (!request.kind.is_empty()).then(|| request.kind.clone()),
            paused: request.paused,
            failing: request.failing,
        };
        let full = request.view() == pb::View::Full;
        let encode = if full {
            convert::task
        } else {
            convert::task_basic
        };
        let mut after = page::key(&scope, &request.page_token)?;
        let mut tasks: Vec<pb::Task> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        loop {
            let wanted = Page { size, after };
            let PageOf { items, next } = self.engine.store().tasks(&filter, &wanted).await?;
            after = next;
            for task in &items {
                // Few tasks have many categories: this one is sifted here, not in SQL.
                if request.category.is_empty() || task.spec.category == request.category {
                    tasks.push(encode(task));
                    names.push(task.name.to_string());
                }
            }
            if after.is_none() || size <= tasks.len() as u64 {
                break;
            }
        }
        let kept = page::fit(&tasks).min(usize::try_from(size).unwrap_or(usize::MAX));
        let more = kept < tasks.len() || after.is_some();
        tasks.truncate(kept);
        let last = kept.checked_sub(1).and_then(|index| names.get(index));
        let token = last.filter(|_| more).map(|name| page::token(&scope, name));
        Ok(Response::new(pb::ListTasksResponse {
            tasks,
            next_page_token: token.unwrap_or_default(),
        }))
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
        let name = match (body.task_id.as_str(), task.name.as_str()) {
            ("", "") => {
                return Err(Error::invalid(
                    "task_id",
                    "expected the new task's name, such as backup-daily",
                )
                .into());
            }
            ("", name) => names::task("task.name", name)?,
            (id, "") => names::task_id("task_id", id)?,
            (id, name) if name.strip_prefix("tasks/") == Some(id) => names::task_id("task_id", id)?,
            (_, name) => {
                return Err(Error::invalid(
                    "task_id",
                    format!("it differs from task.name {name:?}"),
                )
                .into());
            }
        };
        let fields = task_fields::populated(task)?;
        let reason = names::reason(body.reason.clone())?;
        let answer = |task: &Task| pb::CreateTaskResponse {
            task: Some(convert::task(task)),
        };
        let encode = |task: &Task| answer(task).encode_to_vec();
        let remember = asked.remember(&encode);
        let task = self
            .engine
            .create_task(
                &asked.who,
                name,
                fields,
                &reason,
                body.validate_only,
                remember,
            )
            .await?;
        Ok(Response::new(answer(&task)))
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
        let name = names::task("task.name", &task.name)?;
        let reason = names::reason(body.reason.clone())?;
        let answer = |task: &Task| pb::UpdateTaskResponse {
            task: Some(convert::task(task)),
        };
        let encode = |task: &Task| answer(task).encode_to_vec();
        let changes = task_fields::changes(task, body.update_mask.as_ref())?;
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
        let task = match updated {
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
                    .await?
            }
            updated => updated?,
        };
        Ok(Response::new(answer(&task)))
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
        self.engine
            .delete_task(&asked.who, &name, etag, asked.remember(&encode))
            .await?;
        Ok(Response::new(pb::DeleteTaskResponse {}))
    }

    async fn pause_task(
        &self,
        request: Request<pb::PauseTaskRequest>,
    ) -> Reply<pb::PauseTaskResponse> {
        let asked = Asked::new("PauseTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let name = names::task("name", &asked.body.name)?;
        let reason = names::reason(asked.body.reason.clone())?;
        let until = time::instant_of("until_time", asked.body.until_time.as_ref())?;
        let answer = |task: &Task| pb::PauseTaskResponse {
            task: Some(convert::task(task)),
        };
        let encode = |task: &Task| answer(task).encode_to_vec();
        let remember = asked.remember(&encode);
        let task = self
            .engine
            .pause_task(&asked.who, &name, &reason, until, remember)
            .await?;
        Ok(Response::new(answer(&task)))
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
        let task = self
            .engine
            .resume_task(&asked.who, &name, asked.remember(&encode))
            .await?;
        Ok(Response::new(answer(&task)))
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
        let task = self
            .engine
            .reset_task(&asked.who, &name, etag, asked.remember(&encode))
            .await?;
        Ok(Response::new(answer(&task)))
    }

    async fn trigger_task(
        &self,
        request: Request<pb::TriggerTaskRequest>,
    ) -> Reply<pb::TriggerTaskResponse> {
        let asked = Asked::new("TriggerTask", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let name = names::task("name", &body.name)?;
        let parameters = body.parameters.clone().unwrap_or_default();
        let order = TriggerOrder {
            parameters: values::from_struct("parameters", parameters)?,
            dry_run: body.dry_run,
            ignore_pause: body.ignore_pause,
            reason: names::reason(body.reason.clone())?,
        };
        let answer = |run: &Run| pb::TriggerTaskResponse {
            run: Some(convert::run(run, Vec::new())),
        };
        let encode = |run: &Run| answer(run).encode_to_vec();
        let run = self
            .engine
            .trigger(&asked.who, &name, order, asked.remember(&encode))
            .await?;
        Ok(Response::new(answer(&run)))
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
        let name = names::task("name", &body.name)?;
        let required = |field: &str, at: Option<&prost_types::Timestamp>| {
            let at = time::instant_of(field, at)?;
            at.ok_or_else(|| Error::invalid(field, "expected an instant"))
        };
        let max_count = match u32::try_from(body.max_count) {
            Ok(0) => BACKFILL_DEFAULT,
            Ok(count) if count <= BACKFILL_MAX => count,
            _ => {
                let what = format!("{} given; expected 1 to {BACKFILL_MAX}", body.max_count);
                return Err(Error::invalid("max_count", what).into());
            }
        };
        let order = BackfillOrder {
            start: required("start_time", body.start_time.as_ref())?,
            end: required("end_time", body.end_time.as_ref())?,
            max_count,
            dry_run: body.dry_run,
            validate_only: body.validate_only,
            reason: names::reason(body.reason.clone())?,
        };
        let answer = |done: &Backfilled| pb::BackfillTaskResponse {
            run_count: i64::try_from(done.count).unwrap_or(i64::MAX),
            runs: done.runs.iter().map(convert::run_basic).collect(),
        };
        let encode = |done: &Backfilled| answer(done).encode_to_vec();
        let done = self
            .engine
            .backfill(&asked.who, &name, order, asked.remember(&encode))
            .await?;
        Ok(Response::new(answer(&done)))
    }

    async fn preview_schedule(
        &self,
        request: Request<pb::PreviewScheduleRequest>,
    ) -> Reply<pb::PreviewScheduleResponse> {
        let request = request.into_inner();
        let size = page::size(request.page_size, PREVIEW_DEFAULT)?;
        let schedule = self.schedule_to_preview(&request).await?;
        let scope = page::scope(&[
            "PreviewSchedule",
            &request.task,
            &format!(
                "{:?} {:?} {:?}",
                request.schedule, request.after_time, request.until_time
            ),
        ]);
        let until = time::instant_of("until_time", request.until_time.as_ref())?;
        let after = match page::key(&scope, &request.page_token)? {
            Some(key) => page::read(&key)?,
            None => time::instant_of("after_time", request.after_time.as_ref())?
                .unwrap_or_else(|| self.engine.clock().now()),
        };
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let mut fires = preview(&schedule, after, until, limit + 1);
        let more = limit < fires.len();
        fires.truncate(limit);
        let last = fires.last().filter(|_| more);
        let token = last.map(|fire| page::token(&scope, &fire.nominal_at.to_string()));
        Ok(Response::new(pb::PreviewScheduleResponse {
            fires: fires.into_iter().map(convert::fire).collect(),
            next_page_token: token.unwrap_or_default(),
        }))
    }

    async fn list_slots(
        &self,
        request: Request<pb::ListSlotsRequest>,
    ) -> Reply<pb::ListSlotsResponse> {
        let request = request.into_inner();
        let name = names::task("task", &request.task)?;
        let size = page::default_size(request.page_size)?;
        let outcomes = request
            .outcomes
            .iter()
            .map(|value| {
                let known = convert::slot_outcome_from(*value);
                known.ok_or_else(|| {
                    Error::invalid("outcomes", "expected outcomes other than UNSPECIFIED")
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let scope = page::scope(&["ListSlots", &request.task, &format!("{outcomes:?}")]);
        let key = page::key(&scope, &request.page_token)?;
        let after: Option<Timestamp> = key.map(|key| page::read(&key)).transpose()?;
        let task = self.engine.store().task(&name).await?;
        let wanted = Page { size, after };
        let PageOf { items, next } = self
            .engine
            .store()
            .slots(task.id, &outcomes, &wanted)
            .await?;
        let subject = task.resource_name();
        Ok(Response::new(pb::ListSlotsResponse {
            slots: items
                .iter()
                .map(|row| convert::slot(&subject, row))
                .collect(),
            next_page_token: next
                .map(|at| page::token(&scope, &at.to_string()))
                .unwrap_or_default(),
        }))
    }

    async fn get_task_statistics(
        &self,
        request: Request<pb::GetTaskStatisticsRequest>,
    ) -> Reply<pb::GetTaskStatisticsResponse> {
        let name = names::task("name", &request.into_inner().name)?;
        let store = self.engine.store();
        let task = store.task(&name).await?;
        let now = self.engine.clock().now();
        let day = store.figures(task.id, now - DAY).await?;
        let week = store.figures(task.id, now - DAY * 7).await?;
        let subject = task.resource_name();
        let last = task.health.last_run.as_ref();
        Ok(Response::new(pb::GetTaskStatisticsResponse {
            last_day: Some(figures(&day)),
            last_week: Some(figures(&week)),
            last_run: last.map(|last| convert::last_run(&subject, last)),
            next_due_time: time::stamp_of(task.next_due_at),
            consecutive_failures: task.health.consecutive_failures,
            name: subject,
        }))
    }
}

impl Api {
    /// The schedule that is given, or that of the task that is named.
    async fn schedule_to_preview(&self, request: &pb::PreviewScheduleRequest) -> Result<Schedule> {
        let id = request.task.strip_prefix("tasks/").unwrap_or(&request.task);
        let Some(given) = &request.schedule else {
            if id.is_empty() {
                return Err(Error::invalid(
                    "schedule",
                    "expected a schedule, or the name of a task",
                ));
            }
            let task = self
                .engine
                .store()
                .task(&names::task_id("task", id)?)
                .await?;
            return self.engine.schedule_of(&task);
        };
        // Spread and H depend on the name; any will do where none is given.
        let name = if id.is_empty() {
            "preview".parse()?
        } else {
            names::task_id("task", id)?
        };
        let spec = convert::schedule_spec(given)?;
        Schedule::parse(&spec, name.as_str(), self.engine.default_zone())
    }
}

fn figures(figures: &crate::store::Figures) -> pb::TaskFigures {
    let [duration_p50, duration_p95, duration_max] = figures
        .durations
        .map_or([None; 3], |spans| spans.map(|span| Some(time::span(span))));
    let [start_latency_p50, start_latency_p95, start_latency_max] = figures
        .latencies
        .map_or([None; 3], |spans| spans.map(|span| Some(time::span(span))));
    pb::TaskFigures {
        runs: figures.runs,
        successes: figures.successes,
        partial: figures.partial,
        failures: figures.failures,
        cancelled: figures.cancelled,
        duration_p50,
        duration_p95,
        duration_max,
        start_latency_p50,
        start_latency_p95,
        start_latency_max,
        sampled: figures.sampled,
    }
}
