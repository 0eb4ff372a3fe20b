//! What is wrong with backups: each problem with what to do about it.

use jiff::{SignedDuration, Timestamp};

use super::{Backups, places::free_bytes, verify::PARTS};
use crate::{
    domain::{
        backup::{
            Finding, Level, PolicyKind,
            figures::BackupFigures,
            point::{Evidence, RestorePoint},
            policy::Policy,
        },
        problem::{Problem, Severity},
    },
    error::Result,
};

/// Beyond these the newest good backup is too old, whatever is scheduled; both are the requirement's.
const OLD: SignedDuration = SignedDuration::from_hours(30);
const TOO_OLD: SignedDuration = SignedDuration::from_hours(48);
/// How old a drill may be, how old the reading of a part, and how old an archive.
const DRILL: SignedDuration = SignedDuration::from_hours(24 * 8);
pub(super) const COVERAGE: SignedDuration = SignedDuration::from_hours(24 * 35);
/// How much smaller a dump or the number of files may be than before.
const SHRUNK: f64 = 0.7;
/// Where free space would last for less than this at the pace of the last points, it is told.
const SPACE_DAYS: f64 = 14.0;
/// Damaged points that are told, the newest.
const DAMAGED_SHOWN: i64 = 5;
/// The newest points of a policy that are looked at.
const LOOKED_AT: i64 = 30;

impl Backups {
    /// What is wrong with one policy; says whether its retention is frozen.
    pub(super) async fn tell_policy(&self, policy: &Policy, told: &mut Told) -> Result<bool> {
        let points = self
            .store()
            .points_newest_of(policy.id.as_str(), LOOKED_AT)
            .await?;
        let frozen = self.frozen(policy, &points).await?;
        let good: Vec<&RestorePoint> = points.iter().filter(|point| point.is_good()).collect();
        let since = good
            .first()
            .map_or(policy.created_at, |point| point.frozen_at);
        if policy.is_scheduled() && self.missed_two(policy, since)? {
            let last = match good.first() {
                Some(point) => format!("the newest good one is as of {}", point.frozen_at),
                None => "there never was a good one".to_owned(),
            };
            told.tell(
                Severity::Critical,
                "backup.overdue",
                policy.resource_name(),
                format!("two periods have passed without a good restore point: {last}"),
                "see its task's last run, mend the cause, and run it: `bellctl backup run`",
                since,
            );
        }
        if let Some(point) = points.first().filter(|point| 0 < point.missing_count) {
            told.tell(
                Severity::Warning,
                "backup.partial",
                policy.resource_name(),
                format!(
                    "{} files are missing in its newest restore point",
                    point.missing_count
                ),
                "see what is missing by `bellctl backup show`, and mend it",
                point.frozen_at,
            );
        }
        let archived = good.first().filter(|_| policy.kind == PolicyKind::Archive);
        if let Some(point) =
            archived.filter(|point| COVERAGE < told.now.duration_since(point.created_at))
        {
            told.tell(
                Severity::Warning,
                "backup.archive_old",
                policy.resource_name(),
                format!("its newest archive was made at {}", point.created_at),
                "see whether the second location can be reached, and run it",
                point.created_at,
            );
        }
        if let [newest, before, ..] = good.as_slice() {
            let shrunk = |now: i64, before: i64| (now as f64) < before as f64 * SHRUNK;
            if shrunk(newest.dump_bytes, before.dump_bytes) || shrunk(newest.files, before.files) {
                told.tell(
                    Severity::Warning, "backup.shrunk", policy.resource_name(),
                    format!(
                        "its newest restore point has {} bytes of dump and {} files; the one before had {} and {}",
                        newest.dump_bytes, newest.files, before.dump_bytes, before.files
                    ),
                    "see whether so much was really removed", newest.frozen_at,
                );
            }
        }
        if let (Some(why), PolicyKind::Full) = (&frozen, policy.kind) {
            told.tell(
                Severity::Warning,
                "backup.retention_frozen",
                policy.resource_name(),
                format!("nothing of it is removed: {why}"),
                "mend that; retention goes on by itself",
                since,
            );
        }
        self.tell_space(policy, &good, told);
        Ok(frozen.is_some())
    }

    fn tell_space(&self, policy: &Policy, good: &[&RestorePoint], told: &mut Told) {
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
        let place = match policy.kind {
            PolicyKind::Export => &self.settings().config.exports,
            PolicyKind::Full | PolicyKind::Archive => &self.settings().config.repository,
        };
        let Some(free) = free_bytes(place).filter(|_| 1.0 <= days && 0 < grown) else {
            return;
        };
        let left = free as f64 / (grown as f64 / days);
        if left < SPACE_DAYS {
            told.tell(
                Severity::Warning,
                "backup.space",
                policy.resource_name(),
                format!("{free} bytes are free, and will be used up in {left:.0} days at its pace"),
                "make room, or keep less",
                told.now,
            );
        }
    }

    pub(super) fn tell_age(&self, figures: &BackupFigures, was_due: bool, told: &mut Told) {
        let advice = "see the last runs of its task, mend the cause, and run one: `bellctl backup run daily-full --wait`";
        let now = told.now;
        match figures.last_success {
            // Where none was due yet, nothing has gone wrong.
            None if was_due => told.tell(
                Severity::Critical,
                "backup.never",
                "backups".to_owned(),
                "there is no good backup yet: nothing could be restored".to_owned(),
                advice,
                now,
            ),
            None => {}
            Some(at) => {
                let age = now.duration_since(at);
                let severity = match () {
                    () if TOO_OLD < age => Severity::Critical,
                    () if OLD < age => Severity::Warning,
                    () => return,
                };
                told.tell(
                    severity,
                    "backup.stale",
                    "backups".to_owned(),
                    format!(
                        "the newest good backup is as of {at}, {} hours ago",
                        age.as_hours()
                    ),
                    advice,
                    at,
                );
            }
        }
    }

    pub(super) fn tell_jobs(&self, figures: &BackupFigures, told: &mut Told) {
        if 0 < figures.jobs.failed {
            let now = told.now;
            told.tell(
                Severity::Critical,
                "backup.failed",
                "backups".to_owned(),
                format!(
                    "{} runs of backups have failed within 24 hours",
                    figures.jobs.failed
                ),
                "see them by `bellctl run list`, and mend the cause",
                now,
            );
        }
    }

    pub(super) async fn tell_verification(
        &self,
        newest: Option<&RestorePoint>,
        policies: impl Iterator<Item = &Policy>,
        reads: &[(u32, Timestamp)],
        told: &mut Told,
    ) -> Result<()> {
        let now = told.now;
        let store = self.store();
        let structure = store.evidence_newest(Level::Structure, None).await?;
        told.failed("backups/structure", structure);
        // That something else was read back does not mend a part that is damaged.
        told.failed("backups/read", store.evidence_newest_part().await?);
        for policy in policies.filter(|policy| policy.kind == PolicyKind::Full) {
            for level in [Level::Drill, Level::Database] {
                let last = store
                    .evidence_newest(level, Some(policy.id.as_str()))
                    .await?;
                told.failed(&policy.resource_name(), last);
            }
        }
        for point in self.store().points_damaged(DAMAGED_SHOWN).await? {
            let Some(damage) = &point.damage else {
                continue;
            };
            let replaced = newest.is_some_and(|newest| point.frozen_at < newest.frozen_at);
            told.tell(
                if replaced { Severity::Warning } else { Severity::Critical },
                "backup.damaged",
                point.resource_name(),
                format!("it does not come back as it was: {}", damage.what),
                "back up anew; mend the repository by restic, and read the point again by `bellctl backup verify`",
                damage.at,
            );
        }
        let Some(newest) = newest else { return Ok(()) };
        let first = self
            .store()
            .points_oldest_at()
            .await?
            .unwrap_or(newest.frozen_at);
        let drilled = self
            .store()
            .evidence_newest(Level::Drill, None)
            .await?
            .map_or(first, |last| last.at);
        if DRILL < now.duration_since(drilled) {
            told.tell(
                Severity::Warning,
                "backup.drill_old",
                "backups".to_owned(),
                format!("no drill since {drilled}"),
                "see tasks/verify-backups, or drill by `bellctl backup drill --wait`",
                drilled,
            );
        }
        let covered = reads
            .iter()
            .filter(|(_, at)| now.duration_since(*at) <= COVERAGE)
            .count();
        if COVERAGE < now.duration_since(first) && covered < PARTS as usize {
            told.tell(
                Severity::Warning,
                "backup.coverage",
                "backups".to_owned(),
                format!("{covered} of {PARTS} parts of the repository were read within 35 days"),
                "see tasks/verify-backups, which reads one a day",
                now,
            );
        }
        Ok(())
    }
}

/// What was told so far.
pub(super) struct Told {
    pub(super) now: Timestamp,
    pub(super) problems: Vec<Problem>,
}

impl Told {
    fn failed(&mut self, subject: &str, last: Option<Evidence>) {
        if let Some(last) = last.filter(|last| last.finding == Finding::Failed) {
            self.tell(
                Severity::Critical,
                "backup.verification_failed",
                subject.to_owned(),
                last.message,
                "see its run's log; make a new full backup, and keep the repository as it is for repair",
                last.at,
            );
        }
    }

    pub(super) fn tell(
        &mut self,
        severity: Severity,
        kind: &str,
        subject: String,
        message: String,
        action: &str,
        since: Timestamp,
    ) {
        self.problems.push(Problem {
            severity,
            kind: kind.to_owned(),
            subject,
            message,
            action: action.to_owned(),
            since,
        });
    }
}
