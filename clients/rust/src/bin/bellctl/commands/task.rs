//! `bellctl task`: shows tasks, and the verbs that change their state.

use watchbell_client::{
    call::request_id,
    pb::{
        DeleteTaskRequest, GetTaskRequest, ListTasksRequest, PauseTaskRequest, RealignTaskRequest,
        ResetTaskRequest, ResumeTaskRequest, Task, TriggerTaskRequest, View,
    },
};

use crate::{
    args::{
        DeleteArgs, Format, ListTasksArgs, PauseTaskArgs, RealignArgs, TaskCommand, TriggerArgs,
    },
    commands::{
        pause::{describe, warn_of_all},
        run_view::one_line,
        task_edit, task_history, task_spec, task_view,
        wait::wait_for,
    },
    exit::Exit,
    failure::Failure,
    name::TaskName,
    output::remark,
    session::{Session, pages, tell_more, tell_none},
    text::plain,
};

/// Does one of the commands.
pub(super) async fn run(session: &Session, command: &TaskCommand) -> Result<Exit, Failure> {
    match command {
        TaskCommand::List(args) => list(session, args).await,
        TaskCommand::Show { name } => show(session, name).await,
        TaskCommand::Trigger(args) => trigger(session, args).await,
        TaskCommand::Pause(args) => pause(session, args).await,
        TaskCommand::Resume { name } => resume(session, name).await,
        TaskCommand::Create(args) => task_edit::create(session, args).await,
        TaskCommand::Update(args) => task_edit::update(session, args).await,
        TaskCommand::Delete(args) => delete(session, args).await,
        TaskCommand::Reset(args) => reset(session, args).await,
        TaskCommand::Realign(args) => realign(session, args).await,
        TaskCommand::Backfill(args) => task_history::backfill(session, args).await,
        TaskCommand::Slots(args) => task_history::slots(session, args).await,
        TaskCommand::Stats { name } => task_history::statistics(session, name).await,
    }
}

async fn list(session: &Session, args: &ListTasksArgs) -> Result<Exit, Failure> {
    let view = if args.full { View::Full } else { View::Basic };
    let request = ListTasksRequest {
        page_size: args.page.bite(),
        page_token: String::new(),
        kind: args.kind.clone(),
        category: args.category.clone(),
        owner: args.owner.clone(),
        paused: args.paused,
        failing: args.failing,
        view: view.into(),
    };
    let first = args.page.page_token.clone();
    let (tasks, next) = pages(args.page.all, first, async |page_token| {
        let request = ListTasksRequest {
            page_token,
            ..request.clone()
        };
        let response = session
            .ask(request, async |request| {
                session.client.tasks().list_tasks(request).await
            })
            .await?;
        Ok((response.tasks, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("tasks", &tasks, &next)?;
        return Ok(Exit::Good);
    }
    if tasks.is_empty() {
        tell_none(session, "no tasks", &next)?;
    } else {
        let all = session.pause_of_all().await?;
        warn_of_all(session, all.as_ref())?;
        let table = task_view::table(&session.clock, &tasks, all.as_ref());
        session.output.table(table)?;
        tell_more(&next);
    }
    Ok(Exit::Good)
}

async fn show(session: &Session, name: &TaskName) -> Result<Exit, Failure> {
    let response = session
        .ask(get(name), async |request| {
            session.client.tasks().get_task(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        let task = response.task.unwrap_or_default();
        let all = session.pause_of_all().await?;
        task_view::show(session, &task, all.as_ref())?;
    }
    Ok(Exit::Good)
}

async fn trigger(session: &Session, args: &TriggerArgs) -> Result<Exit, Failure> {
    let request = TriggerTaskRequest {
        name: args.name.clone().into_resource(),
        parameters: task_spec::values(args.parameters.as_deref(), &args.values)?,
        dry_run: args.dry_run,
        ignore_pause: args.ignore_pause,
        reason: args.reason.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().trigger_task(request).await
        })
        .await?;
    let run = response.run.clone().unwrap_or_default();
    if args.wait {
        if session.output.format == Format::Table {
            // Whoever stops waiting needs the name.
            session.output.line(&one_line(session, &run))?;
        }
        let (exit, _) = wait_for(session, &run.name, None).await?;
        return Ok(exit);
    }
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        session.output.line(&one_line(session, &run))?;
    }
    Ok(Exit::Good)
}

async fn pause(session: &Session, args: &PauseTaskArgs) -> Result<Exit, Failure> {
    let request = PauseTaskRequest {
        name: args.name.clone().into_resource(),
        reason: args.pause.reason.clone(),
        until_time: session.instant(args.pause.end().as_ref(), None)?,
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().pause_task(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        let task = response.task.unwrap_or_default();
        let told = describe(&session.clock, &task.pause.unwrap_or_default());
        let name = args.name.id();
        session.output.line(&format!("{name} is {told}"))?;
    }
    Ok(Exit::Good)
}

async fn resume(session: &Session, name: &TaskName) -> Result<Exit, Failure> {
    let request = ResumeTaskRequest {
        name: name.clone().into_resource(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().resume_task(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        told_next(session, "resumed", &response.task.unwrap_or_default()).await?;
    }
    Ok(Exit::Good)
}

async fn delete(session: &Session, args: &DeleteArgs) -> Result<Exit, Failure> {
    let request = DeleteTaskRequest {
        name: args.name.clone().into_resource(),
        etag: args.etag.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().delete_task(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        session
            .output
            .line(&format!("deleted {}", args.name.id()))?;
    }
    Ok(Exit::Good)
}

async fn reset(session: &Session, args: &DeleteArgs) -> Result<Exit, Failure> {
    let request = ResetTaskRequest {
        name: args.name.clone().into_resource(),
        etag: args.etag.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().reset_task(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        told_next(session, "reset", &response.task.unwrap_or_default()).await?;
    }
    Ok(Exit::Good)
}

async fn realign(session: &Session, args: &RealignArgs) -> Result<Exit, Failure> {
    let request = RealignTaskRequest {
        name: args.name.clone().into_resource(),
        reason: args.reason.clone(),
        etag: args.etag.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().realign_task(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        told_next(session, "realigned", &response.task.unwrap_or_default()).await?;
    }
    Ok(Exit::Good)
}

/// The request for one task.
pub(super) fn get(name: &TaskName) -> GetTaskRequest {
    GetTaskRequest {
        name: name.clone().into_resource(),
    }
}

/// What was done to the task, and when it is due next.
pub(super) async fn told_next(session: &Session, done: &str, task: &Task) -> Result<(), Failure> {
    let name = plain(&task.name);
    let all = match &task.next_due_time {
        Some(_) => session.pause_of_all().await,
        None => Ok(None),
    };
    // What was asked for is done: a script that took this for a failure would do it again.
    let all = all.unwrap_or_else(|failure| {
        let why = plain(&failure.to_string());
        remark(&format!("whether everything is paused is not known: {why}"));
        None
    });
    let line = match &task.next_due_time {
        _ if task.pause.is_some() => format!("{done} {name}; it is paused"),
        Some(_) if let Some(pause) = &all => {
            let told = describe(&session.clock, pause);
            format!("{done} {name}; everything is {told}")
        }
        Some(next) => format!("{done} {name}; next due {}", session.clock.show(Some(next))),
        None => format!("{done} {name}; it is not due by itself"),
    };
    session.output.line(&line)
}
