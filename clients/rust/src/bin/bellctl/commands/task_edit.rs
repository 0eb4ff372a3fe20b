//! `bellctl task create` and `update`.

use tonic::Code;
use watchbell_client::{
    call::request_id,
    json,
    pb::{CreateTaskRequest, Task, UpdateTaskRequest},
};

use crate::{
    args::{CreateArgs, Format, UpdateArgs},
    commands::{
        task::{get, told_next},
        task_flags::touches_parts,
        task_spec::Draft,
        task_view,
    },
    exit::Exit,
    failure::Failure,
    name::short,
    session::Session,
};

/// Creates a task from flags, a file, or a file under flags.
pub(super) async fn create(session: &Session, args: &CreateArgs) -> Result<Exit, Failure> {
    let mut draft = match &args.file {
        Some(path) => Draft::read(path)?,
        None => Draft::default(),
    };
    draft.lay(session, &args.spec)?;
    let mut task = draft.task;
    if let Some(name) = &args.name {
        task.name = name.clone().into_resource();
    }
    if let Some(kind) = &args.kind {
        task.kind.clone_from(kind);
    }
    if task.name.is_empty() {
        return Err(Failure::Usage(
            "neither the command line nor the file names the task".into(),
        ));
    }
    // The etag of the task that the file was made from says nothing about the new one.
    task.etag.clear();
    let request = CreateTaskRequest {
        task_id: short(&task.name).to_owned(),
        task: Some(task),
        validate_only: args.validate_only,
        request_id: request_id(),
        reason: args.reason.clone(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().create_task(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        let done = if args.validate_only {
            "valid, not created:"
        } else {
            "created"
        };
        told_next(session, done, &response.task.unwrap_or_default()).await?;
    }
    Ok(Exit::Good)
}

/// Changes what flags and file say and nothing else: on a task of the configuration, each field that
/// is named becomes an override.
pub(super) async fn update(session: &Session, args: &UpdateArgs) -> Result<Exit, Failure> {
    let mut draft = match &args.file {
        Some(path) => Draft::read(path)?,
        None => Draft::default(),
    };
    let name = args.name.clone().into_resource();
    if !draft.task.name.is_empty() && draft.task.name != name {
        let other = &draft.task.name;
        return Err(Failure::Usage(format!(
            "the file holds {other}, not {name}"
        )));
    }
    let file_etag = draft.task.etag.clone();
    let present = if args.file.is_some() || touches_parts(&args.spec) {
        present_task(session, args).await?
    } else {
        None
    };
    let mut etag = args.etag.clone().unwrap_or(file_etag);
    if let Some(present) = &present {
        let borrowed = borrow_parts(&mut draft.task, &draft.paths, present);
        if touches_parts(&args.spec) && borrowed && etag.is_empty() {
            // What was read is written back, so nobody may have changed it in between.
            etag.clone_from(&present.etag);
        }
    }
    draft.lay(session, &args.spec)?;
    let mut paths = draft.paths;
    if paths.is_empty() {
        return Err(Failure::Usage(
            "nothing to change: say what, with flags or --file".into(),
        ));
    }
    if let Some(present) = &present {
        paths = json::differing_paths(paths, &draft.task, present)?;
        if paths.is_empty() {
            return unchanged(session, present).await;
        }
    }
    let task = Task {
        name,
        etag,
        ..draft.task
    };
    let request = UpdateTaskRequest {
        task: Some(task),
        update_mask: Some(prost_types::FieldMask { paths }),
        allow_missing: args.allow_missing,
        validate_only: args.validate_only,
        request_id: request_id(),
        reason: args.reason.clone(),
    };
    send(session, request).await
}

async fn send(session: &Session, request: UpdateTaskRequest) -> Result<Exit, Failure> {
    let done = if request.validate_only {
        "valid, not changed:"
    } else {
        "changed"
    };
    let response = session
        .ask(request, async |request| {
            session.client.tasks().update_task(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        told_next(session, done, &response.task.unwrap_or_default()).await?;
    }
    Ok(Exit::Good)
}

/// The task as it is, or none where it may be missing and is.
async fn present_task(session: &Session, args: &UpdateArgs) -> Result<Option<Task>, Failure> {
    let answer = session
        .ask(get(&args.name), async |request| {
            session.client.tasks().get_task(request).await
        })
        .await;
    match answer {
        Ok(response) => Ok(response.task),
        Err(Failure::Answer(status)) if args.allow_missing && status.code() == Code::NotFound => {
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Gives the draft the parts that its file does not name, so that a flag for one part of a schedule
/// leaves the others as they are. Says whether there were any.
fn borrow_parts(draft: &mut Task, paths: &[String], present: &Task) -> bool {
    let named = |path: &str| paths.iter().any(|known| known == path);
    let mut borrowed = false;
    if !named("schedule") {
        draft.schedule.clone_from(&present.schedule);
        borrowed = true;
    }
    if !named("catch_up") {
        draft.catch_up.clone_from(&present.catch_up);
        borrowed = true;
    }
    if !named("retry") {
        draft.retry.clone_from(&present.retry);
        borrowed = true;
    }
    if !named("history") {
        draft.history.clone_from(&present.history);
        borrowed = true;
    }
    borrowed
}

async fn unchanged(session: &Session, task: &Task) -> Result<Exit, Failure> {
    if session.output.format == Format::Json {
        // The shape of the answer that an update would have had.
        session
            .output
            .json(&watchbell_client::pb::UpdateTaskResponse {
                task: Some(task.clone()),
            })?;
    } else {
        session
            .output
            .line("nothing to change: the task is so already")?;
        let all = session.pause_of_all().await?;
        task_view::show(session, task, all.as_ref())?;
    }
    Ok(Exit::Good)
}

#[cfg(test)]
mod tests {
    use watchbell_client::pb::Schedule;

    use super::*;

    #[test]
    fn parts_that_the_file_names_are_not_borrowed() {
        let present = Task {
            schedule: Some(Schedule {
                cron: "@daily".into(),
                ..Schedule::default()
            }),
            retry: Some(watchbell_client::pb::RetryPolicy::default()),
            ..Task::default()
        };
        let mut draft = Task::default();
        borrow_parts(&mut draft, &["schedule".to_owned()], &present);
        assert_eq!(draft.schedule, None);
        assert_eq!(draft.retry, present.retry);
    }
}
