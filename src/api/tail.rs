//! `TailRunLog`: the lines of one run, resumable by (attempt, line).

use async_stream::try_stream;
use jiff::Timestamp;
use tonic::Status;

use super::{
    Api, Feed,
    convert::time,
    deadline::Listens,
    names,
    watch::{HEARTBEAT, stream_end},
};
use crate::{
    domain::{
        RunId,
        log::{LogLine, Stream},
    },
    error::{Error, Result},
    pb,
    pb::tail_run_log_response::Message,
    store::LogWait,
};

const LINES: usize = 500;
const CHUNK_BYTES_MAX: usize = 60 << 10;

impl Api {
    pub(super) async fn tail_feed(
        &self,
        request: pb::TailRunLogRequest,
        listens: Listens,
    ) -> Result<Feed<pb::TailRunLogResponse>> {
        let name = names::run("name", &request.name)?;
        let id = self.run_named(&name).await?.id;
        let mut after = read_token(id, &request.resume_token)?;
        let (stop, clock) = (self.stop.clone(), self.engine.clock().clone());
        let store = self.engine.store().clone();
        let feed = try_stream! {
            let mut quiet = std::pin::pin!(tokio::time::sleep(HEARTBEAT));
            // Runs beside every wait: a database that hangs must not keep a stream open.
            let mut over = std::pin::pin!(listens.over());
            loop {
                let looked_at = clock.now();
                let look = async {
                    // Looked at before the lines: what was written by its end is read after it.
                    let ended = store.run(id).await?.state.is_terminal();
                    let dropped = match ended {
                        true => store.log_dropped_at(id).await?,
                        false => None,
                    };
                    // What is left of one that is being dropped is not the log.
                    let lines = match dropped {
                        Some(_) => Vec::new(),
                        None => store.log_after(id, after, LINES).await?,
                    };
                    Ok::<_, Error>((ended, dropped, lines))
                };
                let seen = tokio::select! {
                    seen = look => Ok(seen),
                    why = &mut over => Err(why),
                };
                let seen = match seen {
                    Ok(seen) => seen,
                    Err(why) => {
                        yield end(why, id, after);
                        return;
                    }
                };
                let (ended, dropped, lines) = seen.map_err(Status::from)?;
                if let Some(at) = dropped {
                    yield pb::TailRunLogResponse {
                        log_drop_time: Some(time::stamp(at)),
                        ..end("RUN_ENDED", id, after)
                    };
                    return;
                }
                if !lines.is_empty() {
                    quiet.set(tokio::time::sleep(HEARTBEAT));
                    for chunk in chunks(lines) {
                        if let Some(last) = chunk.last() {
                            after = (last.attempt, last.line);
                        }
                        let lines = chunk.into_iter().map(line).collect();
                        yield message(Message::Chunk(pb::LogChunk { lines }), id, after);
                    }
                    continue;
                }
                let reason = match (ended, request.follow) {
                    (true, _) => Some("RUN_ENDED"),
                    (false, false) => Some("UP_TO_DATE"),
                    (false, true) => stop.is_cancelled().then_some("DRAINING"),
                };
                if let Some(reason) = reason {
                    yield end(reason, id, after);
                    return;
                }
                let mut wait = store.wait_for_log(id, after);
                loop {
                    tokio::select! {
                        () = wait.more() => break,
                        () = stop.cancelled() => break,
                        () = &mut quiet => {
                            quiet.set(tokio::time::sleep(HEARTBEAT));
                            yield message(Message::Heartbeat(beat(&wait, looked_at, clock.now())), id, after);
                        }
                        why = &mut over => {
                            yield end(why, id, after);
                            return;
                        }
                    }
                }
            }
        };
        Ok(Box::pin(feed))
    }
}

/// That it lives, and since when there has been nothing more: it looked by itself at `looked_at`, and waits since then.
fn beat(wait: &LogWait, looked_at: Timestamp, now: Timestamp) -> pb::Heartbeat {
    pb::Heartbeat {
        time: Some(time::stamp(now)),
        as_of: Some(time::stamp(wait.as_of().unwrap_or(looked_at))),
        stalled_since: wait.stalled_since().map(time::stamp),
    }
}

/// Lines in parts below the limit of a message.
fn chunks(lines: Vec<LogLine>) -> Vec<Vec<LogLine>> {
    let mut chunks = vec![Vec::new()];
    let mut bytes = 0;
    for line in lines {
        bytes += line.text.len() + 64;
        if CHUNK_BYTES_MAX < bytes {
            chunks.push(Vec::new());
            bytes = line.text.len() + 64;
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(line);
        }
    }
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

fn line(line: LogLine) -> pb::LogLine {
    pb::LogLine {
        attempt: i32::try_from(line.attempt).unwrap_or(i32::MAX),
        line: line.line,
        time: Some(time::stamp(line.at)),
        stream: match line.stream {
            Stream::Stdout => pb::LogStream::Stdout,
            Stream::Stderr => pb::LogStream::Stderr,
            Stream::Log => pb::LogStream::Log,
        }
        .into(),
        text: line.text,
    }
}

fn message(message: Message, run: RunId, (attempt, line): (i64, i64)) -> pb::TailRunLogResponse {
    pb::TailRunLogResponse {
        message: Some(message),
        resume_token: token(run, (attempt, line)),
        log_drop_time: None,
    }
}

fn end(reason: &str, run: RunId, after: (i64, i64)) -> pb::TailRunLogResponse {
    message(Message::End(stream_end(reason)), run, after)
}

fn token(run: RunId, (attempt, line): (i64, i64)) -> String {
    format!("{}.{attempt}.{line}", run.0.simple())
}

fn read_token(run: RunId, given: &str) -> Result<(i64, i64)> {
    if given.is_empty() {
        return Ok((0, 0));
    }
    let mut numbers = given.split('.').skip(1);
    let mut number = || numbers.next().and_then(|number| number.parse().ok());
    let place = number().zip(number());
    // Compared as a whole: it is this run's, and spelt as it was given.
    place
        .filter(|place| token(run, *place) == given)
        .ok_or_else(|| {
            Error::invalid(
                "resume_token",
                "it is not one of this run's log; begin without one",
            )
        })
}
