//! `bellctl status --watch`: follows the status.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, pin_mut};
use watchbell_client::{
    pb::{GetStatusResponse, Problem, Status},
    watch::StatusNews,
};

use crate::{
    args::Format,
    commands::{
        status::{headline, told},
        watch::told_of_interruptions,
    },
    exit::Exit,
    failure::Failure,
    label::Labelled as _,
    output::Tint,
    session::Session,
    stdout::gone,
    table::tint_of,
    text::plain,
    time::{self, Clock},
};

/// Prints a line for each change, with the problems that are new and those that are gone, until nobody reads it any
/// more; answers with the code of what was known last.
pub(super) async fn follow(session: &Session) -> Result<Exit, Failure> {
    let news = session.client.watch_status(told_of_interruptions(session));
    let news = news.take_until(gone());
    pin_mut!(news);
    let mut shown = None;
    let mut exit = Exit::Unreachable;
    while let Some(news) = news.next().await {
        match news? {
            StatusNews::Known(status) => {
                exit = Exit::of_status(status.overall());
                let status = *status;
                let standing = Standing::of(&status);
                if shown.as_ref() != Some(&standing) {
                    show(session, status, shown.as_ref(), &standing)?;
                }
                shown = Some(standing);
            }
            StatusNews::Unknown(lost) => {
                exit = Exit::Unreachable;
                if shown != Some(Standing::unknown()) {
                    tell_loss(session, &lost.cause.to_string())?;
                }
                shown = Some(Standing::unknown());
            }
        }
    }
    Ok(exit)
}

/// What a status says, without what moves while nothing changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    overall: i32,
    problems: BTreeSet<String>,
}

impl Standing {
    fn of(status: &Status) -> Self {
        let line = |problem: &Problem| {
            let severity = problem.severity().label();
            plain(&format!("{severity} {}", told(problem)))
        };
        Self {
            overall: status.overall,
            problems: status.problems.iter().map(line).collect(),
        }
    }

    fn unknown() -> Self {
        Self {
            overall: -1,
            problems: BTreeSet::new(),
        }
    }
}

fn show(
    session: &Session,
    status: Status,
    before: Option<&Standing>,
    now: &Standing,
) -> Result<(), Failure> {
    if session.output.format == Format::Json {
        let status = Some(status);
        return session.output.json_line(&GetStatusResponse { status });
    }
    let tint = tint_of(status.overall());
    // The session's clock stands where it began.
    let clock = Clock {
        now: time::now(),
        zone: session.clock.zone.clone(),
    };
    tell(session, &headline(&clock, &status), tint)?;
    let none = BTreeSet::new();
    let before = before.map_or(&none, |before| &before.problems);
    for new in now.problems.difference(before) {
        session.output.line(&format!("         new:  {new}"))?;
    }
    for gone in before.difference(&now.problems) {
        session.output.line(&format!("         gone: {gone}"))?;
    }
    Ok(())
}

/// Tells that how the server is is not known. Silence would not: nothing is printed while nothing changes.
fn tell_loss(session: &Session, cause: &str) -> Result<(), Failure> {
    if session.output.format == Format::Json {
        // Its overall severity is UNSPECIFIED, which JSON leaves out.
        let why = Problem {
            message: cause.to_owned(),
            ..Problem::default()
        };
        let status = Some(Status {
            problems: vec![why],
            ..Status::default()
        });
        return session.output.json_line(&GetStatusResponse { status });
    }
    let line = plain(&format!("UNKNOWN: {cause}"));
    tell(session, &line, Tint::Warning)
}

fn tell(session: &Session, line: &str, tint: Tint) -> Result<(), Failure> {
    let time = time::now().to_zoned(session.clock.zone.clone());
    let time = session
        .output
        .paint(&time.strftime("%H:%M:%S").to_string(), Tint::Faint);
    let line = session.output.paint(line, tint);
    session.output.line(&format!("{time} {line}"))
}
