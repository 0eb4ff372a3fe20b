//! Backups.

use super::time::{span, stamp, stamp_of};
use crate::{
    backup::{
        BackupFigures, PolicyState, Standing,
        repository::{Entry, EntryKind},
    },
    domain::backup::{
        Finding, Level, PointState, PolicyKind,
        loss::{Loss, LossKind},
        manifest::{FileError, SnapshotPath},
        point::{Evidence, Phase, Pin, RestorePoint},
    },
    error::{Error, Result},
    pb,
};

fn millis(millis: i64) -> prost_types::Duration {
    span(std::time::Duration::from_millis(
        millis.max(0).unsigned_abs(),
    ))
}

pub(in crate::api) fn backup_kind(kind: PolicyKind) -> pb::BackupKind {
    match kind {
        PolicyKind::Full => pb::BackupKind::Full,
        PolicyKind::Export => pb::BackupKind::Export,
        PolicyKind::Archive => pb::BackupKind::Archive,
    }
}

/// None of what is unspecified or not known.
pub(in crate::api) fn backup_kind_from(kind: i32) -> Option<PolicyKind> {
    match pb::BackupKind::try_from(kind).ok()? {
        pb::BackupKind::Unspecified => None,
        pb::BackupKind::Full => Some(PolicyKind::Full),
        pb::BackupKind::Export => Some(PolicyKind::Export),
        pb::BackupKind::Archive => Some(PolicyKind::Archive),
    }
}

pub(in crate::api) fn restore_point_entry(entry: &Entry) -> pb::RestorePointEntry {
    use pb::RestorePointEntryKind as Kind;
    let (kind, target) = match &entry.kind {
        EntryKind::File => (Kind::File, String::new()),
        EntryKind::Directory => (Kind::Directory, String::new()),
        EntryKind::Link(target) => (Kind::Link, SnapshotPath(target.clone()).to_text()),
        EntryKind::Special(_) => (Kind::Special, String::new()),
    };
    let changed = jiff::Timestamp::from_nanosecond(entry.mtime.into()).ok();
    pb::RestorePointEntry {
        path: entry.path.to_text(),
        kind: kind.into(),
        size_bytes: i64::try_from(entry.size).unwrap_or(i64::MAX),
        modify_time: stamp_of(changed),
        mode: entry.mode,
        uid: entry.owner.map(|(user, _)| user),
        gid: entry.owner.map(|(_, group)| group),
        link_target: target,
    }
}

fn level(level: Level) -> pb::VerificationLevel {
    match level {
        Level::Structure => pb::VerificationLevel::Structure,
        Level::Read => pb::VerificationLevel::Read,
        Level::Drill => pb::VerificationLevel::Drill,
        Level::Database => pb::VerificationLevel::Database,
        Level::Export => pb::VerificationLevel::Export,
    }
}

/// None where it is unspecified.
pub(in crate::api) fn level_from(level: i32) -> Result<Option<Level>> {
    let known = pb::VerificationLevel::try_from(level)
        .map_err(|_| Error::invalid("level", "expected READ, DRILL or DATABASE"))?;
    Ok(match known {
        pb::VerificationLevel::Unspecified => None,
        pb::VerificationLevel::Structure => Some(Level::Structure),
        pb::VerificationLevel::Read => Some(Level::Read),
        pb::VerificationLevel::Drill => Some(Level::Drill),
        pb::VerificationLevel::Database => Some(Level::Database),
        pb::VerificationLevel::Export => Some(Level::Export),
    })
}

/// A policy, but for what is known of its points and its task.
pub(in crate::api) fn backup_policy(standing: &Standing) -> pb::BackupPolicy {
    let policy = &standing.policy;
    let (state, message) = match &standing.state {
        PolicyState::Active => (pb::BackupPolicyState::Active, String::new()),
        PolicyState::Disabled => (pb::BackupPolicyState::Disabled, String::new()),
        PolicyState::Unavailable(why) => (pb::BackupPolicyState::Unavailable, why.clone()),
    };
    pb::BackupPolicy {
        name: policy.resource_name(),
        description: policy.description.clone(),
        kind: backup_kind(policy.kind).into(),
        schedule: Some(super::task::schedule(&policy.schedule)),
        sources: policy.sources.clone(),
        retention: Some(super::retention_message(&policy.retention)),
        enabled: Some(policy.enabled),
        priority: Some(policy.priority.into()),
        state: state.into(),
        state_message: message,
        task: format!("tasks/backup-{}", policy.id),
        shipped: policy.shipped,
        etag: policy.etag(),
        create_time: Some(stamp(policy.created_at)),
        update_time: Some(stamp(policy.updated_at)),
        update_principal: policy.principal.clone(),
        last_success_time: None,
        next_due_time: None,
        pause: None,
        restore_point_count: 0,
    }
}

/// A point as lists show it.
pub(in crate::api) fn restore_point_basic(point: &RestorePoint) -> pb::RestorePoint {
    let state = match point.state {
        PointState::Complete => pb::RestorePointState::Complete,
        PointState::Partial => pb::RestorePointState::Partial,
    };
    pb::RestorePoint {
        name: point.resource_name(),
        policy: format!("backupPolicies/{}", point.policy),
        kind: backup_kind(point.kind).into(),
        state: state.into(),
        run: point.run.clone(),
        freeze_time: Some(stamp(point.frozen_at)),
        create_time: Some(stamp(point.created_at)),
        verify_time: stamp_of(point.verified_at),
        drill_time: stamp_of(point.drilled_at),
        snapshot: point.snapshot.clone(),
        manifest_snapshot: point.manifest_snapshot.clone(),
        file: point.file.clone(),
        file_sha256: point.file_sha256.clone(),
        file_count: point.files,
        source_bytes: point.source_bytes,
        added_bytes: point.added_bytes,
        dump_bytes: point.dump_bytes,
        phases: Vec::new(),
        missing: Vec::new(),
        missing_count: point.missing_count,
        pin: point.pin.as_ref().map(pin),
        source_point: point
            .source_point
            .map_or_else(String::new, |id| format!("restorePoints/{id}")),
        remove_time: stamp_of(point.removed_at),
        remove_reason: point.remove_reason.clone(),
        damage_time: stamp_of(point.damaged_at()),
        damage: point
            .damage
            .as_ref()
            .map_or_else(String::new, |damage| damage.what.clone()),
        damaged: Vec::new(),
        damaged_count: point.damage.as_ref().map_or(0, |damage| {
            i64::try_from(damage.count()).unwrap_or(i64::MAX)
        }),
        losses: point.losses.iter().map(loss).collect(),
        acceptance: point.accepted.as_ref().map(|accepted| pb::LossAcceptance {
            principal: accepted.principal.clone(),
            reason: accepted.reason.clone(),
            time: Some(stamp(accepted.at)),
        }),
    }
}

fn loss(loss: &Loss) -> pb::SourceLoss {
    let kind = match loss.kind {
        LossKind::Empty => pb::SourceLossKind::Empty,
        LossKind::Fallen => pb::SourceLossKind::Fallen,
        LossKind::LeftOut => pb::SourceLossKind::LeftOut,
        LossKind::Shrunk => pb::SourceLossKind::Shrunk,
    };
    pb::SourceLoss {
        source: loss.source.clone(),
        kind: kind.into(),
        path: loss.path.to_text(),
        message: loss.message.clone(),
    }
}

pub(in crate::api) fn restore_point(point: &RestorePoint) -> pb::RestorePoint {
    let phase = |phase: &Phase| pb::BackupPhase {
        phase: phase.phase.clone(),
        duration: Some(millis(phase.took_ms)),
    };
    let missing = |missing: &FileError| pb::MissingFile {
        path: missing.path.to_text(),
        message: missing.message.clone(),
    };
    let damaged = point.damage.iter();
    pb::RestorePoint {
        phases: point.phases.iter().map(phase).collect(),
        missing: point.missing.iter().map(missing).collect(),
        damaged: damaged.flat_map(|of| &of.names).map(missing).collect(),
        ..restore_point_basic(point)
    }
}

fn pin(pin: &Pin) -> pb::Pin {
    pb::Pin {
        principal: pin.principal.clone(),
        reason: pin.reason.clone(),
        time: Some(stamp(pin.at)),
    }
}

pub(in crate::api) fn backup_evidence(evidence: &Evidence) -> pb::BackupEvidence {
    let result = match evidence.finding {
        Finding::Passed => pb::VerificationResult::Passed,
        Finding::Failed => pb::VerificationResult::Failed,
        Finding::NotPossible => pb::VerificationResult::NotPossible,
    };
    pb::BackupEvidence {
        name: format!("backupEvidence/{}", evidence.id),
        level: level(evidence.level).into(),
        result: result.into(),
        restore_point: evidence
            .point
            .map_or_else(String::new, |id| format!("restorePoints/{id}")),
        run: evidence.run.clone(),
        time: Some(stamp(evidence.at)),
        duration: Some(millis(evidence.took_ms)),
        file_count: evidence.files,
        byte_count: evidence.bytes,
        message: evidence.message.clone(),
    }
}

pub(in crate::api) fn backup_statistics(figures: &BackupFigures) -> pb::BackupStatistics {
    let to_span =
        |signed: jiff::SignedDuration| std::time::Duration::try_from(signed).unwrap_or_default();
    pb::BackupStatistics {
        jobs_last_24h: figures.jobs.queued,
        jobs_completed_24h: figures.jobs.completed,
        jobs_failed_24h: figures.jobs.failed,
        jobs_partial_24h: figures.jobs.partial,
        jobs_running: figures.jobs.running,
        enabled_policy_count: figures.enabled_policies,
        last_success_hours_ago: figures.last_success_hours_ago(),
        restorable_as_of_time: stamp_of(figures.restorable_as_of),
        measured_rpo: figures
            .restorable_as_of
            .map(|at| span(to_span(figures.checked_at.duration_since(at)))),
        measured_rto: figures.measured_rto.map(span),
        drill_bytes_per_second: figures.drill_bytes_per_second,
        restore_point_count: figures.points,
        repository_bytes: figures.usage.bytes,
        snapshot_count: figures.usage.snapshots,
        deduplication_ratio: figures.deduplication_ratio(),
        source_bytes: figures.source_bytes,
        source_file_count: figures.source_files,
        read_coverage_percent: figures.read_coverage_percent,
        verify_time: stamp_of(figures.verified_at),
        retention_frozen: figures.retention_frozen,
        free_bytes: figures.free_bytes,
        check_time: Some(stamp(figures.checked_at)),
        password_source: figures.password_source.clone(),
        archive_password_source: figures.archive_password_source.clone(),
    }
}
