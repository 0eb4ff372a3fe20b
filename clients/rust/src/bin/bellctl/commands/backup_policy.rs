//! `bellctl backup policy`.

use watchbell_client::{
    call::request_id,
    pb::{
        BackupKind, BackupPolicy, BackupPolicyState, CreateBackupPolicyRequest,
        DeleteBackupPolicyRequest, GetBackupPolicyRequest, ListBackupPoliciesRequest, Pause,
        RetentionPolicy, UpdateBackupPolicyRequest,
    },
};

use crate::{
    args::{Format, KeepArgs, PolicyCommand, PolicyFields, PolicyName},
    commands::{
        pause::{describe, next_due, warn_of_all},
        task_flags::{lay_timing, touches_timing},
    },
    exit::Exit,
    failure::Failure,
    label::label_of,
    name::short,
    output::Tint,
    session::{LARGEST_PAGE, Session, pages, tell_none},
    table::{Field, Table},
    text::plain,
    time::{Length, show_length},
};

/// Does one of the commands.
pub(super) async fn run(session: &Session, command: &PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::List => list(session).await,
        PolicyCommand::Show { id } => {
            let policy = get(session, id).await?;
            shown(session, &policy).await
        }
        PolicyCommand::Create(fields) => create(session, fields).await,
        PolicyCommand::Update(fields) => update(session, fields).await,
        PolicyCommand::Enable { id } => enable(session, id, true).await,
        PolicyCommand::Disable { id } => enable(session, id, false).await,
        PolicyCommand::Delete { id } => delete(session, id).await,
    }
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let (policies, next) = pages(true, String::new(), async |page_token| {
        let request = ListBackupPoliciesRequest {
            page_size: LARGEST_PAGE,
            page_token,
        };
        let response = session
            .ask(request, async |request| {
                session.client.backups().list_backup_policies(request).await
            })
            .await?;
        Ok((response.policies, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("policies", &policies, &next)?;
        return Ok(Exit::Good);
    }
    if policies.is_empty() {
        tell_none(session, "no backup policies", &next)?;
        return Ok(Exit::Good);
    }
    let all = session.pause_of_all().await?;
    warn_of_all(session, all.as_ref())?;
    let mut table = Table::new(&[
        "POLICY",
        "KIND",
        "STATE",
        "SCHEDULE",
        "NEXT DUE",
        "LAST GOOD",
        "POINTS",
        "KEEPS",
        "DESCRIPTION",
    ]);
    for policy in &policies {
        table.row([
            short(&policy.name).into(),
            label_of::<BackupKind>(policy.kind).into(),
            state(policy),
            when(policy).into(),
            next_of(session, policy, all.as_ref()),
            session.clock.show(policy.last_success_time.as_ref()).into(),
            policy.restore_point_count.to_string().into(),
            keeps(policy.retention.as_ref()).into(),
            (&policy.description).into(),
        ]);
    }
    session.output.table(table)?;
    Ok(Exit::Good)
}

async fn get(session: &Session, id: &PolicyName) -> Result<BackupPolicy, Failure> {
    let request = GetBackupPolicyRequest {
        name: id.resource(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().get_backup_policy(request).await
        })
        .await?;
    Ok(response.policy.unwrap_or_default())
}

async fn shown(session: &Session, policy: &BackupPolicy) -> Result<Exit, Failure> {
    if session.output.format == Format::Json {
        session.output.json(policy)?;
        return Ok(Exit::Good);
    }
    let all = session.pause_of_all().await?;
    warn_of_all(session, all.as_ref())?;
    let mut list = Table::list();
    list.entry("policy", &policy.name);
    list.entry("description", &policy.description);
    list.entry("kind", label_of::<BackupKind>(policy.kind));
    list.entry("state", state(policy));
    list.entry("because", &policy.state_message);
    list.entry("schedule", when(policy));
    list.entry("sources", policy.sources.join(", "));
    list.entry("keeps", keeps(policy.retention.as_ref()));
    list.entry(
        "priority",
        policy
            .priority
            .map_or_else(String::new, |priority| priority.to_string()),
    );
    list.entry("task", &policy.task);
    if let Some(pause) = &policy.pause {
        let told = describe(&session.clock, pause);
        list.entry("its task", Field::tinted(&told, Tint::Warning));
    }
    list.entry("next due", next_of(session, policy, all.as_ref()));
    list.entry(
        "last good",
        session.clock.show(policy.last_success_time.as_ref()),
    );
    list.entry("restore points", policy.restore_point_count.to_string());
    let changed = session.clock.show(policy.update_time.as_ref());
    list.entry(
        "changed",
        format!("{changed} by {}", policy.update_principal),
    );
    list.entry("etag", &policy.etag);
    session.output.table(list)?;
    Ok(Exit::Good)
}

async fn create(session: &Session, fields: &PolicyFields) -> Result<Exit, Failure> {
    let mut policy = BackupPolicy {
        kind: fields.kind.unwrap_or(BackupKind::Full).into(),
        ..BackupPolicy::default()
    };
    lay(session, &mut policy, fields)?;
    let request = CreateBackupPolicyRequest {
        policy_id: fields.id.id().to_owned(),
        policy: Some(policy),
        request_id: request_id(),
        ..CreateBackupPolicyRequest::default()
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().create_backup_policy(request).await
        })
        .await?;
    told(session, "created", &response.policy.unwrap_or_default())
}

async fn update(session: &Session, fields: &PolicyFields) -> Result<Exit, Failure> {
    // What is laid over is what is there: a schedule keeps its zone where only its line is given.
    let mut policy = get(session, &fields.id).await?;
    if let Some(kind) = fields.kind {
        policy.kind = kind.into();
    }
    let paths = lay(session, &mut policy, fields)?;
    if paths.is_empty() {
        return Err(Failure::Usage("nothing to change was given".to_owned()));
    }
    change(session, policy, paths, "updated").await
}

async fn enable(session: &Session, id: &PolicyName, enabled: bool) -> Result<Exit, Failure> {
    let policy = BackupPolicy {
        name: id.resource(),
        enabled: Some(enabled),
        ..BackupPolicy::default()
    };
    let done = if enabled { "enabled" } else { "disabled" };
    change(session, policy, vec!["enabled".to_owned()], done).await
}

async fn change(
    session: &Session,
    policy: BackupPolicy,
    paths: Vec<String>,
    done: &str,
) -> Result<Exit, Failure> {
    let request = UpdateBackupPolicyRequest {
        policy: Some(policy),
        update_mask: Some(prost_types::FieldMask { paths }),
        request_id: request_id(),
        ..UpdateBackupPolicyRequest::default()
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().update_backup_policy(request).await
        })
        .await?;
    told(session, done, &response.policy.unwrap_or_default())
}

async fn delete(session: &Session, id: &PolicyName) -> Result<Exit, Failure> {
    let request = DeleteBackupPolicyRequest {
        name: id.resource(),
        request_id: request_id(),
        ..DeleteBackupPolicyRequest::default()
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().delete_backup_policy(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
    } else {
        session
            .output
            .line(&format!("deleted {}; its restore points stay", id.id()))?;
    }
    Ok(Exit::Good)
}

fn told(session: &Session, done: &str, policy: &BackupPolicy) -> Result<Exit, Failure> {
    if session.output.format == Format::Json {
        session.output.json(policy)?;
        return Ok(Exit::Good);
    }
    let state = label_of::<BackupPolicyState>(policy.state);
    let why = match policy.state_message.as_str() {
        "" => String::new(),
        why => format!(": {why}"),
    };
    let line = format!(
        "{done} {}, {}; it is {state}{why}",
        policy.name,
        when(policy)
    );
    session.output.line(&plain(&line))?;
    Ok(Exit::Good)
}

/// Lays flags over a policy; says which fields that touches.
fn lay(
    session: &Session,
    policy: &mut BackupPolicy,
    fields: &PolicyFields,
) -> Result<Vec<String>, Failure> {
    let mut paths = Vec::new();
    if let Some(description) = &fields.description {
        policy.description.clone_from(description);
        paths.push("description".to_owned());
    }
    if !fields.source.is_empty() {
        policy.sources.clone_from(&fields.source);
        paths.push("sources".to_owned());
    }
    if fields.priority.is_some() {
        policy.priority = fields.priority;
        paths.push("priority".to_owned());
    }
    if touches_timing(&fields.timing) {
        let schedule = policy.schedule.get_or_insert_default();
        lay_timing(schedule, &fields.timing, &|moment, zone| {
            session.instant(moment, zone)
        })?;
        paths.push("schedule".to_owned());
    }
    if let Some(retention) = retention(&fields.keep) {
        policy.retention = Some(retention);
        paths.push("retention".to_owned());
    }
    Ok(paths)
}

/// The rules that flags give; none without any.
pub(super) fn retention(keep: &KeepArgs) -> Option<RetentionPolicy> {
    let counts = [
        keep.keep_last,
        keep.keep_hourly,
        keep.keep_daily,
        keep.keep_weekly,
        keep.keep_monthly,
        keep.keep_yearly,
        keep.max_count,
    ];
    let lengths = [keep.keep_within, keep.max_age];
    if counts.iter().all(Option::is_none) && lengths.iter().all(Option::is_none) {
        return None;
    }
    let count = |count: Option<i32>| count.unwrap_or_default();
    Some(RetentionPolicy {
        keep_last: count(keep.keep_last),
        keep_hourly: count(keep.keep_hourly),
        keep_daily: count(keep.keep_daily),
        keep_weekly: count(keep.keep_weekly),
        keep_monthly: count(keep.keep_monthly),
        keep_yearly: count(keep.keep_yearly),
        keep_within: keep.keep_within.and_then(Length::to_proto),
        max_age: keep.max_age.and_then(Length::to_proto),
        max_count: count(keep.max_count),
    })
}

/// When it is due next, if nothing is paused.
fn next_of(session: &Session, policy: &BackupPolicy, all: Option<&Pause>) -> Field {
    let (due, own) = (policy.next_due_time.as_ref(), policy.pause.as_ref());
    next_due(&session.clock, due, own, all)
}

/// Such as `last 30, 7 daily, at most 400 d`.
fn keeps(retention: Option<&RetentionPolicy>) -> String {
    let Some(retention) = retention else {
        return "-".to_owned();
    };
    let mut rules = Vec::new();
    if 0 < retention.keep_last {
        rules.push(format!("last {}", retention.keep_last));
    }
    for (count, word) in [
        (retention.keep_hourly, "hourly"),
        (retention.keep_daily, "daily"),
        (retention.keep_weekly, "weekly"),
        (retention.keep_monthly, "monthly"),
        (retention.keep_yearly, "yearly"),
    ] {
        if 0 < count {
            rules.push(format!("{count} {word}"));
        }
    }
    if retention.keep_within.is_some() {
        rules.push(format!(
            "within {}",
            show_length(retention.keep_within.as_ref())
        ));
    }
    if retention.max_age.is_some() {
        rules.push(format!(
            "none over {}",
            show_length(retention.max_age.as_ref())
        ));
    }
    if 0 < retention.max_count {
        rules.push(format!("at most {}", retention.max_count));
    }
    rules.join(", ")
}

fn when(policy: &BackupPolicy) -> String {
    let Some(schedule) = &policy.schedule else {
        return "on demand".to_owned();
    };
    if !schedule.cron.is_empty() {
        let zone = match schedule.time_zone.as_str() {
            "" => String::new(),
            zone => format!(" {zone}"),
        };
        return format!("{}{zone}", schedule.cron);
    }
    match (&schedule.every, &schedule.at) {
        (Some(_), _) => format!("every {}", show_length(schedule.every.as_ref())),
        (None, Some(_)) => "once".to_owned(),
        (None, None) => "on demand".to_owned(),
    }
}

fn state(policy: &BackupPolicy) -> Field {
    let text = label_of::<BackupPolicyState>(policy.state);
    let tint = match policy.state() {
        BackupPolicyState::Active => Tint::Good,
        BackupPolicyState::Disabled => Tint::Faint,
        BackupPolicyState::Unavailable | BackupPolicyState::Unspecified => Tint::Warning,
    };
    Field::tinted(text, tint)
}
