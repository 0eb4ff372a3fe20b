//! How runs are shown to people.

use watchbell_client::pb::{Attempt, Run, RunState, RunTrigger};

use crate::{
    commands::task_view::parameters_line,
    failure::Failure,
    label::{Labelled as _, label_of},
    name::short_run,
    output::Tint,
    session::Session,
    table::{Field, Table},
    text::plain,
    time::Clock,
};

/// A row for each run.
pub(super) fn table(clock: &Clock, runs: &[Run]) -> Table {
    let mut table = Table::new(&["RUN", "STATE", "BY", "DUE", "TOOK", "ATTEMPT", "MESSAGE"]);
    for run in runs {
        table.row([
            short_run(&run.name).into(),
            state(run),
            label_of::<RunTrigger>(run.trigger).into(),
            clock.show(run.due_time.as_ref()).into(),
            took(clock, run).into(),
            format!("{}/{}", run.attempt, run.max_attempts).into(),
            headline(run).into(),
        ]);
    }
    table
}

/// A row for each run of a backfill: told apart by their slots.
pub(super) fn backfilled(clock: &Clock, runs: &[Run], exist: bool) -> Table {
    let mut table = Table::new(&["NOMINAL TIME", "RUN"]);
    for run in runs {
        let name = if exist {
            short_run(&run.name)
        } else {
            "not queued".to_owned()
        };
        table.row([clock.show(run.nominal_time.as_ref()).into(), name.into()]);
    }
    table
}

/// All of a run but its attempts.
pub(super) fn list(clock: &Clock, run: &Run) -> Result<Table, Failure> {
    let mut list = Table::list();
    list.entry("run", &run.name);
    list.entry("kind", &run.kind);
    list.entry("state", state(run));
    list.entry("reason", &run.reason);
    list.entry("message", &run.message);
    let mut counters: Vec<_> = run.counters.iter().collect();
    counters.sort();
    let counters = counters
        .iter()
        .map(|(name, count)| format!("{name} {count}"));
    list.entry("counted", counters.collect::<Vec<_>>().join(", "));
    if run.max_attempts > 0 {
        list.entry(
            "attempt",
            format!("{} of {}", run.attempt, run.max_attempts),
        );
    }
    if let Some(progress) = &run.progress {
        let total = match progress.total {
            0 => String::new(),
            total => format!(" of {total}"),
        };
        let (done, message) = (progress.done, &progress.message);
        list.entry("progress", format!("{done}{total} {message}"));
    }
    list.entry("queued by", queued_by(run));
    list.entry("repeats", &run.retry_of);
    list.entry("dry run", if run.dry_run { "yes" } else { "" });
    list.entry("priority", run.priority.to_string());
    if let Some(coalesced) = &run.coalesced {
        let since = clock.show(coalesced.first_nominal_time.as_ref());
        let told = format!("{} missed slots since {since}", coalesced.count);
        list.entry("stands for", told);
    }
    for (label, time) in [
        ("nominal", &run.nominal_time),
        ("due", &run.due_time),
        ("queued", &run.queue_time),
        ("must start by", &run.start_deadline_time),
        ("started", &run.start_time),
        ("next attempt", &run.retry_time),
        ("finished", &run.finish_time),
    ] {
        list.entry(label, clock.show(time.as_ref()));
    }
    list.entry("took", took(clock, run));
    list.entry("replica", &run.replica);
    if let Some(cancellation) = &run.cancellation {
        let when = clock.show(cancellation.request_time.as_ref());
        let (who, why) = (&cancellation.principal, &cancellation.reason);
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {why}")
        };
        list.entry("asked to stop", format!("{when} by {who}{why}"));
    }
    if let Some(parameters) = &run.parameters {
        list.entry("parameters", parameters_line(parameters)?);
    }
    Ok(list)
}

/// A row for each attempt.
pub(super) fn attempts(clock: &Clock, attempts: &[Attempt]) -> Table {
    let mut table = Table::new(&["ATTEMPT", "STARTED", "TOOK", "REPLICA", "REASON", "MESSAGE"]);
    for attempt in attempts {
        let took = clock.between(attempt.start_time.as_ref(), attempt.finish_time.as_ref());
        table.row([
            attempt.attempt.to_string().into(),
            clock.show(attempt.start_time.as_ref()).into(),
            took.into(),
            (&attempt.replica).into(),
            Field::tinted(&attempt.reason, Tint::Warning),
            (&attempt.message).into(),
        ]);
    }
    table
}

/// Such as `backup-daily/0197… succeeded after 3 s: copied 3 files`.
pub(super) fn one_line(session: &Session, run: &Run) -> String {
    let state = state(run);
    let mut line = format!(
        "{} {}",
        plain(&short_run(&run.name)),
        session.output.paint(state.text(), state.tint())
    );
    if run.finish_time.is_some() && run.start_time.is_some() {
        line.push_str(&format!(" after {}", took(&session.clock, run)));
    }
    let told = headline(run);
    if !told.is_empty() {
        line.push_str(&format!(": {}", plain(&told)));
    }
    line
}

/// Where the run stands; a state that this build does not know is not taken for another.
pub(super) fn state(run: &Run) -> Field {
    match RunState::try_from(run.state) {
        Ok(state) => Field::state(state, run.outcome()),
        Err(_) => Field::from(label_of::<RunState>(run.state)),
    }
}

fn headline(run: &Run) -> String {
    if !run.message.is_empty() {
        return run.message.clone();
    }
    if let Some(progress) = &run.progress {
        return progress.message.clone();
    }
    run.reason.clone()
}

fn queued_by(run: &Run) -> String {
    let mut told = run.trigger().label().to_owned();
    if !run.principal.is_empty() && run.principal != told {
        told.push_str(&format!(", {}", run.principal));
    }
    if !run.request_reason.is_empty() {
        told.push_str(&format!(": {}", run.request_reason));
    }
    told
}

fn took(clock: &Clock, run: &Run) -> String {
    clock.between(run.start_time.as_ref(), run.finish_time.as_ref())
}
