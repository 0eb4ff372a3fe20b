//! `bellctl status`: for people, and for monitors by its exit code.

use watchbell_client::pb::{
    BackupStatistics, DocumentFigures, GetStatusRequest, Problem, Round, Severity, Status,
};

use crate::{
    args::Format,
    commands::{
        backup_show::{last_good, within_a_day},
        pause::{next_due, warn_of_all},
    },
    exit::Exit,
    failure::Failure,
    label::Labelled as _,
    output::Tint,
    session::Session,
    table::{Field, Table, tint_of},
    text::plain,
    time::{Clock, show_length},
};

/// The overall line, the problems with what to do, the pause, the figures and the rounds.
pub(super) async fn show(session: &Session) -> Result<Exit, Failure> {
    let response = session
        .ask(GetStatusRequest {}, async |request| {
            session.client.scheduler().get_status(request).await
        })
        .await?;
    let status = response.status.clone().unwrap_or_default();
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        show_table(session, &status)?;
    }
    Ok(Exit::of_status(status.overall()))
}

fn show_table(session: &Session, status: &Status) -> Result<(), Failure> {
    let output = &session.output;
    let clock = &session.clock;
    let tint = tint_of(status.overall());
    output.line(&output.paint(&headline(clock, status), tint))?;
    warn_of_all(session, status.pause.as_ref())?;
    if !status.problems.is_empty() {
        output.line("")?;
        output.table(problems(clock, &status.problems))?;
    }
    output.line("")?;
    output.table(figures(clock, status))?;
    if !status.rounds.is_empty() {
        output.line("")?;
        output.table(rounds(clock, &status.rounds))?;
    }
    Ok(())
}

/// What is wrong, and with what.
pub(super) fn told(problem: &Problem) -> String {
    if problem.subject.is_empty() {
        return problem.message.clone();
    }
    format!("{}: {}", problem.subject, problem.message)
}

/// Begins with the severity in capitals, as monitors show the first line.
pub(super) fn headline(clock: &Clock, status: &Status) -> String {
    let severity = match status.overall() {
        Severity::Unspecified => "UNKNOWN".to_owned(),
        known @ (Severity::Ok | Severity::Warning | Severity::Critical) => {
            known.label().to_uppercase()
        }
    };
    let problems = match status.problems.as_slice() {
        [] => "no problems".to_owned(),
        [only] => told(only),
        [first, rest @ ..] => format!("{} (and {} more)", told(first), rest.len()),
    };
    let checked = clock.show(status.check_time.as_ref());
    // To monitors, what stands behind a bar is performance data.
    plain(&format!("{severity}: {problems}; checked {checked}")).replace('|', "¦")
}

fn problems(clock: &Clock, problems: &[Problem]) -> Table {
    let mut table = Table::new(&["SEVERITY", "SUBJECT", "PROBLEM", "SINCE", "WHAT TO DO"]);
    for problem in problems {
        table.row([
            Field::severity(problem.severity()),
            (&problem.subject).into(),
            (&problem.message).into(),
            clock.show(problem.since_time.as_ref()).into(),
            (&problem.action).into(),
        ]);
    }
    table
}

fn figures(clock: &Clock, status: &Status) -> Table {
    let mut list = Table::list();
    let (all, paused, failing) = (
        status.task_count,
        status.paused_task_count,
        status.failing_task_count,
    );
    list.entry(
        "tasks",
        format!("{all}, {paused} paused, {failing} failing"),
    );
    if let Some(runner) = &status.runner {
        list.entry(
            "runs",
            format!(
                "{} of {} running here, {} queued, {} waiting to be retried",
                runner.running_count,
                runner.max_running,
                runner.queued_count,
                runner.retry_wait_count
            ),
        );
        list.entry(
            "oldest queued was due",
            clock.show(runner.oldest_queued_due_time.as_ref()),
        );
    }
    if let Some(scheduler) = &status.scheduler {
        let (due, all) = (scheduler.next_due_time.as_ref(), status.pause.as_ref());
        list.entry("next due", next_due(clock, due, None, all));
        list.entry("last tick", clock.show(scheduler.last_tick_time.as_ref()));
        list.entry(
            "due and undecided",
            format!("{} tasks", scheduler.undecided_count),
        );
    }
    if let Some(database) = &status.database {
        let told = if database.reachable {
            let latency = show_length(database.latency.as_ref());
            Field::from(format!("answers in {latency}"))
        } else {
            Field::tinted("does not answer", Tint::Bad)
        };
        list.entry("database", told);
        list.entry(
            "clock is off by",
            show_length(database.clock_offset.as_ref()),
        );
    }
    if let Some(documents) = &status.documents {
        document_figures(&mut list, documents);
    }
    if let Some(backups) = &status.backups {
        backup_figures(&mut list, clock, backups);
    }
    list
}

fn backup_figures(list: &mut Table, clock: &Clock, figures: &BackupStatistics) {
    list.entry("last good backup", last_good(figures));
    list.entry("backups within 24 h", within_a_day(figures));
    list.entry(
        "restorable as of",
        clock.show(figures.restorable_as_of_time.as_ref()),
    );
}

/// Left out where there is nothing to say, as where nobody keeps documents.
fn document_figures(list: &mut Table, figures: &DocumentFigures) {
    let nothing = DocumentFigures {
        today: figures.today.clone(),
        ..DocumentFigures::default()
    };
    if *figures == nothing {
        return;
    }
    let count = |count: i64| format!("{count} documents");
    list.entry("pending effective", count(figures.pending_effective_count));
    list.entry(
        "scheduled for obsolescence",
        count(figures.scheduled_obsolescence_count),
    );
    let overdue = match figures.overdue_count {
        0 => Tint::Plain,
        _ => Tint::Bad,
    };
    let told = Field::tinted(&count(figures.overdue_count), overdue);
    list.entry("past their day", told);
    list.entry(
        "effective since today",
        count(figures.activated_today_count),
    );
    if 0 < figures.without_content_count {
        list.entry(
            "in force without a file",
            count(figures.without_content_count),
        );
    }
}

fn rounds(clock: &Clock, rounds: &[Round]) -> Table {
    let mut table = Table::new(&["ROUND", "CRON (UTC)", "LAST", "NEXT", "COUNT"]);
    for round in rounds {
        table.row([
            (&round.name).into(),
            (&round.cron).into(),
            clock.show(round.last_ring_time.as_ref()).into(),
            clock.show(round.next_ring_time.as_ref()).into(),
            round.ring_count.to_string().into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn clock() -> Clock {
        Clock {
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        }
    }

    #[test]
    fn the_first_line_tells_a_monitor_all() {
        let problem = Problem {
            message: "backup-daily is late".into(),
            ..Problem::default()
        };
        let status = Status {
            overall: Severity::Critical.into(),
            problems: vec![problem.clone(), problem],
            ..Status::default()
        };
        assert_eq!(
            headline(&clock(), &status),
            "CRITICAL: backup-daily is late (and 1 more); checked -"
        );
        let piped = Status {
            problems: vec![Problem {
                message: "`a | b` has failed".into(),
                ..Problem::default()
            }],
            ..Status::default()
        };
        assert!(!headline(&clock(), &piped).contains('|'));
    }

    #[test]
    fn documents_are_told_of_where_there_are_any() {
        let mut status = Status {
            documents: Some(DocumentFigures::default()),
            ..Status::default()
        };
        let shown = figures(&clock(), &status).render(false, false);
        assert!(!shown.contains("past their day"), "{shown}");
        status.documents = Some(DocumentFigures {
            overdue_count: 2,
            ..DocumentFigures::default()
        });
        let shown = figures(&clock(), &status).render(false, false);
        for line in ["pending effective: ", "past their day: "] {
            assert!(shown.contains(line), "{shown}");
        }
        assert!(shown.contains("2 documents"), "{shown}");
    }

    #[test]
    fn a_status_without_a_severity_is_unknown_and_not_good() {
        let line = headline(&clock(), &Status::default());
        assert!(line.starts_with("UNKNOWN"), "{line}");
    }
}
