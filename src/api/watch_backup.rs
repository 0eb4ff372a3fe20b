//! `WatchBackup`: how far one run of a backup, verification or restore is. It follows the log as other watches do.

use std::time::Duration;

use async_stream::try_stream;
use futures_util::StreamExt as _;
use tonic::Status;

use super::{
    Api, Feed, convert,
    convert::time,
    heartbeat::Beats,
    names,
    watch::{HEARTBEAT, stream_end},
};
use crate::{
    domain::Run,
    error::{Error, Result},
    journal,
    pb::{self, watch_backup_response::Message},
};

/// Kinds of runs that it follows.
const KINDS: [&str; 4] = [
    crate::domain::backup::policy::BACKUP_KIND,
    crate::backup::VERIFY_TASK,
    crate::backup::RESTORE_TASK,
    crate::backup::CLEANUP_TASK,
];

impl Api {
    pub(super) async fn backup_feed(
        &self,
        request: pb::WatchBackupRequest,
        deadline: Duration,
    ) -> Result<Feed<pb::WatchBackupResponse>> {
        let name = names::run("run", &request.run)?;
        let store = self.engine.store().clone();
        // Noted before the run is read: what happens meanwhile is told after it.
        let from = journal::end(&store).await?;
        let run = self.run_named(&name).await?;
        if !KINDS.contains(&run.kind.as_str()) {
            let what = format!(
                "{} is of kind {}; expected a run of a backup, verification, cleanup or restore; WatchRuns follows \
                 any run",
                run.resource_name(),
                run.kind
            );
            return Err(Error::invalid("run", what));
        }
        let (stop, clock) = (self.stop.clone(), self.engine.clock().clone());
        let feed = try_stream! {
            yield progress(&run);
            if run.state.is_terminal() {
                yield end("RUN_ENDED");
                return;
            }
            let mut version = run.version;
            let mut beats = Beats::new(store.clone(), clock);
            let mut events = std::pin::pin!(journal::follow_noting(store, from, beats.reached()));
            let mut over = std::pin::pin!(tokio::time::sleep(deadline));
            let mut quiet = std::pin::pin!(tokio::time::sleep(HEARTBEAT));
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    () = &mut quiet => {
                        quiet.set(tokio::time::sleep(HEARTBEAT));
                        yield message(Message::Heartbeat(beats.beat()));
                        continue;
                    }
                    () = beats.changed() => {
                        yield message(Message::Heartbeat(beats.beat()));
                        continue;
                    }
                    () = &mut over => {
                        yield end("DEADLINE");
                        return;
                    }
                    () = stop.cancelled() => {
                        yield end("DRAINING");
                        return;
                    }
                };
                let Some(event) = event else { return };
                let event = event.map_err(Status::from)?;
                if event.task_id != Some(run.task_id) {
                    continue;
                }
                let Some(now) = event.run().filter(|now| now.id == run.id && version < now.version) else {
                    continue;
                };
                version = now.version;
                quiet.set(tokio::time::sleep(HEARTBEAT));
                yield progress(&now);
                if now.state.is_terminal() {
                    yield end("RUN_ENDED");
                    return;
                }
            }
        };
        Ok(Box::pin(feed))
    }
}

fn progress(run: &Run) -> pb::WatchBackupResponse {
    let step = run.progress.as_ref();
    let bytes = |read: fn(&crate::domain::run::Progress) -> i64| step.map_or(0, read);
    let left = step.and_then(|step| step.remaining_ms);
    message(Message::Progress(pb::BackupProgress {
        run: Some(convert::run_basic(run)),
        phase: step.map_or_else(String::new, |step| step.phase.clone()),
        done_bytes: bytes(|step| step.done),
        total_bytes: bytes(|step| step.total),
        done_files: bytes(|step| step.files),
        remaining_duration: left
            .map(|left| time::span(Duration::from_millis(left.max(0).unsigned_abs()))),
    }))
}

fn message(message: Message) -> pb::WatchBackupResponse {
    pb::WatchBackupResponse {
        message: Some(message),
    }
}

fn end(reason: &str) -> pb::WatchBackupResponse {
    message(Message::End(stream_end(reason)))
}
