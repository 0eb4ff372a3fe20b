//! `bellctl run`: shows runs, and the verbs that stop or repeat them.

use watchbell_client::{
    call::request_id,
    pb::{CancelRunRequest, GetRunRequest, ListRunsRequest, RetryRunRequest, Run, RunState},
};

use crate::{
    args::{CancelArgs, Format, ListRunsArgs, RetryArgs, RunCommand, WaitArgs},
    commands::{logs, run_view, wait::wait_for, watch},
    exit::Exit,
    failure::Failure,
    name::{RunName, TaskName},
    session::{Session, pages, tell_more, tell_none},
};

/// Does one of the commands.
pub(super) async fn run(session: &Session, command: &RunCommand) -> Result<Exit, Failure> {
    match command {
        RunCommand::List(args) => list(session, args).await,
        RunCommand::Show { name } => show(session, name).await,
        RunCommand::Watch(args) => watch::follow(session, args).await,
        RunCommand::Wait(args) => wait(session, args).await,
        RunCommand::Cancel(args) => cancel(session, args).await,
        RunCommand::Retry(args) => retry(session, args).await,
        RunCommand::Logs(args) => logs::print(session, args).await,
    }
}

async fn list(session: &Session, args: &ListRunsArgs) -> Result<Exit, Failure> {
    let task = args.task.clone().map(TaskName::into_resource);
    let request = ListRunsRequest {
        task: task.unwrap_or_default(),
        page_size: args.page.bite(),
        page_token: String::new(),
        states: args.state.iter().map(|&state| state.into()).collect(),
        triggers: args.trigger.iter().map(|&trigger| trigger.into()).collect(),
        queued_since_time: session.instant(args.since.as_ref(), None)?,
        queued_before_time: session.instant(args.before.as_ref(), None)?,
        full: args.full,
    };
    let first = args.page.page_token.clone();
    let (runs, next) = pages(args.page.all, first, async |page_token| {
        let request = ListRunsRequest {
            page_token,
            ..request.clone()
        };
        let response = session
            .ask(request, async |request| {
                session.client.runs().list_runs(request).await
            })
            .await?;
        Ok((response.runs, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("runs", &runs, &next)?;
        return Ok(Exit::Good);
    }
    if runs.is_empty() {
        tell_none(session, "no runs", &next)?;
    } else {
        session
            .output
            .table(run_view::table(&session.clock, &runs))?;
        tell_more(&next);
    }
    Ok(Exit::Good)
}

async fn show(session: &Session, name: &RunName) -> Result<Exit, Failure> {
    let request = GetRunRequest {
        name: name.clone().into_resource(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.runs().get_run(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
        return Ok(Exit::Good);
    }
    let run = response.run.unwrap_or_default();
    session
        .output
        .table(run_view::list(&session.clock, &run)?)?;
    if !run.attempts.is_empty() {
        session.output.line("")?;
        session
            .output
            .table(run_view::attempts(&session.clock, &run.attempts))?;
    }
    Ok(Exit::Good)
}

async fn wait(session: &Session, args: &WaitArgs) -> Result<Exit, Failure> {
    let name = args.name.clone().into_resource();
    let at_most = args.timeout.map(|length| length.0);
    let (exit, _) = wait_for(session, &name, at_most).await?;
    Ok(exit)
}

async fn cancel(session: &Session, args: &CancelArgs) -> Result<Exit, Failure> {
    let request = CancelRunRequest {
        name: args.name.clone().into_resource(),
        reason: args.reason.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.runs().cancel_run(request).await
        })
        .await?;
    let run = response.run.clone().unwrap_or_default();
    if args.wait {
        let (exit, ended) = wait_for(session, &run.name, None).await?;
        return Ok(exit_of_cancel(exit, ended.as_ref()));
    }
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else if run.state() == RunState::Cancelled {
        session.output.line(&run_view::one_line(session, &run))?;
    } else {
        let line = run_view::one_line(session, &run);
        session.output.line(&format!("asked to stop: {line}"))?;
    }
    Ok(Exit::Good)
}

async fn retry(session: &Session, args: &RetryArgs) -> Result<Exit, Failure> {
    let request = RetryRunRequest {
        name: args.name.clone().into_resource(),
        reason: args.reason.clone(),
        ignore_pause: args.ignore_pause,
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.runs().retry_run(request).await
        })
        .await?;
    let run = response.run.clone().unwrap_or_default();
    if args.wait {
        if session.output.format == Format::Table {
            // Whoever stops waiting needs the name.
            session.output.line(&run_view::one_line(session, &run))?;
        }
        let (exit, _) = wait_for(session, &run.name, None).await?;
        return Ok(exit);
    }
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        session.output.line(&run_view::one_line(session, &run))?;
    }
    Ok(Exit::Good)
}

/// A run that was to be cancelled and was is what was asked for.
fn exit_of_cancel(exit: Exit, ended: Option<&Run>) -> Exit {
    match ended.map(Run::state) {
        Some(RunState::Cancelled) => Exit::Good,
        // It was faster: the cancel did not happen.
        Some(RunState::Succeeded) => Exit::Refused,
        _ => exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_that_came_too_late_is_no_success() {
        let run = |state: RunState| Run {
            state: state.into(),
            ..Run::default()
        };
        let exit = |state| {
            let run = run(state);
            exit_of_cancel(Exit::of_run(&run), Some(&run))
        };
        assert_eq!(exit(RunState::Cancelled), Exit::Good);
        assert_eq!(exit(RunState::Succeeded), Exit::Refused);
        assert_eq!(exit(RunState::Failed), Exit::RunFailed);
    }
}
