//! How tasks are shown to people.

use watchbell_client::{
    json,
    pb::{
        CatchUpMode, Execution, OverlapPolicy, Pause, RunOutcome, RunState, Schedule, Task,
        TaskOrigin,
    },
};

use crate::{
    commands::pause::{describe, next_due, warn_of_all},
    failure::Failure,
    label::{Labelled as _, label_of},
    name::short,
    output::Tint,
    session::Session,
    table::{Field, Table},
    time::{Clock, show_length},
};

/// A row for each task.
pub(super) fn table(clock: &Clock, tasks: &[Task], all: Option<&Pause>) -> Table {
    // Where nobody owns anything, the column would be empty.
    let are_owned = tasks.iter().any(|task| !task.owner.is_empty());
    let mut header = vec!["TASK", "KIND", "SCHEDULE", "NEXT DUE", "LAST RUN"];
    if are_owned {
        header.push("OWNER");
    }
    header.push("DESCRIPTION");
    let mut table = Table::new(&header);
    for task in tasks {
        let next = next_due(clock, task.next_due_time.as_ref(), task.pause.as_ref(), all);
        let icon = match task.icon.as_str() {
            "" => String::new(),
            icon => format!("{icon} "),
        };
        let description = format!("{icon}{}", task.description);
        let (name, kind) = (short(&task.name).into(), (&task.kind).into());
        let when = schedule(clock, task.schedule.as_ref()).into();
        let last = last_run(task);
        match are_owned {
            true => table.row([
                name,
                kind,
                when,
                next,
                last,
                (&task.owner).into(),
                description.into(),
            ]),
            false => table.row([name, kind, when, next, last, description.into()]),
        }
    }
    table
}

/// All of a task.
pub(super) fn show(session: &Session, task: &Task, all: Option<&Pause>) -> Result<(), Failure> {
    warn_of_all(session, all)?;
    session.output.table(list(&session.clock, task, all)?)?;
    if !task.overrides.is_empty() {
        let mut table = Table::new(&["CHANGED FIELD", "VALUE", "BY", "WHEN", "WHY"]);
        for change in &task.overrides {
            table.row([
                (&change.field).into(),
                (&change.value_json).into(),
                (&change.principal).into(),
                session.clock.show(change.change_time.as_ref()).into(),
                (&change.reason).into(),
            ]);
        }
        session.output.line("")?;
        session.output.table(table)?;
    }
    Ok(())
}

fn list(clock: &Clock, task: &Task, all: Option<&Pause>) -> Result<Table, Failure> {
    let mut list = Table::list();
    list.entry("task", &task.name);
    list.entry(
        "description",
        format!("{} {}", task.icon, task.description).trim(),
    );
    list.entry("category", &task.category);
    list.entry("owner", &task.owner);
    list.entry("kind", &task.kind);
    list.entry("origin", label_of::<TaskOrigin>(task.origin));
    if let Some(pause) = &task.pause {
        list.entry(
            "paused",
            Field::tinted(&describe(clock, pause), Tint::Warning),
        );
    }
    list.entry("schedule", schedule(clock, task.schedule.as_ref()));
    list.entry("next nominal", clock.show(task.next_nominal_time.as_ref()));
    let (due, own) = (task.next_due_time.as_ref(), task.pause.as_ref());
    list.entry("next due", next_due(clock, due, own, all));
    list.entry("last run", last_run(task));
    list.entry("last success", clock.show(task.last_success_time.as_ref()));
    list.entry("last failure", clock.show(task.last_failure_time.as_ref()));
    if task.consecutive_failures > 0 {
        let told = format!("{} in a row", task.consecutive_failures);
        list.entry("failures", Field::tinted(&told, Tint::Bad));
    }
    if task.failing_since_time.is_some() {
        let since = clock.show(task.failing_since_time.as_ref());
        list.entry("failing since", Field::tinted(&since, Tint::Bad));
    }
    if let Some(parameters) = &task.parameters {
        list.entry("parameters", parameters_line(parameters)?);
    }
    policies(&mut list, task);
    list.entry("revision", task.revision.to_string());
    list.entry("etag", &task.etag);
    list.entry("created", clock.show(task.create_time.as_ref()));
    list.entry("changed", clock.show(task.update_time.as_ref()));
    Ok(list)
}

fn policies(list: &mut Table, task: &Task) {
    if let Some(priority) = task.priority {
        list.entry("priority", priority.to_string());
    }
    list.entry("overlap", label_of::<OverlapPolicy>(task.overlap));
    if let Some(catch_up) = &task.catch_up {
        let told = match catch_up.mode() {
            CatchUpMode::All => format!(
                "all, {} back, at most {}",
                show_length(catch_up.window.as_ref()),
                catch_up.max_count
            ),
            other @ (CatchUpMode::Unspecified | CatchUpMode::Latest | CatchUpMode::None) => {
                other.label().to_owned()
            }
        };
        list.entry("catch-up", told);
    }
    if let Some(retry) = &task.retry {
        let told = if retry.max_attempts <= 1 {
            "none: one attempt".to_owned()
        } else {
            format!(
                "{} attempts, waits from {} to {}",
                retry.max_attempts,
                show_length(retry.initial_backoff.as_ref()),
                show_length(retry.max_backoff.as_ref())
            )
        };
        list.entry("retry", told);
    }
    list.entry("execution", label_of::<Execution>(task.execution));
    for (label, length) in [
        ("late after", &task.late_after),
        ("start deadline", &task.start_deadline),
        ("attempt timeout", &task.attempt_timeout),
        ("progress deadline", &task.progress_deadline),
        ("cancel grace", &task.cancel_grace),
        ("stale after", &task.stale_after),
    ] {
        list.entry(label, show_length(length.as_ref()));
    }
    if !task.counts_as_success.is_empty() {
        let outcomes: Vec<&str> = task
            .counts_as_success
            .iter()
            .map(|outcome| label_of::<RunOutcome>(*outcome))
            .collect();
        list.entry("counts as success", outcomes.join(", "));
    }
    if let Some(history) = &task.history {
        let keep_for = show_length(history.keep_for.as_ref());
        list.entry(
            "history",
            format!("{keep_for}, {} runs", history.keep_count),
        );
    }
}

/// Such as `0 2 * * * Europe/Paris, spread 5 min`.
pub(super) fn schedule(clock: &Clock, schedule: Option<&Schedule>) -> String {
    let Some(schedule) = schedule else {
        return "by hand".to_owned();
    };
    let mut told = if !schedule.cron.is_empty() {
        schedule.cron.clone()
    } else if schedule.every.is_some() {
        format!("every {}", show_length(schedule.every.as_ref()))
    } else if schedule.at.is_some() {
        format!("once, {}", clock.show(schedule.at.as_ref()))
    } else {
        return "by hand".to_owned();
    };
    if !schedule.time_zone.is_empty() && !schedule.cron.is_empty() {
        told.push_str(&format!(" {}", schedule.time_zone));
    }
    let zero = |length: &prost_types::Duration| length.seconds == 0 && length.nanos == 0;
    for (label, length) in [("phase", &schedule.phase), ("spread", &schedule.spread)] {
        if let Some(length) = length.as_ref().filter(|length| !zero(length)) {
            told.push_str(&format!(", {label} {}", show_length(Some(length))));
        }
    }
    for (label, time) in [
        ("from", &schedule.start_time),
        ("until", &schedule.end_time),
    ] {
        if time.is_some() {
            told.push_str(&format!(", {label} {}", clock.show(time.as_ref())));
        }
    }
    told
}

fn last_run(task: &Task) -> Field {
    let Some(last) = &task.last_run else {
        return Field::from("never ran");
    };
    match (
        RunState::try_from(last.state),
        RunOutcome::try_from(last.outcome),
    ) {
        (Ok(state), Ok(outcome)) => Field::state(state, outcome),
        _ => Field::from("unknown"),
    }
}

/// A Struct alone has no descriptor here, so it travels in a task.
pub(super) fn parameters_line(parameters: &prost_types::Struct) -> Result<String, Failure> {
    let task = Task {
        parameters: Some(parameters.clone()),
        ..Task::default()
    };
    let line = json::to_line(&task)?;
    let object = line.strip_prefix("{\"parameters\":");
    let object = object.and_then(|object| object.strip_suffix('}'));
    Ok(object.unwrap_or(&line).to_owned())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_schedule_is_told_in_a_line() {
        let clock = Clock {
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let cron = Schedule {
            cron: "0 2 * * *".into(),
            time_zone: "Europe/Paris".into(),
            spread: seconds(300),
            ..Schedule::default()
        };
        assert_eq!(
            schedule(&clock, Some(&cron)),
            "0 2 * * * Europe/Paris, spread 5 min"
        );
        let every = Schedule {
            every: seconds(900),
            spread: seconds(0),
            ..Schedule::default()
        };
        assert_eq!(schedule(&clock, Some(&every)), "every 15 min");
        assert_eq!(schedule(&clock, None), "by hand");
    }

    #[test]
    fn parameters_are_shown_as_json() {
        let value = prost_types::Value {
            kind: Some(prost_types::value::Kind::BoolValue(true)),
        };
        let parameters = prost_types::Struct {
            fields: [("verify".to_owned(), value)].into(),
        };
        assert_eq!(parameters_line(&parameters).unwrap(), r#"{"verify":true}"#);
    }
}
