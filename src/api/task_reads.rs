//! What `TaskService` shows: lists, previews, the ledger and figures.

use jiff::Timestamp;
use tonic::Response;

use super::{Api, Reply, convert, convert::time, names, page};
use crate::{
    domain::{
        TaskName, bounds,
        schedule::{Schedule, preview},
        task::Pause,
    },
    error::{Error, Result, all},
    pb,
    store::{Page, PageOf, TaskFilter},
};

const PREVIEW_DEFAULT: u64 = 10;
const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

impl Api {
    pub(super) async fn answer_list_tasks(
        &self,
        request: pb::ListTasksRequest,
    ) -> Reply<pb::ListTasksResponse> {
        let size = page::default_size(request.page_size)?;
        names::without_nul("kind", &request.kind)?;
        names::without_nul("category", &request.category)?;
        names::without_nul("owner", &request.owner)?;
        let flags = format!("{:?} {:?}", request.paused, request.failing);
        let mut asked = vec![
            "ListTasks",
            request.kind.as_str(),
            request.category.as_str(),
            flags.as_str(),
        ];
        // Where it is not asked for, a token is that of a version before.
        if !request.owner.is_empty() {
            asked.push(request.owner.as_str());
        }
        let scope = page::scope(&asked);
        let filter = TaskFilter {
            kind: (!request.kind.is_empty()).then(|| request.kind.clone()),
            category: (!request.category.is_empty()).then(|| request.category.clone()),
            owner: (!request.owner.is_empty()).then(|| request.owner.clone()),
            paused: request.paused,
            failing: request.failing,
        };
        let full = request.view() == pb::View::Full;
        let encode = if full {
            convert::task
        } else {
            convert::task_basic
        };
        let after: Option<TaskName> = page::key(&scope, &request.page_token)?
            .map(|name| page::read(&name))
            .transpose()?;
        let after = after.map(|name| name.to_string());
        let wanted = Page { size, after };
        let PageOf { items, next } = self.engine.store().tasks(&filter, &wanted).await?;
        let mut tasks: Vec<pb::Task> = items.iter().map(encode).collect();
        let kept = page::fit(&tasks);
        let more = kept < tasks.len() || next.is_some();
        tasks.truncate(kept);
        let last = kept.checked_sub(1).and_then(|index| items.get(index));
        let last = last.map(|task| task.name.as_str());
        // Of a page that was not cut, what was looked at may go on behind what was found.
        let last = next.as_deref().filter(|_| kept == items.len()).or(last);
        let token = last.filter(|_| more).map(|name| page::token(&scope, name));
        Ok(Response::new(pb::ListTasksResponse {
            tasks,
            next_page_token: token.unwrap_or_default(),
        }))
    }

    pub(super) async fn answer_preview_schedule(
        &self,
        request: pb::PreviewScheduleRequest,
    ) -> Reply<pb::PreviewScheduleResponse> {
        let size = page::size(request.page_size, PREVIEW_DEFAULT)?;
        let span = all((
            time::instant_of("after_time", request.after_time.as_ref()),
            time::instant_of("until_time", request.until_time.as_ref()),
        ));
        let ordered = |(after, until)| {
            bounds::ordered(("after_time", after), ("until_time", until)).map(|()| (after, until))
        };
        let ((schedule, pause), (asked_after, until)) = all((
            self.schedule_to_preview(&request).await,
            span.and_then(ordered),
        ))?;
        let scope = page::scope(&[
            "PreviewSchedule",
            &request.task,
            &format!(
                "{:?} {:?} {:?}",
                request.schedule, request.after_time, request.until_time
            ),
        ]);
        let after = match page::key(&scope, &request.page_token)? {
            Some(key) => page::read(&key)?,
            None => asked_after.unwrap_or_else(|| self.engine.clock().now()),
        };
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let mut fires = preview(&schedule, after, until, limit + 1);
        let more = limit < fires.len();
        fires.truncate(limit);
        for fire in &mut fires {
            let skips = |pause: &&Pause| pause.skips(fire.nominal_at);
            if let Some(pause) = pause.as_ref().filter(skips) {
                let until = pause
                    .until
                    .map_or_else(String::new, |at| format!(" until {at}"));
                fire.reasons.push(format!(
                    "paused by {}{until}: will be skipped",
                    pause.principal
                ));
            }
        }
        let last = fires.last().filter(|_| more);
        let token = last.map(|fire| page::token(&scope, &fire.nominal_at.to_string()));
        Ok(Response::new(pb::PreviewScheduleResponse {
            fires: fires.into_iter().map(convert::fire).collect(),
            next_page_token: token.unwrap_or_default(),
        }))
    }

    pub(super) async fn answer_list_slots(
        &self,
        request: pb::ListSlotsRequest,
    ) -> Reply<pb::ListSlotsResponse> {
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
        // Read before the task is looked for: one that is wrong is so whatever there is.
        page::key(&scope, &request.page_token)?;
        let task = self.engine.store().task(&name).await?;
        let after: Option<Timestamp> = page::key_of(&scope, &[task.id], &request.page_token)?;
        let wanted = Page { size, after };
        let PageOf { items, next } = self
            .engine
            .store()
            .slots(task.id, &outcomes, &wanted)
            .await?;
        let subject = task.resource_name();
        let is_told = self.engine.store().binds_tokens();
        Ok(Response::new(pb::ListSlotsResponse {
            slots: items
                .iter()
                .map(|row| convert::slot(&subject, row))
                .collect(),
            next_page_token: next
                .map(|at| page::token_of(&scope, &[task.id], is_told, &at.to_string()))
                .unwrap_or_default(),
        }))
    }

    pub(super) async fn answer_get_task_statistics(
        &self,
        request: pb::GetTaskStatisticsRequest,
    ) -> Reply<pb::GetTaskStatisticsResponse> {
        let name = names::task("name", &request.name)?;
        let store = self.engine.store();
        let task = store.task(&name).await?;
        let now = self.engine.clock().now();
        let also = &task.spec.counts_as_success;
        let day = store.figures(task.id, also, now - DAY).await?;
        let week = store.figures(task.id, also, now - DAY * 7).await?;
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

    /// The schedule that is given, or that of the task that is named with the pause it is under.
    async fn schedule_to_preview(
        &self,
        request: &pb::PreviewScheduleRequest,
    ) -> Result<(Schedule, Option<Pause>)> {
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
            let schedule = self.engine.schedule_of(&task)?;
            let pause = match task.pause {
                Some(pause) => Some(pause),
                None => self.engine.store().global_pause().await?,
            };
            return Ok((schedule, pause));
        };
        // Spread and H depend on the name; any will do where none is given.
        let name = if id.is_empty() {
            "preview".parse()?
        } else {
            names::task_id("task", id)?
        };
        let spec = convert::schedule_spec(given)?;
        let schedule = Schedule::parse(&spec, name.as_str(), self.engine.default_zone())?;
        Ok((schedule, None))
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
