//! Lays flags and files over a task, and tells which fields that touches.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use serde_json::{Map, Value};
use watchbell_client::{
    json::{self, JsonError},
    pb::{CatchUp, HistoryPolicy, RetryPolicy, Schedule, Task},
};

use crate::{
    args::{PolicyArgs, SpecArgs, TimingArgs},
    failure::Failure,
    session::Session,
    time::{Length, Moment},
};

/// Fields that say which task it is or what became of it, so that no update names them.
const OUTPUT_ONLY: &[&str] = &[
    "name",
    "uid",
    "origin",
    "overrides",
    "revision",
    "etag",
    "create_time",
    "update_time",
    "pause",
    "decided_until_time",
    "next_nominal_time",
    "next_due_time",
    "last_run",
    "last_success_time",
    "last_failure_time",
    "consecutive_failures",
];

/// A task from a file, and the fields that the file names.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) task: Task,
    pub(super) paths: Vec<String>,
}

/// Reads instants: on the clock of a zone, or of this machine.
type ReadInstant<'a> =
    dyn Fn(Option<&Moment>, Option<&str>) -> Result<Option<prost_types::Timestamp>, Failure> + 'a;

impl Draft {
    /// From a file with a task as JSON, as `task show --output json` writes it or without its
    /// envelope.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = read_text(path)?;
        Self::parse(&text)
            .map_err(|error| Failure::Usage(format!("{} holds no task: {error}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, JsonError> {
        let mut object: Map<String, Value> = serde_json::from_str(text)?;
        if object.len() == 1
            && let Some(Value::Object(inner)) = object.remove("task")
        {
            object = inner;
        } else if object.is_empty() {
            object = serde_json::from_str(text)?;
        }
        let text = serde_json::to_string(&object)?;
        let mut paths = json::field_paths::<Task>(&text)?;
        paths.retain(|path| !OUTPUT_ONLY.contains(&path.as_str()));
        Ok(Self {
            task: json::from_text(&text)?,
            paths,
        })
    }

    /// Lays the flags over it.
    pub(super) fn lay(&mut self, session: &Session, spec: &SpecArgs) -> Result<(), Failure> {
        self.lay_with(spec, &|moment, zone| session.instant(moment, zone))
    }

    fn lay_with(&mut self, spec: &SpecArgs, instant: &ReadInstant<'_>) -> Result<(), Failure> {
        let task = &mut self.task;
        let mut touched = Vec::new();
        for (path, flag, field) in [
            ("description", &spec.description, &mut task.description),
            ("category", &spec.category, &mut task.category),
            ("icon", &spec.icon, &mut task.icon),
        ] {
            if let Some(value) = flag {
                field.clone_from(value);
                touched.push(path);
            }
        }
        if spec.parameters.is_some() {
            task.parameters = parameters(spec.parameters.as_deref())?;
            touched.push("parameters");
        }
        if spec.priority.is_some() {
            task.priority = spec.priority;
            touched.push("priority");
        }
        if touches_timing(&spec.timing) {
            let schedule = task.schedule.get_or_insert_default();
            lay_timing(schedule, &spec.timing, instant)?;
            touched.push("schedule");
        }
        lay_policy(task, &spec.policy, &mut touched);
        for path in touched {
            if !self.paths.iter().any(|known| known == path) {
                self.paths.push(path.to_owned());
            }
        }
        Ok(())
    }
}

/// Whether the flags change a part of a field that has parts, which are only replaced together.
pub(super) fn touches_parts(spec: &SpecArgs) -> bool {
    let policy = &spec.policy;
    touches_timing(&spec.timing)
        || touches_catch_up(policy)
        || touches_retry(policy)
        || touches_history(policy)
}

/// The schedule that the flags say, for a preview.
pub(super) fn schedule(session: &Session, timing: &TimingArgs) -> Result<Schedule, Failure> {
    let mut schedule = Schedule::default();
    lay_timing(&mut schedule, timing, &|moment, zone| {
        session.instant(moment, zone)
    })?;
    Ok(schedule)
}

/// The JSON object of `--parameters`, or of the file that it names behind an `@`.
pub(super) fn parameters(flag: Option<&str>) -> Result<Option<prost_types::Struct>, Failure> {
    let Some(flag) = flag else {
        return Ok(None);
    };
    let text = match flag.strip_prefix('@') {
        Some(path) => read_text(Path::new(path))?,
        None => flag.to_owned(),
    };
    let object: Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
        Failure::Usage(format!(
            "--parameters is no JSON object such as `{{\"keep\": 3}}`: {error}"
        ))
    })?;
    // A Struct alone has no descriptor here, so it travels in a task.
    let task: Task = json::from_text(&serde_json::json!({ "parameters": object }).to_string())?;
    Ok(task.parameters)
}

fn lay_timing(
    schedule: &mut Schedule,
    timing: &TimingArgs,
    instant: &ReadInstant<'_>,
) -> Result<(), Failure> {
    if timing.cron.is_some() || timing.every.is_some() || timing.at.is_some() {
        // One way of saying when takes the place of another.
        schedule.cron.clear();
        schedule.every = None;
        schedule.phase = None;
        schedule.at = None;
    }
    if let Some(cron) = &timing.cron {
        schedule.cron.clone_from(cron);
    }
    if let Some(zone) = &timing.time_zone {
        schedule.time_zone.clone_from(zone);
    }
    // The zone that was set before this command counts where none is given.
    let zone = Some(schedule.time_zone.clone()).filter(|zone| !zone.is_empty());
    for (flag, field) in [
        (timing.every, &mut schedule.every),
        (timing.phase, &mut schedule.phase),
        (timing.spread, &mut schedule.spread),
    ] {
        set_length(flag, field);
    }
    for (flag, field) in [
        (&timing.at, &mut schedule.at),
        (&timing.start, &mut schedule.start_time),
        (&timing.end, &mut schedule.end_time),
    ] {
        if flag.is_some() {
            *field = instant(flag.as_ref(), zone.as_deref())?;
        }
    }
    Ok(())
}

fn lay_policy(task: &mut Task, policy: &PolicyArgs, touched: &mut Vec<&'static str>) {
    if let Some(overlap) = policy.overlap {
        task.set_overlap(overlap);
        touched.push("overlap");
    }
    if let Some(execution) = policy.execution {
        task.set_execution(execution);
        touched.push("execution");
    }
    for (path, flag, field) in [
        ("late_after", policy.late_after, &mut task.late_after),
        (
            "start_deadline",
            policy.start_deadline,
            &mut task.start_deadline,
        ),
        (
            "attempt_timeout",
            policy.attempt_timeout,
            &mut task.attempt_timeout,
        ),
        (
            "progress_deadline",
            policy.progress_deadline,
            &mut task.progress_deadline,
        ),
        ("cancel_grace", policy.cancel_grace, &mut task.cancel_grace),
    ] {
        if flag.is_some() {
            set_length(flag, field);
            touched.push(path);
        }
    }
    if touches_catch_up(policy) {
        lay_catch_up(task.catch_up.get_or_insert_default(), policy);
        touched.push("catch_up");
    }
    if touches_retry(policy) {
        lay_retry(task.retry.get_or_insert_default(), policy);
        touched.push("retry");
    }
    if touches_history(policy) {
        lay_history(task.history.get_or_insert_default(), policy);
        touched.push("history");
    }
}

fn lay_catch_up(catch_up: &mut CatchUp, policy: &PolicyArgs) {
    if let Some(mode) = policy.catch_up {
        // The bounds are those of ALL; they go with it.
        *catch_up = CatchUp::default();
        catch_up.set_mode(mode);
    }
    set_length(policy.catch_up_window, &mut catch_up.window);
    if let Some(max_count) = policy.catch_up_max {
        catch_up.max_count = max_count;
    }
}

fn lay_retry(retry: &mut RetryPolicy, policy: &PolicyArgs) {
    if let Some(max_attempts) = policy.max_attempts {
        retry.max_attempts = max_attempts;
    }
    set_length(policy.initial_backoff, &mut retry.initial_backoff);
    set_length(policy.max_backoff, &mut retry.max_backoff);
}

fn lay_history(history: &mut HistoryPolicy, policy: &PolicyArgs) {
    set_length(policy.keep_for, &mut history.keep_for);
    if let Some(keep_count) = policy.keep_count {
        history.keep_count = keep_count;
    }
}

fn set_length(flag: Option<Length>, field: &mut Option<prost_types::Duration>) {
    if let Some(length) = flag {
        *field = length.to_proto();
    }
}

fn touches_timing(timing: &TimingArgs) -> bool {
    timing.cron.is_some()
        || timing.every.is_some()
        || timing.phase.is_some()
        || timing.at.is_some()
        || timing.time_zone.is_some()
        || timing.spread.is_some()
        || timing.start.is_some()
        || timing.end.is_some()
}

fn touches_catch_up(policy: &PolicyArgs) -> bool {
    policy.catch_up.is_some() || policy.catch_up_window.is_some() || policy.catch_up_max.is_some()
}

fn touches_retry(policy: &PolicyArgs) -> bool {
    policy.max_attempts.is_some()
        || policy.initial_backoff.is_some()
        || policy.max_backoff.is_some()
}

fn touches_history(policy: &PolicyArgs) -> bool {
    policy.keep_for.is_some() || policy.keep_count.is_some()
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    read.map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[path = "task_spec_tests.rs"]
mod tests;
