//! From a task message and a mask to fields of a `TaskSpec`, by the paths that the layers use.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::convert::{schedule_spec, time, values};
use crate::{
    domain::span,
    error::{Error, Result},
    pb,
};

/// Paths that a mask may name, beside those below `schedule`, `catch_up`, `retry` and `history`.
const FIELDS: [&str; 19] = [
    "description",
    "category",
    "icon",
    "kind",
    "parameters",
    "schedule",
    "priority",
    "overlap",
    "catch_up",
    "late_after",
    "start_deadline",
    "retry",
    "attempt_timeout",
    "progress_deadline",
    "cancel_grace",
    "execution",
    "history",
    "stale_after",
    "counts_as_success",
];
const NESTED: [(&str, &[&str]); 4] = [
    (
        "schedule",
        &[
            "cron",
            "every",
            "phase",
            "at",
            "time_zone",
            "start_time",
            "end_time",
            "spread",
        ],
    ),
    ("catch_up", &["mode", "window", "max_count"]),
    ("retry", &["max_attempts", "initial_backoff", "max_backoff"]),
    ("history", &["keep_for", "keep_count"]),
];

/// The populated fields of a task message.
pub(super) fn populated(task: &pb::Task) -> Result<Map<String, Value>> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    for (name, text) in [
        ("description", &task.description),
        ("category", &task.category),
        ("icon", &task.icon),
        ("kind", &task.kind),
    ] {
        if text.contains('\0') {
            return Err(Error::invalid(name, "it holds a NUL character"));
        }
        if !text.is_empty() {
            put(name, json!(text));
        }
    }
    if let Some(parameters) = task.parameters.clone() {
        put(
            "parameters",
            Value::Object(values::from_struct("parameters", parameters)?),
        );
    }
    if let Some(schedule) = &task.schedule {
        put(
            "schedule",
            serde_json::to_value(schedule_spec(schedule)?).map_err(Error::internal)?,
        );
    }
    if let Some(priority) = task.priority {
        put("priority", json!(small("priority", priority, 0)?));
    }
    let overlap = pb::OverlapPolicy::try_from(task.overlap)
        .map_err(|_| Error::invalid("overlap", "expected SKIP, BUFFER_ONE or ALLOW"))?;
    match overlap {
        pb::OverlapPolicy::Unspecified => {}
        pb::OverlapPolicy::Skip => put("overlap", json!("skip")),
        pb::OverlapPolicy::BufferOne => put("overlap", json!("buffer_one")),
        pb::OverlapPolicy::Allow => put("overlap", json!("allow")),
    }
    let execution = pb::Execution::try_from(task.execution)
        .map_err(|_| Error::invalid("execution", "expected AT_LEAST_ONCE or AT_MOST_ONCE"))?;
    match execution {
        pb::Execution::Unspecified => {}
        pb::Execution::AtLeastOnce => put("execution", json!("at_least_once")),
        pb::Execution::AtMostOnce => put("execution", json!("at_most_once")),
    }
    if let Some(catch_up) = &task.catch_up {
        put("catch_up", Value::Object(self::catch_up(catch_up)?));
    }
    if !task.counts_as_success.is_empty() {
        put("counts_as_success", outcomes(&task.counts_as_success)?);
    }
    if let Some(retry) = &task.retry {
        let mut map = Map::new();
        if retry.max_attempts != 0 {
            map.insert(
                "max_attempts".into(),
                json!(small("retry.max_attempts", retry.max_attempts, 0)?),
            );
        }
        put_span(
            &mut map,
            "retry.initial_backoff",
            retry.initial_backoff.as_ref(),
        )?;
        put_span(&mut map, "retry.max_backoff", retry.max_backoff.as_ref())?;
        put("retry", Value::Object(map));
    }
    if let Some(history) = &task.history {
        let mut map = Map::new();
        put_span(&mut map, "history.keep_for", history.keep_for.as_ref())?;
        if history.keep_count != 0 {
            map.insert(
                "keep_count".into(),
                json!(small("history.keep_count", history.keep_count, 0)?),
            );
        }
        put("history", Value::Object(map));
    }
    for (field, value) in [
        ("late_after", &task.late_after),
        ("start_deadline", &task.start_deadline),
        ("attempt_timeout", &task.attempt_timeout),
        ("progress_deadline", &task.progress_deadline),
        ("cancel_grace", &task.cancel_grace),
        ("stale_after", &task.stale_after),
    ] {
        put_span(&mut fields, field, value.as_ref())?;
    }
    Ok(fields)
}

/// The changes that an update asks for: a value for each path, null to go back to the default.
pub(super) fn changes(
    task: &pb::Task,
    mask: Option<&prost_types::FieldMask>,
) -> Result<BTreeMap<String, Value>> {
    let populated = populated(task)?;
    let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else {
        return Ok(populated.into_iter().collect());
    };
    let mut changes = BTreeMap::new();
    for path in &mask.paths {
        if path == "*" {
            // A kind cannot be changed, so one that is left out stays.
            let unset_kind = task.kind.is_empty();
            for field in FIELDS
                .into_iter()
                .filter(|field| !(unset_kind && *field == "kind"))
            {
                let value = populated.get(field).cloned().unwrap_or(Value::Null);
                changes.insert(field.to_owned(), value);
            }
            continue;
        }
        check_path(path)?;
        let value = match path.split_once('.') {
            None => populated.get(path).cloned(),
            Some((field, part)) => populated
                .get(field)
                .and_then(|whole| whole.get(own_part(field, part)))
                .cloned(),
        };
        changes.insert(own_path(path), value.unwrap_or(Value::Null));
    }
    Ok(changes)
}

/// The path as clients know it.
pub(super) fn pb_path(path: &str) -> String {
    for (own, theirs) in [
        ("schedule.start_at", "schedule.start_time"),
        ("schedule.end_at", "schedule.end_time"),
    ] {
        // Of a task, or of what has a schedule below it, such as a policy.
        if let Some(above) = path.strip_suffix(own)
            && (above.is_empty() || above.ends_with('.'))
        {
            return format!("{above}{theirs}");
        }
    }
    path.to_owned()
}

fn own_path(path: &str) -> String {
    match path.split_once('.') {
        Some((field, part)) => format!("{field}.{}", own_part(field, part)),
        None => path.to_owned(),
    }
}

fn own_part<'a>(field: &str, part: &'a str) -> &'a str {
    match (field, part) {
        ("schedule", "start_time") => "start_at",
        ("schedule", "end_time") => "end_at",
        _ => part,
    }
}

fn check_path(path: &str) -> Result<()> {
    let known = match path.split_once('.') {
        None => FIELDS.contains(&path),
        Some((field, part)) => NESTED
            .iter()
            .any(|(name, parts)| *name == field && parts.contains(&part)),
    };
    if known {
        return Ok(());
    }
    Err(Error::invalid(
        "update_mask",
        format!(
            "{path:?} is no field that can be changed; expected some of {}, or a path into schedule, \
             catch_up, retry or history, or *",
            FIELDS.join(", ")
        ),
    ))
}

fn catch_up(from: &pb::CatchUp) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    let mode = pb::CatchUpMode::try_from(from.mode)
        .map_err(|_| Error::invalid("catch_up.mode", "expected LATEST, ALL or NONE"))?;
    match mode {
        pb::CatchUpMode::Unspecified => {}
        pb::CatchUpMode::Latest => drop(map.insert("mode".into(), json!("latest"))),
        pb::CatchUpMode::All => drop(map.insert("mode".into(), json!("all"))),
        pb::CatchUpMode::None => drop(map.insert("mode".into(), json!("none"))),
    }
    put_span(&mut map, "catch_up.window", from.window.as_ref())?;
    if from.max_count != 0 {
        map.insert(
            "max_count".into(),
            json!(small("catch_up.max_count", from.max_count, 0)?),
        );
    }
    Ok(map)
}

/// Outcomes by their words; which of them may stand here is the specification's to say.
fn outcomes(from: &[i32]) -> Result<Value> {
    let word = |value: &i32| match pb::RunOutcome::try_from(*value) {
        Ok(pb::RunOutcome::Worked) => Ok(json!("worked")),
        Ok(pb::RunOutcome::NothingToDo) => Ok(json!("nothing_to_do")),
        Ok(pb::RunOutcome::Partial) => Ok(json!("partial")),
        Ok(pb::RunOutcome::Unspecified) | Err(_) => Err(Error::invalid(
            "counts_as_success",
            "expected PARTIAL or nothing",
        )),
    };
    from.iter().map(word).collect()
}

fn put_span(
    map: &mut Map<String, Value>,
    field: &str,
    value: Option<&prost_types::Duration>,
) -> Result<()> {
    if let Some(value) = value {
        let name = field.rsplit('.').next().unwrap_or(field);
        let text = span::format(time::duration(field, value)?);
        map.insert(name.to_owned(), Value::String(text));
    }
    Ok(())
}

fn small(field: &str, value: i32, min: i32) -> Result<i32> {
    if value < min {
        return Err(Error::invalid(
            field,
            format!("{value} given; expected at least {min}"),
        ));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str]) -> prost_types::FieldMask {
        prost_types::FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_mask_says_what_changes_and_what_goes_back_to_its_default() {
        let task = pb::Task {
            priority: Some(7),
            description: "not in the mask".into(),
            ..pb::Task::default()
        };
        let changes = changes(&task, Some(&mask(&["priority", "start_deadline"]))).unwrap();
        assert_eq!(changes["priority"], json!(7));
        assert_eq!(changes["start_deadline"], Value::Null);
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn a_path_that_cannot_be_changed_is_named() {
        for path in ["etag", "schedule.crom", "last_run", "state"] {
            let error = changes(&pb::Task::default(), Some(&mask(&[path]))).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
