//! Lays flags and files over a task, and tells which fields that touches.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use serde_json::{Map, Value};
use watchbell_client::{
    json::{self, JsonError},
    pb::{Schedule, Task},
};

use crate::{
    args::{SpecArgs, TimingArgs},
    commands::task_flags::{ReadInstant, lay_policy, lay_timing, touches_timing},
    failure::Failure,
    session::Session,
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
            ("owner", &spec.owner, &mut task.owner),
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
    flag.map(object).transpose()?.map(as_struct).transpose()
}

/// The same, with the values of `--param` laid over it.
pub(super) fn values(
    flag: Option<&str>,
    values: &[String],
) -> Result<Option<prost_types::Struct>, Failure> {
    if values.is_empty() {
        return parameters(flag);
    }
    let mut all = flag.map(object).transpose()?.unwrap_or_default();
    for given in values {
        let Some((name, value)) = given.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            // Not shown: it may be a secret.
            let what = "--param is none such as month=2026-10, or key=@FILE".to_owned();
            return Err(Failure::Usage(what));
        };
        let value = match value.strip_prefix('@') {
            Some(path) => {
                let text = read_text(Path::new(path))?;
                text.strip_suffix('\n').unwrap_or(&text).to_owned()
            }
            None => value.to_owned(),
        };
        all.insert(name.to_owned(), Value::String(value));
    }
    as_struct(all).map(Some)
}

fn object(flag: &str) -> Result<Map<String, Value>, Failure> {
    let text = match flag.strip_prefix('@') {
        Some(path) => read_text(Path::new(path))?,
        None => flag.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| {
        Failure::Usage(format!(
            "--parameters is no JSON object such as `{{\"keep\": 3}}`: {error}"
        ))
    })
}

fn as_struct(object: Map<String, Value>) -> Result<prost_types::Struct, Failure> {
    // A Struct alone has no descriptor here, so it travels in a task.
    let task: Task = json::from_text(&serde_json::json!({ "parameters": object }).to_string())?;
    Ok(task.parameters.unwrap_or_default())
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
