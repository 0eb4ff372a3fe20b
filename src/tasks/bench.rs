//! `bench-noop`, `bench-sleep` and `bench-token`: work without effect, by which the server is measured
//! and ill-treated. They exist only where the configuration says `bench_kinds = true`.

use std::{fs::OpenOptions, io::Write as _, path::Path, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;

use super::Env;
use crate::{
    domain::span,
    engine::{Done, Failure, Kind, RunContext},
    error::Error,
};

/// Where handlers of `bench-token` write, in the data directory.
const TOKENS: &str = "bench-tokens.log";
/// Between two writes of `bench-token` under its fence.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// Ends at once; counts when it was entered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Noop {}

/// Sleeps, and ends when it is asked to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sleep {
    #[serde(with = "span::required")]
    sleep_for: Duration,
}

/// Writes under its fence until its time is over, and leaves a line for each step in a file that all
/// handlers of the data directory share. The order of the lines is the order of the steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    #[serde(with = "span::required")]
    sleep_for: Duration,
}

impl Kind for Noop {
    const NAME: &'static str = "bench-noop";
    const ABOUT: &'static str = "Does nothing, for measuring";
    type Env = Env;

    async fn run(self, _: Env, context: RunContext) -> Result<Done, Failure> {
        Ok(entered(&context, Done::nothing_to_do("")))
    }
}

impl Kind for Sleep {
    const NAME: &'static str = "bench-sleep";
    const ABOUT: &'static str = "Sleeps, for measuring";
    type Env = Env;

    async fn run(self, _: Env, context: RunContext) -> Result<Done, Failure> {
        let done = entered(&context, Done::nothing_to_do(""));
        sleep(&context, self.sleep_for).await?;
        Ok(done)
    }
}

impl Kind for Token {
    const NAME: &'static str = "bench-token";
    const ABOUT: &'static str = "Writes under its fencing token, for chaos";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let done = entered(&context, Done::worked(""));
        let file = env.shared.data.join(TOKENS);
        note(&file, &context, "start")?;
        let mut left = self.sleep_for;
        let mut writes = 0;
        loop {
            // Noted before the write begins: if a later token's start stands above this line, the
            // write must be refused.
            note(&file, &context, "try")?;
            match context.begin().await?.commit().await {
                Ok(()) => note(&file, &context, "written")?,
                Err(error @ Error::Aborted { .. }) => {
                    note(&file, &context, "refused")?;
                    return Err(Failure::never(error));
                }
                Err(error) => return Err(error.into()),
            }
            writes += 1;
            if left.is_zero() {
                break;
            }
            let next = left.min(WRITE_EVERY);
            sleep(&context, next).await?;
            left -= next;
        }
        note(&file, &context, "end")?;
        Ok(done.count("writes", writes))
    }
}

/// Counts when the handler was entered, in microseconds since the Unix epoch.
fn entered(context: &RunContext, done: Done) -> Done {
    done.count("entered_us", context.clock.now().as_microsecond())
}

/// Real time: the clock of the schedule may be made to jump.
async fn sleep(context: &RunContext, span: Duration) -> Result<(), Failure> {
    let slept = context
        .cancel
        .run_until_cancelled(tokio::time::sleep(span))
        .await;
    slept.ok_or_else(|| anyhow::anyhow!("stopped while sleeping").into())
}

/// One line in one write, so that those of several processes do not mix.
fn note(file: &Path, context: &RunContext, step: &str) -> anyhow::Result<()> {
    let line = format!(
        "{} {} {step} {}\n",
        context.run,
        context.token,
        std::process::id()
    );
    let about = || format!("could not write to {}", file.display());
    let opened = OpenOptions::new().append(true).create(true).open(file);
    let mut opened = opened.with_context(about)?;
    opened.write_all(line.as_bytes()).with_context(about)
}
