//! `bellctl run logs`: prints the log of a run.

use futures_util::{StreamExt as _, pin_mut};
use watchbell_client::pb::{GetRunRequest, LogLine, LogStream};

use crate::{
    args::{Format, LogsArgs},
    commands::watch::told_of_interruptions,
    exit::Exit,
    failure::Failure,
    output::{Tint, remark},
    session::Session,
    stdout::{gone, is_gone},
    text::log,
    time::from_proto,
};

/// Prints the lines there are and, if asked to, those to come, unless nobody reads them any more.
pub(super) async fn print(session: &Session, args: &LogsArgs) -> Result<Exit, Failure> {
    let name = args.name.clone().into_resource();
    let chunks = session
        .client
        .tail_run_log(&name, args.follow, told_of_interruptions(session));
    let chunks = chunks.take_until(gone());
    pin_mut!(chunks);
    let mut attempt = 0;
    let mut printed = false;
    while let Some(lines) = chunks.next().await {
        for line in lines? {
            printed = true;
            if session.output.format == Format::Json {
                session.output.json_line(&line)?;
                continue;
            }
            if attempt != 0 && line.attempt != attempt {
                remark(&format!("--- attempt {} ---", line.attempt));
            }
            attempt = line.attempt;
            session.output.line(&shown(session, args, &line))?;
        }
    }
    if !printed && !is_gone() && session.output.format == Format::Table {
        remark(&why_empty(session, &name).await);
    }
    Ok(Exit::Good)
}

/// Why no line came: that a log was dropped is not that there was no output.
async fn why_empty(session: &Session, name: &str) -> String {
    let request = GetRunRequest {
        name: name.to_owned(),
    };
    let answer = session.client.runs().get_run(request).await.ok();
    let run = answer.and_then(|answer| answer.into_inner().run);
    match run
        .and_then(|run| run.log_drop_time)
        .as_ref()
        .and_then(from_proto)
    {
        Some(at) => {
            let at = at.to_zoned(session.clock.zone.clone());
            let at = at.strftime("%Y-%m-%d %H:%M:%S%:z");
            format!("the log was dropped at {at}, since logs are kept for no longer; the run stays")
        }
        None => "the log is empty".to_owned(),
    }
}

fn shown(session: &Session, args: &LogsArgs, line: &LogLine) -> String {
    // A line of the handler is no line of its command; the colour tells them apart on a terminal.
    let tint = match line.stream() {
        LogStream::Stderr => Tint::Warning,
        LogStream::Log => Tint::Faint,
        LogStream::Unspecified | LogStream::Stdout => Tint::Plain,
    };
    let text = session.output.paint(&log(&line.text), tint);
    let Some(time) = line
        .time
        .as_ref()
        .and_then(from_proto)
        .filter(|_| args.timestamps)
    else {
        return text;
    };
    let time = time.to_zoned(session.clock.zone.clone());
    format!("{} {text}", time.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z"))
}
