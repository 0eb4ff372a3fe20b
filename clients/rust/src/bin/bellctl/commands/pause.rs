//! `bellctl pause` and `bellctl resume`: of everything.

use watchbell_client::{
    call::request_id,
    pb::{Pause, PauseAllRequest, ResumeAllRequest},
};

use crate::{
    args::{Format, PauseArgs},
    exit::Exit,
    failure::Failure,
    output::Tint,
    session::Session,
    table::Field,
    text::plain,
    time::Clock,
};

/// Pauses everything.
pub(super) async fn pause_all(session: &Session, args: &PauseArgs) -> Result<Exit, Failure> {
    let request = PauseAllRequest {
        reason: args.reason.clone(),
        until_time: session.instant(args.end().as_ref(), None)?,
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.scheduler().pause_all(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        let pause = response.pause.unwrap_or_default();
        let told = describe(&session.clock, &pause);
        session.output.line(&format!("everything is {told}"))?;
    }
    Ok(Exit::Good)
}

/// Ends the pause of everything.
pub(super) async fn resume_all(session: &Session) -> Result<Exit, Failure> {
    let request = ResumeAllRequest {
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.scheduler().resume_all(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        let count = response.task_count;
        session
            .output
            .line(&format!("resumed; {count} tasks had slots in the pause"))?;
    }
    Ok(Exit::Good)
}

/// Such as `everything is paused by ada since …`, as a line before what lists tasks.
pub(super) fn warn_of_all(session: &Session, pause: Option<&Pause>) -> Result<(), Failure> {
    let Some(pause) = pause else {
        return Ok(());
    };
    let told = format!("everything is {}", describe(&session.clock, pause));
    let output = &session.output;
    output.line(&output.paint(&told, Tint::Warning))
}

/// When something fires next; that it is paused, where it or everything is.
pub(super) fn next_due(
    clock: &Clock,
    due: Option<&prost_types::Timestamp>,
    own: Option<&Pause>,
    all: Option<&Pause>,
) -> Field {
    if own.is_some() {
        return Field::tinted("paused", Tint::Warning);
    }
    // A task without a schedule is not due with or without the pause.
    if all.is_some() && due.is_some() {
        return Field::tinted("everything is paused", Tint::Warning);
    }
    clock.show(due).into()
}

/// Such as `paused by ada since …, until …: database upgrade`.
pub(super) fn describe(clock: &Clock, pause: &Pause) -> String {
    let mut told = String::from("paused");
    if !pause.principal.is_empty() {
        told.push_str(&format!(" by {}", pause.principal));
    }
    if pause.pause_time.is_some() {
        told.push_str(&format!(" since {}", clock.show(pause.pause_time.as_ref())));
    }
    match &pause.until_time {
        Some(until) => told.push_str(&format!(", until {}", clock.show(Some(until)))),
        None => told.push_str(", until it is resumed"),
    }
    if !pause.reason.is_empty() {
        told.push_str(&format!(": {}", pause.reason));
    }
    plain(&told)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_pause_says_who_when_until_when_and_why() {
        let clock = Clock {
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        let at = |text: &str| Some(crate::time::to_proto(text.parse().unwrap()));
        let pause = Pause {
            principal: "ada".into(),
            reason: "disk swap".into(),
            pause_time: at("2026-03-01T11:00:00Z"),
            until_time: at("2026-03-01T14:00:00Z"),
            ended_count: None,
        };
        assert_eq!(
            describe(&clock, &pause),
            "paused by ada since 11:00:00 (1 h ago), until 14:00:00 (in 2 h): disk swap"
        );
        assert_eq!(
            describe(&clock, &Pause::default()),
            "paused, until it is resumed"
        );
    }
}
