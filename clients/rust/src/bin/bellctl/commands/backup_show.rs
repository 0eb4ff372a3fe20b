//! `bellctl backup list`, `show`, `stats` and `sources`.

use indicatif::HumanBytes;
use watchbell_client::pb::{
    BackupKind, BackupStatistics, GetBackupStatisticsRequest, GetRestorePointRequest,
    ListBackupSourcesRequest, ListRestorePointsRequest, RestorePoint, RestorePointState,
};

use crate::{
    args::{Format, ListPointsArgs, PointName},
    commands::{backup::resolved, backup_evidence::evidence_table, backup_losses},
    exit::Exit,
    failure::Failure,
    label::label_of,
    name::short,
    output::Tint,
    session::{LARGEST_PAGE, Session, pages, tell_more, tell_none},
    table::{Field, Table},
    text::plain,
    time::{Clock, show_length},
};

pub(super) async fn list(session: &Session, args: &ListPointsArgs) -> Result<Exit, Failure> {
    let request = ListRestorePointsRequest {
        page_size: args.page.bite(),
        page_token: String::new(),
        policy: args
            .policy
            .as_ref()
            .map_or_else(String::new, |policy| policy.resource()),
        show_removed: args.removed,
    };
    let first = args.page.page_token.clone();
    let (points, next) = pages(args.page.all, first, async |page_token| {
        let request = ListRestorePointsRequest {
            page_token,
            ..request.clone()
        };
        let response = session
            .ask(request, async |request| {
                session.client.backups().list_restore_points(request).await
            })
            .await?;
        Ok((response.restore_points, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("restorePoints", &points, &next)?;
        return Ok(Exit::Good);
    }
    if points.is_empty() {
        tell_none(session, "no restore points", &next)?;
    } else {
        session.output.table(table(&session.clock, &points))?;
        tell_more(&next);
    }
    Ok(Exit::Good)
}

fn table(clock: &Clock, points: &[RestorePoint]) -> Table {
    let mut table = Table::new(&[
        "POINT", "POLICY", "KIND", "AS OF", "STATE", "VERIFIED", "DRILLED", "SIZE", "ADDED",
        "NOTES",
    ]);
    for point in points {
        let since = |at: &Option<prost_types::Timestamp>| match at {
            Some(_) => Field::tinted("yes", Tint::Good),
            None => Field::tinted("no", Tint::Warning),
        };
        table.row([
            id(point).into(),
            short(&point.policy).into(),
            label_of::<BackupKind>(point.kind).into(),
            clock.show(point.freeze_time.as_ref()).into(),
            state(point),
            since(&point.verify_time),
            since(&point.drill_time),
            bytes(point.source_bytes).into(),
            bytes(point.added_bytes).into(),
            notes(point).into(),
        ]);
    }
    table
}

/// The first two parts of its UUID: what tells points apart.
fn id(point: &RestorePoint) -> String {
    short(&point.name).chars().take(13).collect()
}

fn state(point: &RestorePoint) -> Field {
    let text = label_of::<RestorePointState>(point.state);
    let tint = match point.state() {
        // It is in it, and does not come back.
        _ if point.damage_time.is_some() => Tint::Bad,
        RestorePointState::Complete => Tint::Good,
        RestorePointState::Partial => Tint::Warning,
        RestorePointState::Unspecified => Tint::Plain,
    };
    Field::tinted(text, tint)
}

fn notes(point: &RestorePoint) -> String {
    if point.remove_time.is_some() {
        return format!("removed: {}", point.remove_reason);
    }
    if point.damage_time.is_some() {
        return "damaged: see `backup show`".to_owned();
    }
    match &point.pin {
        Some(pin) => format!("pinned by {}: {}", pin.principal, pin.reason),
        None if 0 < point.missing_count => format!("{} files missing", point.missing_count),
        None => point.file.clone(),
    }
}

pub(super) async fn show(session: &Session, point: &PointName) -> Result<Exit, Failure> {
    let request = GetRestorePointRequest {
        name: resolved(session, point).await?,
    };
    let response = session
        .ask(request, async |request| {
            session.client.backups().get_restore_point(request).await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
        return Ok(Exit::Good);
    }
    let point = response.restore_point.unwrap_or_default();
    session.output.table(all_of(&session.clock, &point))?;
    if !point.phases.is_empty() {
        let mut phases = Table::new(&["STEP", "TOOK"]);
        for phase in &point.phases {
            phases.row([
                (&phase.phase).into(),
                show_length(phase.duration.as_ref()).into(),
            ]);
        }
        session.output.line("")?;
        session.output.table(phases)?;
    }
    for (headings, files) in [
        (["MISSING", "WHY"], &point.missing),
        (["DAMAGED", "WHAT WAS FOUND"], &point.damaged),
    ] {
        if files.is_empty() {
            continue;
        }
        let mut table = Table::new(&headings);
        for file in files {
            table.row([(&file.path).into(), (&file.message).into()]);
        }
        session.output.line("")?;
        session.output.table(table)?;
    }
    backup_losses::show(session, &point)?;
    if !response.evidence.is_empty() {
        session.output.line("")?;
        session
            .output
            .table(evidence_table(&session.clock, &response.evidence))?;
    }
    Ok(Exit::Good)
}

fn all_of(clock: &Clock, point: &RestorePoint) -> Table {
    let mut list = Table::list();
    list.entry("restore point", &point.name);
    list.entry("policy", &point.policy);
    list.entry("kind", label_of::<BackupKind>(point.kind));
    list.entry("state", state(point));
    list.entry("as of", clock.show(point.freeze_time.as_ref()));
    list.entry("made", clock.show(point.create_time.as_ref()));
    list.entry("read back", clock.show(point.verify_time.as_ref()));
    list.entry("drilled", clock.show(point.drill_time.as_ref()));
    if point.damage_time.is_some() {
        let found = clock.show(point.damage_time.as_ref());
        let damaged = match point.damaged_count {
            0 => format!("found {found}: {}", point.damage),
            count => format!("{count} files, found {found}: {}", point.damage),
        };
        list.entry("damaged", Field::tinted(&damaged, Tint::Bad));
    }
    backup_losses::tell(&mut list, point);
    list.entry("run", &point.run);
    list.entry("made of", &point.source_point);
    list.entry("snapshot", &point.snapshot);
    list.entry("manifest", &point.manifest_snapshot);
    list.entry("file", &point.file);
    list.entry("sha256", &point.file_sha256);
    list.entry("files", point.file_count.to_string());
    list.entry("size", bytes(point.source_bytes));
    list.entry("added", bytes(point.added_bytes));
    list.entry("dump", bytes(point.dump_bytes));
    if 0 < point.missing_count {
        let missing = format!("{} files", point.missing_count);
        list.entry("missing", Field::tinted(&missing, Tint::Warning));
    }
    if let Some(pin) = &point.pin {
        let since = clock.show(pin.time.as_ref());
        list.entry(
            "pinned",
            format!("by {} since {since}: {}", pin.principal, pin.reason),
        );
    }
    if point.remove_time.is_some() {
        let removed = clock.show(point.remove_time.as_ref());
        let removed = format!("{removed}: {}", point.remove_reason);
        list.entry("removed", Field::tinted(&removed, Tint::Bad));
    }
    list
}

pub(super) async fn sources(session: &Session) -> Result<Exit, Failure> {
    let (sources, next) = pages(true, String::new(), async |page_token| {
        let request = ListBackupSourcesRequest {
            page_size: LARGEST_PAGE,
            page_token,
        };
        let response = session
            .ask(request, async |request| {
                session.client.backups().list_backup_sources(request).await
            })
            .await?;
        Ok((response.sources, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("sources", &sources, &next)?;
        return Ok(Exit::Good);
    }
    if sources.is_empty() {
        tell_none(session, "no sources", &next)?;
        return Ok(Exit::Good);
    }
    let mut table = Table::new(&["SOURCE", "TYPE", "FROM"]);
    for source in &sources {
        let from = if source.configured {
            "the configuration"
        } else {
            "the server's own"
        };
        table.row([(&source.name).into(), (&source.r#type).into(), from.into()]);
    }
    session.output.table(table)?;
    Ok(Exit::Good)
}

pub(super) async fn statistics(session: &Session) -> Result<Exit, Failure> {
    let response = session
        .ask(GetBackupStatisticsRequest {}, async |request| {
            session
                .client
                .backups()
                .get_backup_statistics(request)
                .await
        })
        .await?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
        return Ok(Exit::Good);
    }
    let figures = response.statistics.unwrap_or_default();
    session
        .output
        .table(figures_table(&session.clock, &figures))?;
    Ok(Exit::Good)
}

fn figures_table(clock: &Clock, figures: &BackupStatistics) -> Table {
    let mut list = Table::list();
    list.entry("last good backup", last_good(figures));
    list.entry("within 24 h", within_a_day(figures));
    list.entry("policies enabled", figures.enabled_policy_count.to_string());
    list.entry("restore points", figures.restore_point_count.to_string());
    let never = |told: String| {
        if told == "-" {
            "never".to_owned()
        } else {
            told
        }
    };
    list.entry(
        "restorable as of",
        never(clock.show(figures.restorable_as_of_time.as_ref())),
    );
    list.entry(
        "would be lost (RPO)",
        show_length(figures.measured_rpo.as_ref()),
    );
    list.entry(
        "restore takes (RTO)",
        show_length(figures.measured_rto.as_ref()),
    );
    if 0 < figures.drill_bytes_per_second {
        list.entry(
            "drill speed",
            format!("{}/s", bytes(figures.drill_bytes_per_second)),
        );
    }
    list.entry(
        "newest point",
        format!(
            "{} in {} files",
            bytes(figures.source_bytes),
            figures.source_file_count
        ),
    );
    list.entry("read back", never(clock.show(figures.verify_time.as_ref())));
    let ratio = figures
        .deduplication_ratio
        .map_or_else(String::new, |ratio| {
            format!(", {ratio:.1} times as much in its points")
        });
    list.entry(
        "repository",
        format!(
            "{} in {} snapshots{ratio}",
            bytes(figures.repository_bytes),
            figures.snapshot_count
        ),
    );
    list.entry(
        "read within 35 days",
        format!("{:.0} %", figures.read_coverage_percent),
    );
    list.entry("free there", bytes(figures.free_bytes));
    list.entry("password from", plain(&figures.password_source));
    let archive = plain(&figures.archive_password_source);
    list.entry("archive's password from", archive);
    if figures.retention_frozen {
        list.entry(
            "retention",
            Field::tinted("frozen: nothing is removed", Tint::Warning),
        );
    }
    list.entry("checked", clock.show(figures.check_time.as_ref()));
    list
}

/// Such as `0.6 h ago`, or `never`.
pub(super) fn last_good(figures: &BackupStatistics) -> Field {
    match figures.last_success_hours_ago {
        None => Field::tinted("never", Tint::Warning),
        Some(hours) => Field::from(format!("{hours:.1} h ago")),
    }
}

pub(super) fn within_a_day(figures: &BackupStatistics) -> String {
    format!(
        "{} completed, {} partial, {} failed, {} running",
        figures.jobs_completed_24h,
        figures.jobs_partial_24h,
        figures.jobs_failed_24h,
        figures.jobs_running
    )
}

pub(super) fn bytes(count: i64) -> String {
    HumanBytes(u64::try_from(count).unwrap_or_default()).to_string()
}
