//! From a task message and a mask to fields of a `TaskSpec`, by the paths that the layers use.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    convert::{schedule_spec, time, values},
    names::without_nul,
};
use crate::{
    domain::span,
    error::{Error, Faults, Result, all, each},
    pb,
};

/// Paths that a mask may name, beside those below `schedule`, `catch_up`, `retry` and `history`.
const FIELDS: [&str; 20] = [
    "description",
    "category",
    "owner",
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
///
/// # Errors
/// [`Error::Invalid`] or [`Error::Several`], for each that is wrong.
pub(super) fn populated(task: &pb::Task) -> Result<Map<String, Value>> {
    let (fields, faults) = read(task)?;
    faults.done_with(Some(fields))
}

/// The populated fields of a task message that can be read, and what is wrong with the others.
pub(super) fn read(task: &pb::Task) -> Result<(Map<String, Value>, Faults)> {
    let mut fields = Map::new();
    let mut faults = Faults::default();
    let mut put = |name: &str, read: Result<Option<Value>>| -> Result<()> {
        let value = faults.take(read)?.flatten();
        fields.extend(value.map(|value| (name.to_owned(), value)));
        Ok(())
    };
    for (name, given) in [
        ("description", &task.description),
        ("category", &task.category),
        ("owner", &task.owner),
        ("icon", &task.icon),
        ("kind", &task.kind),
    ] {
        put(name, text(name, given))?;
    }
    if let Some(parameters) = task.parameters.clone() {
        let parameters = values::from_struct("parameters", parameters);
        put("parameters", parameters.map(|map| Some(Value::Object(map))))?;
    }
    if let Some(schedule) = &task.schedule {
        let written = |spec| serde_json::to_value(spec).map_err(Error::internal);
        put(
            "schedule",
            schedule_spec(schedule).and_then(written).map(Some),
        )?;
    }
    if let Some(priority) = task.priority {
        put("priority", small("priority", priority, 0).map(Some))?;
    }
    put("overlap", overlap(task.overlap))?;
    put("execution", execution(task.execution))?;
    if let Some(catch_up) = &task.catch_up {
        put("catch_up", self::catch_up(catch_up).map(Some))?;
    }
    if !task.counts_as_success.is_empty() {
        put(
            "counts_as_success",
            outcomes(&task.counts_as_success).map(Some),
        )?;
    }
    if let Some(retry) = &task.retry {
        let parts = parts([
            (
                "max_attempts",
                set("retry.max_attempts", retry.max_attempts),
            ),
            (
                "initial_backoff",
                spanned("retry.initial_backoff", retry.initial_backoff),
            ),
            (
                "max_backoff",
                spanned("retry.max_backoff", retry.max_backoff),
            ),
        ]);
        put("retry", parts.map(Some))?;
    }
    if let Some(history) = &task.history {
        let parts = parts([
            ("keep_for", spanned("history.keep_for", history.keep_for)),
            ("keep_count", set("history.keep_count", history.keep_count)),
        ]);
        put("history", parts.map(Some))?;
    }
    for (field, given) in [
        ("late_after", task.late_after),
        ("start_deadline", task.start_deadline),
        ("attempt_timeout", task.attempt_timeout),
        ("progress_deadline", task.progress_deadline),
        ("cancel_grace", task.cancel_grace),
        ("stale_after", task.stale_after),
    ] {
        put(field, spanned(field, given))?;
    }
    Ok((fields, faults))
}

/// The changes that an update asks for: a value for each path, null to go back to the default.
pub(super) fn changes(
    task: &pb::Task,
    mask: Option<&prost_types::FieldMask>,
) -> Result<BTreeMap<String, Value>> {
    let mask = mask.filter(|mask| !mask.paths.is_empty());
    let paths = mask.map_or(&[][..], |mask| &mask.paths);
    let known = each(
        paths
            .iter()
            .filter(|path| *path != "*")
            .map(|path| check_path(path)),
    );
    let (populated, _) = all((populated(task), known))?;
    if mask.is_none() {
        return Ok(populated.into_iter().collect());
    }
    let mut changes = BTreeMap::new();
    for path in paths {
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

fn text(field: &str, given: &str) -> Result<Option<Value>> {
    without_nul(field, given)?;
    Ok((!given.is_empty()).then(|| json!(given)))
}

fn overlap(from: i32) -> Result<Option<Value>> {
    let overlap = pb::OverlapPolicy::try_from(from)
        .map_err(|_| Error::invalid("overlap", "expected SKIP, BUFFER_ONE or ALLOW"))?;
    Ok(match overlap {
        pb::OverlapPolicy::Unspecified => None,
        pb::OverlapPolicy::Skip => Some(json!("skip")),
        pb::OverlapPolicy::BufferOne => Some(json!("buffer_one")),
        pb::OverlapPolicy::Allow => Some(json!("allow")),
    })
}

fn execution(from: i32) -> Result<Option<Value>> {
    let execution = pb::Execution::try_from(from)
        .map_err(|_| Error::invalid("execution", "expected AT_LEAST_ONCE or AT_MOST_ONCE"))?;
    Ok(match execution {
        pb::Execution::Unspecified => None,
        pb::Execution::AtLeastOnce => Some(json!("at_least_once")),
        pb::Execution::AtMostOnce => Some(json!("at_most_once")),
    })
}

fn catch_up(from: &pb::CatchUp) -> Result<Value> {
    parts([
        ("mode", catch_up_mode(from.mode)),
        ("window", spanned("catch_up.window", from.window)),
        ("max_count", set("catch_up.max_count", from.max_count)),
    ])
}

fn catch_up_mode(from: i32) -> Result<Option<Value>> {
    let mode = pb::CatchUpMode::try_from(from)
        .map_err(|_| Error::invalid("catch_up.mode", "expected LATEST, ALL or NONE"))?;
    Ok(match mode {
        pb::CatchUpMode::Unspecified => None,
        pb::CatchUpMode::Latest => Some(json!("latest")),
        pb::CatchUpMode::All => Some(json!("all")),
        pb::CatchUpMode::None => Some(json!("none")),
    })
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
    each(from.iter().map(word)).map(Value::Array)
}

/// A field's own fields, those that are given.
fn parts<const N: usize>(read: [(&str, Result<Option<Value>>); N]) -> Result<Value> {
    let mut map = Map::new();
    let mut faults = Faults::default();
    for (name, read) in read {
        let value = faults.take(read)?.flatten();
        map.extend(value.map(|value| (name.to_owned(), value)));
    }
    faults.done_with(Some(Value::Object(map)))
}

fn spanned(field: &str, given: Option<prost_types::Duration>) -> Result<Option<Value>> {
    let span = given
        .map(|given| time::duration(field, &given))
        .transpose()?;
    Ok(span.map(|span| Value::String(span::format(span))))
}

/// A number of which 0 says that none is given.
fn set(field: &str, value: i32) -> Result<Option<Value>> {
    match value {
        0 => Ok(None),
        value => small(field, value, 0).map(Some),
    }
}

fn small(field: &str, value: i32, min: i32) -> Result<Value> {
    if value < min {
        return Err(Error::invalid(
            field,
            format!("{value} given; expected at least {min}"),
        ));
    }
    Ok(json!(value))
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
