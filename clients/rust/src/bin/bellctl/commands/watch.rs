//! `bellctl run watch`: follows runs.

use std::sync::Arc;

use futures_util::{StreamExt as _, pin_mut};
use jiff::tz::TimeZone;
use watchbell_client::{
    pb::{Run, WatchRunsRequest, watch_runs_response::Message},
    watch::{Follow, Interruption, Listener, Stall, StallListener},
};

use crate::{
    args::{Format, WatchArgs},
    commands::run_view::one_line,
    exit::Exit,
    failure::Failure,
    name::{RunName, TaskName},
    output::{Tint, remark},
    session::Session,
    stdout::gone,
    text::plain,
    time::{exact_length, from_proto, now},
};

/// Prints a line for each run under way and each change, until the stream ends, or nobody reads it any more.
pub(super) async fn follow(session: &Session, args: &WatchArgs) -> Result<Exit, Failure> {
    let filter = WatchRunsRequest {
        task: args
            .task
            .clone()
            .map(TaskName::into_resource)
            .unwrap_or_default(),
        run: args
            .run
            .clone()
            .map(RunName::into_resource)
            .unwrap_or_default(),
        resume_token: args.resume_token.clone(),
        skip_snapshot: args.skip_snapshot,
    };
    let messages = session
        .client
        .watch_runs(filter, told_of_interruptions(session));
    let messages = messages.take_until(gone());
    pin_mut!(messages);
    while let Some(message) = messages.next().await {
        let message = message?;
        if session.output.format == Format::Json {
            session.output.json_line(&message)?;
            continue;
        }
        match &message.message {
            Some(Message::Snapshot(run)) => print(session, None, "under way", run)?,
            Some(Message::Event(event)) => {
                let run = event.run.clone().unwrap_or_default();
                print(session, event.time.as_ref(), &event.r#type, &run)?;
            }
            Some(Message::SnapshotEnd(end)) if end.count == 0 && args.run.is_none() => {
                remark("no runs under way; waiting for the next");
            }
            Some(Message::SnapshotEnd(_) | Message::Heartbeat(_) | Message::End(_)) | None => {}
        }
    }
    Ok(Exit::Good)
}

/// Says on standard error that the connection was lost and when it is tried again, and that the server cannot tell what
/// happens.
pub(super) fn told_of_interruptions(session: &Session) -> Follow {
    let zone = session.clock.zone.clone();
    let stalls: StallListener = Arc::new(move |stall: &Stall| remark(&stalled(stall, &zone)));
    let listener: Listener = Arc::new(|interruption: &Interruption| {
        let wait = exact_length(interruption.wait);
        remark(&format!("{}; next try in {wait}", interruption.cause));
    });
    Follow {
        on_interruption: Some(listener),
        on_stall: Some(stalls),
        ..Follow::default()
    }
}

fn stalled(stall: &Stall, zone: &TimeZone) -> String {
    let clock = |time: &prost_types::Timestamp| {
        let time = from_proto(time)?.to_zoned(zone.clone());
        Some(time.strftime("%H:%M:%S").to_string())
    };
    let Some(since) = stall.since.as_ref().and_then(clock) else {
        return "the server's log goes on: what happened meanwhile follows".to_owned();
    };
    let what = match stall.as_of.as_ref().and_then(clock) {
        Some(upto) => format!("what happened after {upto}"),
        None => "what happens".to_owned(),
    };
    format!(
        "the server's log has stalled since {since}: {what} is shown once it goes on; see `bellctl status`"
    )
}

fn print(
    session: &Session,
    time: Option<&prost_types::Timestamp>,
    what: &str,
    run: &Run,
) -> Result<(), Failure> {
    let time = time.and_then(from_proto).unwrap_or_else(now);
    let time = time.to_zoned(session.clock.zone.clone());
    let time = session
        .output
        .paint(&time.strftime("%H:%M:%S").to_string(), Tint::Faint);
    let line = one_line(session, run);
    session
        .output
        .line(&format!("{time} {:<14} {line}", plain(what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_says_since_when_and_up_to_when_all_was_shown() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let told = |since, as_of| stalled(&Stall { since, as_of }, &TimeZone::UTC);
        let begins = told(at(3600), at(3599));
        assert!(begins.contains("since 01:00:00"), "{begins}");
        assert!(begins.contains("after 00:59:59"), "{begins}");
        let unknown = told(at(3600), None);
        assert!(unknown.contains(": what happens is shown"), "{unknown}");
        assert!(told(None, at(1)).contains("goes on"));
    }
}
