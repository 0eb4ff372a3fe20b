//! Waits for a run, and tells what it became.

use std::time::Duration;

use watchbell_client::pb::Run;

use crate::{
    args::Format,
    commands::run_view::one_line,
    exit::Exit,
    failure::Failure,
    name::short_run,
    output::{remark, spinner},
    session::Session,
};

/// Waits until the run `name` has ended, or for `at_most`, and shows it. The run goes on whatever
/// becomes of the wait.
pub(super) async fn wait_for(
    session: &Session,
    name: &str,
    at_most: Option<Duration>,
) -> Result<(Exit, Option<Run>), Failure> {
    let spinner = spinner(&format!("waiting for {}", short_run(name)));
    let answer = session.client.wait_run(name, at_most).await;
    spinner.finish_and_clear();
    let answer = answer?;
    let exit = match &answer.run {
        Some(run) if answer.done => Exit::of_run(run),
        Some(_) | None => Exit::StillRunning,
    };
    if session.output.format == Format::Json {
        session.output.json(&answer)?;
    } else if let Some(run) = &answer.run {
        session.output.line(&one_line(session, run))?;
    }
    if exit == Exit::StillRunning {
        remark("the run has not ended; it goes on");
    }
    Ok((exit, answer.run))
}
