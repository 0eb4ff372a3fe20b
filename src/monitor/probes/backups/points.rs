//! What restore points tell: that sources have lost something, that they use up the space, that the newest is old.

use jiff::{SignedDuration, Timestamp};

use super::{AHEAD, Told};
use crate::{
    backup::{BackupsReport, Free},
    domain::{
        backup::{PolicyKind, point::RestorePoint, policy::Policy},
        problem::{Problem, ProblemKind, Severity},
    },
};

/// Beyond these the newest good backup is too old, whatever is scheduled; both are the requirement's.
const OLD: SignedDuration = SignedDuration::from_hours(30);
const TOO_OLD: SignedDuration = SignedDuration::from_hours(48);
/// Where free space would last for less than this at the pace of the last points, it is told.
const SPACE_DAYS: f64 = 14.0;

/// What sources have lost, until it is accepted or back: since the oldest point that has lost it.
pub(super) fn tell_losses(policy: &Policy, points: &[RestorePoint], told: &mut Told) {
    let Some(newest) = points.first() else { return };
    for loss in newest.open_losses() {
        let same = |point: &&RestorePoint| {
            let mut losses = point.open_losses().iter();
            losses.any(|other| (&other.source, other.kind) == (&loss.source, loss.kind))
        };
        let since = points.iter().take_while(same).last().unwrap_or(newest);
        told.tell(
            ProblemKind::BackupShrunk,
            format!("{}/sources/{}", policy.resource_name(), loss.source),
            format!("{}: {}", loss.path, loss.message),
            since.frozen_at,
        );
    }
}

/// How long free space lasts at the pace of the last points.
pub(super) fn tell_space(policy: &Policy, good: &[&RestorePoint], free: Free, told: &mut Told) {
    let (Some(newest), Some(oldest)) = (good.first(), good.last()) else {
        return;
    };
    let days = newest
        .frozen_at
        .duration_since(oldest.frozen_at)
        .as_secs_f64()
        / 86_400.0;
    // The first point holds everything; what comes after it says how fast it grows.
    let grown: i64 = good
        .iter()
        .take(good.len() - 1)
        .map(|point| point.added_bytes)
        .sum();
    let free = match policy.kind {
        PolicyKind::Export => free.exports,
        PolicyKind::Full | PolicyKind::Archive => free.repository,
    };
    let Some(free) = free.filter(|_| 1.0 <= days && 0 < grown) else {
        return;
    };
    let left = free as f64 / (grown as f64 / days);
    if left < SPACE_DAYS {
        told.tell(
            ProblemKind::BackupSpace,
            policy.resource_name(),
            format!("{free} bytes are free, and will be used up in {left:.0} days at its pace"),
            told.now,
        );
    }
}

/// `was_due`: since when a full backup was to be made of what never had one, where one was due.
pub(super) fn tell_age(report: &BackupsReport, was_due: Option<Timestamp>, told: &mut Told) {
    let newest = report.newest.as_ref().map(|point| point.frozen_at);
    // Where none was due yet, nothing has gone wrong.
    if let Some(since) = was_due {
        let what = match newest {
            None => "there is no good backup yet: nothing could be restored".to_owned(),
            Some(_) => format!(
                "there is no good backup yet of {}: nothing of that could be restored",
                report.never.join(", ")
            ),
        };
        told.tell(ProblemKind::BackupNever, "backups".to_owned(), what, since);
    }
    let Some(at) = newest else { return };
    let age = told.now.duration_since(at);
    let severity = match () {
        () if TOO_OLD < age => Severity::Critical,
        () if age < -AHEAD => {
            let message = format!(
                "the newest good backup says that it is as of {at}, which is yet to come: a clock was ahead, and how old it \
                 is nobody knows"
            );
            let problem = Problem::new(ProblemKind::BackupStale, "backups", message, at);
            told.problems.push(problem.severity(Severity::Warning));
            return;
        }
        () if OLD < age => Severity::Warning,
        () => return,
    };
    let message = format!(
        "the newest good backup is as of {at}, {} hours ago",
        age.as_hours()
    );
    let problem = Problem::new(ProblemKind::BackupStale, "backups", message, at);
    told.problems.push(problem.severity(severity));
}
