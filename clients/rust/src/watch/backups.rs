//! Follows one run of a backup, verification or restore until it has ended.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Request, Status};

use crate::{
    backoff::Backoff,
    call::{broke_off, retry_after},
    client::Client,
    pb::{BackupProgress, Run, WatchBackupRequest, watch_backup_response::Message},
};

/// A server that is away for longer does not come back soon, and a pipeline should hear of it.
const PATIENCE: Duration = Duration::from_secs(300);
/// After so long without a message the stream is taken for dead; the server sends a heartbeat every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

impl Client {
    /// Tells `told` how far the run `name` is, until it has ended, and answers with what it became. Each message is
    /// whole, so that a stream which breaks is opened again, for up to 5 minutes without an answer.
    ///
    /// # Errors
    /// Where the server refuses, or is away for too long.
    pub async fn follow_backup(
        &self,
        name: &str,
        mut told: impl FnMut(&BackupProgress),
    ) -> Result<Run, Status> {
        let mut backoff = Backoff::default();
        let mut heard_at = Instant::now();
        let mut last = Run::default();
        loop {
            let request = WatchBackupRequest {
                run: name.to_owned(),
            };
            let broken = match self.backups().watch_backup(Request::new(request)).await {
                Ok(stream) => {
                    let mut stream = stream.into_inner();
                    loop {
                        let message = tokio::time::timeout(SILENCE, stream.message()).await;
                        match message {
                            Err(_) => break Status::unavailable("the stream fell silent"),
                            Ok(Err(status)) => break status,
                            Ok(Ok(None)) => break Status::unavailable("the stream ended"),
                            Ok(Ok(Some(message))) => {
                                heard_at = Instant::now();
                                backoff.reset();
                                match message.message {
                                    Some(Message::Progress(progress)) => {
                                        told(&progress);
                                        last = progress.run.unwrap_or_default();
                                    }
                                    Some(Message::End(end)) if end.reason == "RUN_ENDED" => {
                                        return Ok(last);
                                    }
                                    Some(Message::End(_)) => {
                                        break Status::unavailable("the server ended the stream");
                                    }
                                    Some(Message::Heartbeat(_)) | None => {}
                                }
                            }
                        }
                    }
                }
                Err(status) => status,
            };
            if !broke_off(&broken) {
                return Err(broken);
            }
            let wait = backoff
                .next_wait()
                .max(retry_after(&broken).unwrap_or_default());
            if PATIENCE < heard_at.elapsed() + wait {
                return Err(broken);
            }
            tokio::time::sleep(wait).await;
        }
    }
}
