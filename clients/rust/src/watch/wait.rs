//! Waits for a run to end, by long polls.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{
    backoff::Backoff,
    call::{retry_after, unary_within},
    client::Client,
    pb::{WaitRunRequest, WaitRunResponse},
};

/// How long the server holds one poll.
const POLL: Duration = Duration::from_secs(30);
/// A poll and the way there and back.
const POLL_DEADLINE: Duration = Duration::from_secs(45);
/// A server that is away for longer does not come back soon, and a pipeline should hear of it.
const PATIENCE: Duration = Duration::from_secs(300);

impl Client {
    /// Waits until the run `name` has ended, or for `at_most`. The answer says whether it has. A
    /// server that is away is waited for, up to 5 minutes.
    ///
    /// # Errors
    /// Where the server refuses, or is away for too long or until `at_most` is over.
    pub async fn wait_run(
        &self,
        name: &str,
        at_most: Option<Duration>,
    ) -> Result<WaitRunResponse, Status> {
        poll_until_done(at_most, async |poll| {
            let request = WaitRunRequest {
                name: name.to_owned(),
                timeout: prost_types::Duration::try_from(poll).ok(),
            };
            unary_within(POLL_DEADLINE, request, async |request| {
                self.runs().wait_run(request).await
            })
            .await
        })
        .await
    }
}

async fn poll_until_done(
    at_most: Option<Duration>,
    mut ask: impl AsyncFnMut(Duration) -> Result<WaitRunResponse, Status>,
) -> Result<WaitRunResponse, Status> {
    let begun_at = Instant::now();
    let mut answered_at = begun_at;
    let mut backoff = Backoff::default();
    loop {
        let left = at_most.map(|at_most| at_most.saturating_sub(begun_at.elapsed()));
        let poll = left.map_or(POLL, |left| left.min(POLL));
        let wait = match ask(poll).await {
            Ok(answer) if answer.done || left.is_some_and(|left| left <= poll) => {
                return Ok(answer);
            }
            Ok(_) => {
                answered_at = Instant::now();
                backoff.reset();
                continue;
            }
            Err(status) if may_mend(&status) => {
                let wait = backoff
                    .next_wait()
                    .max(retry_after(&status).unwrap_or_default());
                let out_of_time = left.is_some_and(|left| left <= wait);
                if out_of_time || answered_at.elapsed() + wait > PATIENCE {
                    return Err(status);
                }
                wait
            }
            Err(status) => return Err(status),
        };
        tokio::time::sleep(wait).await;
    }
}

fn may_mend(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(done: bool) -> Result<WaitRunResponse, Status> {
        Ok(WaitRunResponse { run: None, done })
    }

    #[tokio::test(start_paused = true)]
    async fn polls_go_on_until_the_run_has_ended_even_across_a_restart() {
        let mut asked = 0;
        let done = poll_until_done(None, async |poll| {
            assert_eq!(poll, POLL);
            asked += 1;
            match asked {
                1 => answer(false),
                2 => Err(Status::unavailable("restarting")),
                _ => answer(true),
            }
        })
        .await;
        assert!(done.unwrap().done);
        assert_eq!(asked, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_poll_is_as_short_as_the_time_left() {
        let mut polls = Vec::new();
        let done = poll_until_done(Some(Duration::from_secs(40)), async |poll| {
            polls.push(poll);
            tokio::time::sleep(poll).await;
            answer(false)
        })
        .await;
        assert!(!done.unwrap().done);
        assert_eq!(polls, [POLL, Duration::from_secs(10)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stays_away_is_told_in_the_end() {
        let begun_at = Instant::now();
        let away = poll_until_done(None, async |_| Err(Status::unavailable("down"))).await;
        assert_eq!(away.unwrap_err().code(), Code::Unavailable);
        assert!(begun_at.elapsed() > PATIENCE / 2);
        assert!(begun_at.elapsed() <= PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_the_wait() {
        let refused = poll_until_done(None, async |_| Err(Status::not_found("no run"))).await;
        assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    }
}
