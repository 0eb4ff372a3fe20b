//! `bellctl backup`: runs, watches and verifies; what shows and edits has files of its own.

use watchbell_client::{
    call::request_id,
    pb::{
        GetRestorePointRequest, ListRestorePointsRequest, ListRunsRequest, PinRestorePointRequest,
        RestorePoint, Run, RunBackupRequest, RunState, VerificationLevel,
        VerifyRestorePointRequest,
    },
};

use crate::{
    args::{BackupCommand, Format, PointName, RunBackupArgs, VerifyArgs, WaitFlag},
    commands::{
        backup_evidence, backup_files, backup_keep, backup_losses, backup_policy, backup_restore,
        backup_show, run_view::one_line,
    },
    exit::Exit,
    failure::Failure,
    name::{RunName, short, short_run},
    output::remark,
    progress::StepBar,
    session::{LARGEST_PAGE, Session, pages, tell_none},
};

/// Tasks whose runs can be followed, besides those of policies.
const TASKS: [&str; 3] = ["verify-backups", "restore-backup", "backup-cleanup"];

/// Does one of the commands.
pub(super) async fn run(session: &Session, command: &BackupCommand) -> Result<Exit, Failure> {
    match command {
        BackupCommand::Run(args) => run_policy(session, args).await,
        BackupCommand::Watch { run } => watch(session, run.as_ref()).await,
        BackupCommand::List(args) => backup_show::list(session, args).await,
        BackupCommand::Show { point } => backup_show::show(session, point).await,
        BackupCommand::Ls(args) => backup_files::ls(session, args).await,
        BackupCommand::Cat(args) => backup_files::cat(session, args).await,
        BackupCommand::Verify(args) => verify(session, args).await,
        BackupCommand::Drill(wait) => {
            let latest = PointName("latest".to_owned());
            verify_at(session, &latest, None, wait).await
        }
        BackupCommand::Restore(args) => backup_restore::restore(session, args).await,
        BackupCommand::PlanRetention(args) => backup_keep::plan(session, args).await,
        BackupCommand::ApplyRetention(args) => backup_keep::apply(session, args).await,
        BackupCommand::Pin { point, reason } => pin(session, point, Some(reason)).await,
        BackupCommand::Accept {
            point,
            reason,
            wait,
        } => backup_losses::accept(session, point, reason, *wait).await,
        BackupCommand::Unpin { point } => pin(session, point, None).await,
        BackupCommand::Remove(args) => backup_keep::remove(session, args).await,
        BackupCommand::Stats => backup_show::statistics(session).await,
        BackupCommand::Evidence(args) => backup_evidence::evidence(session, args).await,
        BackupCommand::Sources => backup_show::sources(session).await,
        BackupCommand::Policy(command) => backup_policy::run(session, command).await,
    }
}

async fn run_policy(session: &Session, args: &RunBackupArgs) -> Result<Exit, Failure> {
    let request = RunBackupRequest {
        name: args.policy.resource(),
        reason: args.wait.reason.clone(),
        ignore_pause: args.ignore_pause,
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().run_backup(request).await
        })
        .await?;
    begun(session, &response.run.unwrap_or_default(), args.wait.wait).await
}

async fn verify(session: &Session, args: &VerifyArgs) -> Result<Exit, Failure> {
    verify_at(session, &args.point, args.level, &args.wait).await
}

async fn verify_at(
    session: &Session,
    point: &PointName,
    level: Option<VerificationLevel>,
    wait: &WaitFlag,
) -> Result<Exit, Failure> {
    let request = VerifyRestorePointRequest {
        name: resolved(session, point).await?,
        level: level.unwrap_or(VerificationLevel::Unspecified).into(),
        reason: wait.reason.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().verify_restore_point(request).await
        })
        .await?;
    begun(session, &response.run.unwrap_or_default(), wait.wait).await
}

/// A run was queued: tells so, and follows it where that is wanted.
pub(super) async fn begun(session: &Session, run: &Run, wait: bool) -> Result<Exit, Failure> {
    if wait {
        if session.output.format == Format::Table {
            // Whoever stops waiting needs the name.
            session.output.line(&one_line(session, run))?;
        }
        return follow(session, &run.name).await;
    }
    if session.output.format == Format::Json {
        session.output.json(run)?;
    } else {
        session.output.line(&one_line(session, run))?;
        remark(&format!(
            "`bellctl backup watch {}` follows it",
            short_run(&run.name)
        ));
    }
    Ok(Exit::Good)
}

/// Shows how far a run is until it has ended.
async fn follow(session: &Session, name: &str) -> Result<Exit, Failure> {
    let bar = StepBar::new(&short_run(name));
    let run = session
        .client
        .follow_backup(name, |progress| bar.show(progress))
        .await;
    bar.finish();
    let run = run?;
    if session.output.format == Format::Json {
        session.output.json(&run)?;
    } else {
        session.output.line(&one_line(session, &run))?;
    }
    Ok(Exit::of_run(&run))
}

async fn watch(session: &Session, run: Option<&RunName>) -> Result<Exit, Failure> {
    if let Some(run) = run {
        return follow(session, &run.clone().into_resource()).await;
    }
    let of_backups = |run: &Run| {
        let task = short(&run.task);
        run.kind == "backup" || TASKS.contains(&task)
    };
    // Page by page, until one has some: behind many other runs there may be a backup.
    let (runs, next) = pages(false, String::new(), async |page_token| {
        let request = ListRunsRequest {
            page_size: LARGEST_PAGE,
            page_token,
            states: vec![
                RunState::Running.into(),
                RunState::RetryWait.into(),
                RunState::Queued.into(),
            ],
            ..ListRunsRequest::default()
        };
        let response = session
            .ask(request, async |request| {
                session.client.runs().list_runs(request).await
            })
            .await?;
        let mut runs = response.runs;
        runs.retain(of_backups);
        Ok((runs, response.next_page_token))
    })
    .await?;
    match runs.first() {
        Some(run) => follow(session, &run.name).await,
        None => {
            let what = "no backup, verification or restore is under way";
            tell_none(session, what, &next)?;
            Ok(Exit::Good)
        }
    }
}

async fn pin(
    session: &Session,
    point: &PointName,
    reason: Option<&String>,
) -> Result<Exit, Failure> {
    let request = PinRestorePointRequest {
        name: resolved(session, point).await?,
        pinned: reason.is_some(),
        reason: reason.cloned().unwrap_or_default(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().pin_restore_point(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        let point = response.restore_point.unwrap_or_default();
        let done = if point.pin.is_some() {
            "pinned"
        } else {
            "let go"
        };
        session
            .output
            .line(&format!("{done} {}", crate::text::plain(&point.name)))?;
    }
    Ok(Exit::Good)
}

/// The resource name of a point of which the beginning was given.
pub(super) async fn resolved(session: &Session, point: &PointName) -> Result<String, Failure> {
    if point.0.len() == 36 {
        return Ok(format!("restorePoints/{}", point.0));
    }
    if point.0 == "latest" {
        let request = GetRestorePointRequest {
            name: "restorePoints/latest".to_owned(),
        };
        let response = session
            .ask(request, async |request| {
                session.client.backups().get_restore_point(request).await
            })
            .await?;
        return Ok(response.restore_point.unwrap_or_default().name);
    }
    let mut page_token = String::new();
    let mut found: Vec<RestorePoint> = Vec::new();
    loop {
        let request = ListRestorePointsRequest {
            page_size: LARGEST_PAGE,
            page_token: page_token.clone(),
            show_removed: true,
            ..ListRestorePointsRequest::default()
        };
        let response = session
            .ask(request, async |request| {
                session.client.backups().list_restore_points(request).await
            })
            .await?;
        let begins = |found: &RestorePoint| short(&found.name).starts_with(&point.0);
        found.extend(response.restore_points.into_iter().filter(begins));
        let next = response.next_page_token;
        if next.is_empty() || next == page_token || 1 < found.len() {
            break;
        }
        page_token = next;
    }
    match found.as_slice() {
        [one] => Ok(one.name.clone()),
        [] => Err(Failure::Usage(format!(
            "no restore point begins with {}",
            point.0
        ))),
        _ => Err(Failure::Usage(format!(
            "more than one restore point begins with {}: give more of it",
            point.0
        ))),
    }
}
