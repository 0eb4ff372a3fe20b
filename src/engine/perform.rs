//! One attempt: start the handler, watch over it, and say what became of it.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::{sync::OwnedSemaphorePermit, task::JoinError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    context::{LastCall, RunContext},
    hosts::{Hosted, Stop, ask},
    kind::{Again, Done, Failure},
    runner::{Runner, ended},
};
use crate::{
    domain::{
        Outcome, Run, RunState,
        retry::{self, later},
        run::reason,
    },
    store::AttemptEnd,
};

/// How a handler ended, and what it had been asked until then.
type Joined = Result<(Result<Done, Failure>, Option<Stop>), JoinError>;

/// What a handler that ends its work by force has for that once its grace is over; real time.
const FORCE_WITHIN: Duration = Duration::from_secs(10);

const MESSAGE_MAX: usize = 2000;

impl Runner {
    /// Runs the handler to its end and records it. Returns only when the handler has really ended, and holds
    /// its place for as long.
    pub(super) async fn perform(
        &self,
        run: &Arc<Run>,
        hosted: Hosted,
        place: OwnedSemaphorePermit,
    ) {
        let cancel = CancellationToken::new();
        let last_call = LastCall::default();
        let context = RunContext {
            task: run.task.clone(),
            run: run.id,
            token: run.attempt,
            nominal_at: run.nominal_at,
            due_at: run.due_at,
            dry_run: run.dry_run,
            cancel: cancel.clone(),
            last_call: last_call.clone(),
            stop: hosted.stop.subscribe(),
            clock: self.engine.clock().clone(),
            store: self.engine.store().clone(),
            feed: hosted.feed.clone(),
        };
        let work = self
            .engine
            .registry()
            .run(&run.kind, run.parameters.clone(), context);
        // The attempt's time counts from before its first step.
        let clock = self.engine.clock();
        let started = clock.passed();
        let timeout = clock.sleep_for(run.policy.attempt_timeout);
        let stop = hosted.stop.clone();
        let mut handler = tokio::spawn(async move {
            let ended = work.await;
            // What is asked of it from here on comes too late.
            (ended, *stop.borrow())
        });
        let joined = tokio::select! {
            joined = &mut handler => Some(joined),
            () = self.watch_over(run, &hosted, &cancel, &last_call, (started, timeout)) => None,
        };
        let why = *hosted.stop.borrow();
        let cut_off = joined.is_none();
        if cut_off {
            // Ends at its next await; one that never awaits keeps its place until it does end.
            handler.abort();
        }
        let end = self.judge(run, joined, why, last_call.is_over());
        let (left, kept) = if cut_off {
            (None, Some(place))
        } else {
            (Some(place), None)
        };
        if why != Some(Stop::LeaseLost) {
            let of = (run.id, run.attempt);
            let chunks = self.take_log(of, &hosted.feed).await;
            let chunks = self.write_log(of, chunks).await;
            let ended = ended(run, self.engine.replica().id, end);
            self.finisher.record(ended, chunks, left).await;
        }
        if cut_off
            && let Err(error) = handler.await
            && error.is_panic()
        {
            warn!("run {} panicked while it was being cut off", run.id);
        }
        drop(kept);
    }

    /// Completes when the handler's time is over for good: it was asked to stop, and has not. Spans are those
    /// of the time that passes: a clock that is set cuts no attempt short. It is given when the handler started, and
    /// the end of its time.
    async fn watch_over(
        &self,
        run: &Run,
        hosted: &Hosted,
        cancel: &CancellationToken,
        last_call: &LastCall,
        (started, mut timeout): (Duration, BoxFuture<'static, ()>),
    ) {
        let clock = self.engine.clock();
        let mut stop = hosted.stop.subscribe();
        while stop.borrow_and_update().is_none() {
            tokio::select! {
                _ = stop.changed() => {}
                () = &mut timeout => ask(&hosted.stop, Stop::Timeout),
                () = clock.sleep_for(self.quiet_in(run, hosted, started)) => {
                    if self.quiet_in(run, hosted, started).is_zero() {
                        ask(&hosted.stop, Stop::NoProgress);
                    }
                }
            }
        }
        // Counted from before the handler hears of it.
        let grace = clock.sleep_for(run.policy.cancel_grace);
        cancel.cancel();
        grace.await;
        if last_call.call() {
            tokio::time::sleep(FORCE_WITHIN).await;
        }
    }

    /// How long until the handler will have been quiet for too long.
    fn quiet_in(&self, run: &Run, hosted: &Hosted, started: Duration) -> Duration {
        let Some(deadline) = run.policy.progress_deadline else {
            return Duration::MAX;
        };
        let sign = hosted.feed.last_sign().unwrap_or(started).max(started);
        sign.saturating_add(deadline)
            .saturating_sub(self.engine.clock().passed())
    }

    /// What the attempt has come to. `joined` is none where the handler had to be cut off; `over` says that its
    /// grace was over by then.
    fn judge(
        &self,
        run: &Run,
        joined: Option<Joined>,
        why: Option<Stop>,
        over: bool,
    ) -> AttemptEnd {
        let now = self.engine.clock().now();
        let forced = over || joined.is_none();
        let said = match joined {
            Some(Ok((Ok(done), asked))) => {
                let own = asked.is_none() || done.own;
                return AttemptEnd {
                    own,
                    ..succeeded(done)
                };
            }
            Some(Ok((Err(failure), asked))) if asked.is_none() || failure.own => {
                let message = describe(&failure.error);
                info!(error = %message, "an attempt failed");
                let state = RunState::Failed;
                let end = failed(run, now, state, failure.reason, message, failure.again);
                return AttemptEnd { own: true, ..end };
            }
            Some(Err(error)) if why.is_none() => {
                let message = panic_message(error);
                warn!(panic = %message, "a handler panicked");
                return failed(
                    run,
                    now,
                    RunState::Failed,
                    reason::PANIC,
                    message,
                    Again::ByPolicy,
                );
            }
            Some(Ok((Err(failure), _))) => format!(": {}", describe(&failure.error)),
            Some(Err(error)) => format!(": {}", panic_message(error)),
            None => ": it did not stop within its grace, and was cut off".to_owned(),
        };
        let span = |span| crate::domain::span::format(span);
        match why {
            None | Some(Stop::LeaseLost) => {
                AttemptEnd::because(RunState::Abandoned, reason::LEASE_LOST, said)
            }
            Some(Stop::Cancel) => {
                let reason = if forced {
                    reason::CANCEL_FORCED
                } else {
                    reason::CANCEL_REQUESTED
                };
                AttemptEnd::because(RunState::Cancelled, reason, format!("cancelled{said}"))
            }
            Some(Stop::Drain) => {
                let (state, reason) = retry::after_drain(run);
                let again = state == RunState::Queued;
                AttemptEnd {
                    claim_at: again.then_some(now),
                    refund: again,
                    ..AttemptEnd::because(state, reason, format!("the server stopped{said}"))
                }
            }
            Some(Stop::Timeout) => {
                let limit = span(run.policy.attempt_timeout);
                let message = format!("the attempt took longer than {limit}{said}");
                let state = RunState::TimedOut;
                failed(
                    run,
                    now,
                    state,
                    reason::ATTEMPT_TIMEOUT,
                    message,
                    Again::ByPolicy,
                )
            }
            Some(Stop::NoProgress) => {
                let limit = span(run.policy.progress_deadline.unwrap_or_default());
                let message = format!("no progress and no output for {limit}{said}");
                let state = RunState::TimedOut;
                failed(
                    run,
                    now,
                    state,
                    reason::NO_PROGRESS,
                    message,
                    Again::ByPolicy,
                )
            }
        }
    }
}

fn succeeded(done: Done) -> AttemptEnd {
    let reason = match done.reason {
        "" if done.outcome == Outcome::Partial => "PARTIAL",
        reason => reason,
    };
    AttemptEnd {
        outcome: Some(done.outcome),
        counters: done.counters,
        ..AttemptEnd::because(RunState::Succeeded, reason, short(done.message))
    }
}

/// Another attempt where the policy has one left, else the end.
fn failed(
    run: &Run,
    now: Timestamp,
    state: RunState,
    reason: &str,
    message: String,
    again: Again,
) -> AttemptEnd {
    let backoff = retry::backoff(&run.policy.retry, run);
    let wait = match again {
        Again::Never => None,
        Again::ByPolicy => Some(backoff),
        // Who asks for less than the policy does not defeat it.
        Again::After(wait) => Some(wait.max(backoff)),
    };
    match wait {
        Some(wait) if retry::attempts_left(run) => AttemptEnd {
            claim_at: Some(later(now, wait)),
            ..AttemptEnd::because(RunState::RetryWait, reason, message)
        },
        _ => AttemptEnd::because(state, reason, message),
    }
}

fn describe(error: &anyhow::Error) -> String {
    short(format!("{error:#}"))
}

fn short(text: String) -> String {
    // PostgreSQL's text holds every character but this one.
    let text = text.replace('\0', "\u{fffd}");
    if text.chars().count() <= MESSAGE_MAX {
        return text;
    }
    text.chars().take(MESSAGE_MAX - 1).chain(['…']).collect()
}

fn panic_message(error: JoinError) -> String {
    if !error.is_panic() {
        return "the handler was aborted".to_owned();
    }
    let panic = error.into_panic();
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    short(format!(
        "panicked: {}",
        text.unwrap_or_else(|| "without a message".to_owned())
    ))
}
