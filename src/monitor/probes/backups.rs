//! What is wrong with backups.

mod points;

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use self::points::{tell_age, tell_losses, tell_space};
use crate::{
    backup::{
        Backups, BackupsReport, CLEANUP_TASK, COVERAGE, Free, PARTS, PolicyReport, PolicyState,
        RESTORE_TASK, VERIFY_TASK,
    },
    domain::{
        Event, Task, TaskName,
        backup::{
            Finding, Level, PointState, PolicyKind,
            figures::BackupFigures,
            point::{Evidence, RestorePoint},
        },
        problem::{Problem, ProblemKind, Severity},
    },
    error::Result,
    monitor::probe::{Look, Probe, Scope},
};

const PERIOD: Duration = Duration::from_secs(60);
/// How old a drill may be.
const DRILL: SignedDuration = SignedDuration::from_hours(24 * 8);
/// What was stamped is later than now by so much at the most, where the clock was right.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);
/// How much smaller a dump or the number of files may be than before.
const SHRUNK: f64 = 0.7;
/// For how long retention may be frozen: until then there is room, and from then on nobody has looked.
const FROZEN: SignedDuration = SignedDuration::from_hours(24 * 14);
/// Characters of what a verification has found that a problem tells.
const BRIEF: usize = 240;
/// Damaged points that are told, the newest.
const DAMAGED_SHOWN: i64 = 5;

/// Backups: policies, points, what verifications have found, and the space there is.
#[derive(Debug)]
pub(in crate::monitor) struct BackupsProbe(pub(in crate::monitor) Backups);

impl Probe for BackupsProbe {
    fn name(&self) -> &'static str {
        "backups"
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn is_touched_by(&self, event: &Event) -> bool {
        let kind = event.kind.as_str();
        let Some(task) = event.task() else {
            return false;
        };
        let of_room = task.starts_with("backup-")
            || [VERIFY_TASK, CLEANUP_TASK, RESTORE_TASK].contains(&task);
        of_room
            && (kind.starts_with("task.") || kind.starts_with("run."))
            && kind != "run.progressed"
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            let report = self.0.report_anew().await?;
            let problems = self.problems(&report).await?;
            Ok(Look::of(problems))
        })
    }
}

impl BackupsProbe {
    async fn problems(&self, report: &BackupsReport) -> Result<Vec<Problem>> {
        let now = report.figures.checked_at;
        let mut told = Told {
            now,
            problems: Vec::new(),
        };
        let (mut any_full, mut was_due) = (false, None);
        for of in &report.policies {
            let (policy, state) = (&of.standing.policy, &of.standing.state);
            if policy.kind == PolicyKind::Full
                && *state == PolicyState::Active
                && policy.is_scheduled()
            {
                any_full = true;
                let never = report.never.contains(&policy.resource_name());
                if never && self.0.slots_since(policy, policy.created_at, 1)? {
                    was_due = was_due.into_iter().chain([policy.created_at]).min();
                }
            }
            if let PolicyState::Unavailable(why) = state
                && policy.kind != PolicyKind::Archive
            {
                let kind = ProblemKind::BackupUnavailable;
                told.tell(kind, policy.resource_name(), why.clone(), now);
            }
            if *state == PolicyState::Active {
                self.tell_policy(of, report.free, &mut told)?;
            }
        }
        if !any_full {
            told.tell(
                ProblemKind::BackupNoneEnabled,
                "backups".to_owned(),
                "no policy of full backups is enabled and scheduled".to_owned(),
                now,
            );
        }
        tell_age(report, was_due, &mut told);
        let own = report.policies.iter();
        let own: Vec<TaskName> = own
            .filter_map(|of| of.standing.policy.task().ok())
            .collect();
        let failing = self.0.store().tasks_failing_of(&own).await?;
        tell_jobs(&report.figures, &failing, &mut told);
        self.tell_verification(report, &mut told).await?;
        Ok(told.problems)
    }

    fn tell_policy(&self, of: &PolicyReport, free: Free, told: &mut Told) -> Result<()> {
        let (policy, points) = (&of.standing.policy, &of.points);
        let good: Vec<&RestorePoint> = points.iter().filter(|point| point.is_good()).collect();
        let since = good
            .first()
            .map_or(policy.created_at, |point| point.frozen_at);
        if policy.is_scheduled() && self.0.missed_two(policy, since)? {
            let last = match good.first() {
                Some(point) => format!("the newest good one is as of {}", point.frozen_at),
                None => "there never was a good one".to_owned(),
            };
            told.tell(
                ProblemKind::BackupOverdue,
                policy.resource_name(),
                format!("two periods have passed without a good restore point: {last}"),
                since,
            );
        }
        let is_partial = |point: &&RestorePoint| point.state == PointState::Partial;
        if let Some(point) = points.first().filter(is_partial) {
            told.tell(
                ProblemKind::BackupPartial,
                policy.resource_name(),
                format!(
                    "{} files are missing in its newest restore point",
                    point.missing_count
                ),
                point.frozen_at,
            );
        }
        let archived = good.first().filter(|_| policy.kind == PolicyKind::Archive);
        if let Some(point) = archived.filter(|point| is_older(point.created_at, COVERAGE, told.now))
        {
            told.tell(
                ProblemKind::BackupArchiveOld,
                policy.resource_name(),
                format!("its newest archive was made at {}", point.created_at),
                point.created_at,
            );
        }
        if let [newest, before, ..] = good.as_slice() {
            let shrunk = |now: i64, before: i64| (now as f64) < before as f64 * SHRUNK;
            if shrunk(newest.dump_bytes, before.dump_bytes) {
                told.tell(
                    ProblemKind::BackupShrunk,
                    policy.resource_name(),
                    format!(
                        "its newest restore point has {} bytes of dump; the one before had {}",
                        newest.dump_bytes, before.dump_bytes
                    ),
                    newest.frozen_at,
                );
            }
        }
        if policy.kind == PolicyKind::Full {
            tell_losses(policy, points, told);
        }
        if let Some(since) = of.frozen_since
            && is_older(since, FROZEN, told.now)
        {
            told.tell(
                ProblemKind::BackupRetentionStuck,
                policy.resource_name(),
                format!("nothing of it was removed since {since}, and its place fills up"),
                since,
            );
        }
        if let (Some(why), PolicyKind::Full) = (&of.frozen, policy.kind) {
            told.tell(
                ProblemKind::BackupRetentionFrozen,
                policy.resource_name(),
                format!("nothing of it is removed: {why}"),
                since,
            );
        }
        tell_space(policy, &good, free, told);
        Ok(())
    }

    async fn tell_verification(&self, report: &BackupsReport, told: &mut Told) -> Result<()> {
        let now = told.now;
        let store = self.0.store();
        let newest = report.newest.as_ref();
        let policies = report.policies.iter().map(|of| &of.standing.policy);
        let structure = store.evidence_newest(Level::Structure, None).await?;
        told.failed("backups/structure", structure);
        // That something else was read back does not mend a part that is damaged.
        told.failed("backups/read", store.evidence_newest_part("primary").await?);
        if report.archive_reads.is_some() {
            let part = store.evidence_newest_part("archive").await?;
            told.failed("backups/archive", part);
        }
        for policy in policies.filter(|policy| policy.kind == PolicyKind::Full) {
            for level in [Level::Drill, Level::Database] {
                let (id, subject) = (policy.id.as_str(), policy.resource_name());
                let newest = store.evidence_newest(level, Some(id)).await?;
                told.untried(&subject, newest.as_ref());
                // What could not be tried takes nothing back that has failed before.
                told.failed(&subject, store.evidence_judged(level, id).await?);
            }
        }
        for point in store.points_damaged(DAMAGED_SHOWN).await? {
            let Some(damage) = &point.damage else {
                continue;
            };
            // What another policy has made holds something else.
            let of = Some(point.policy.as_str());
            let good = store.point_newest_good(point.kind, of).await?;
            let replaced = good.is_some_and(|good| point.frozen_at < good.frozen_at);
            let message = format!("it does not come back as it was: {}", brief(&damage.what));
            let kind = ProblemKind::BackupDamaged;
            let severity = if replaced {
                Severity::Warning
            } else {
                Severity::Critical
            };
            told.problems.push(
                Problem::new(kind, point.resource_name(), message, damage.at).severity(severity),
            );
        }
        let Some(newest) = newest else { return Ok(()) };
        let first = store.points_oldest_at().await?.unwrap_or(newest.frozen_at);
        let drilled = store
            .evidence_newest(Level::Drill, None)
            .await?
            .map_or(first, |last| last.at);
        if is_older(drilled, DRILL, now) {
            told.tell(
                ProblemKind::BackupDrillOld,
                "backups".to_owned(),
                format!("no drill since {drilled}"),
                drilled,
            );
        }
        tell_coverage("backups", "the repository", &report.reads, first, told);
        if let Some(reads) = &report.archive_reads
            && let Some(archived) = store.points_oldest_of(PolicyKind::Archive).await?
        {
            let subject = "backups/archive";
            tell_coverage(subject, "the archive", reads, archived.created_at, told);
        }
        Ok(())
    }
}

/// Whether it was so long ago. What a clock has stamped that was ahead may have been at any time: nobody knows that it was
/// not.
fn is_older(at: Timestamp, than: SignedDuration, now: Timestamp) -> bool {
    let age = now.duration_since(at);
    than < age || age < -AHEAD
}

/// `since`: when what is to be read was first there.
fn tell_coverage(
    subject: &str,
    what: &str,
    reads: &[(u32, Timestamp)],
    since: Timestamp,
    told: &mut Told,
) {
    let now = told.now;
    let recent = reads
        .iter()
        .filter(|(_, at)| now.duration_since(*at) <= COVERAGE);
    let covered = recent.count();
    if is_older(since, COVERAGE, now) && covered < PARTS as usize {
        told.tell(
            ProblemKind::BackupCoverage,
            subject.to_owned(),
            format!("{covered} of {PARTS} parts of {what} were read within 35 days"),
            now,
        );
    }
}

/// `failing` are the tasks of policies whose runs fail: one whose retry has succeeded since is none of them.
fn tell_jobs(figures: &BackupFigures, failing: &[Task], told: &mut Told) {
    let since = failing.iter().filter_map(|task| task.health.failing_since);
    let Some(since) = since.min() else { return };
    let names: Vec<String> = failing.iter().map(Task::resource_name).collect();
    let who = match names.as_slice() {
        [one] => format!("{one} is"),
        more => format!("{} are", more.join(", ")),
    };
    let failed = figures.jobs.failed;
    told.tell(
        ProblemKind::BackupFailed,
        "backups".to_owned(),
        format!("{who} failing; {failed} runs of backups have failed within 24 hours"),
        since,
    );
}

/// What was told so far.
struct Told {
    now: Timestamp,
    problems: Vec<Problem>,
}

impl Told {
    fn failed(&mut self, subject: &str, last: Option<Evidence>) {
        if let Some(last) = last.filter(|last| last.finding == Finding::Failed) {
            let kind = ProblemKind::BackupVerificationFailed;
            self.tell(kind, subject.to_owned(), brief(&last.message), last.at);
        }
    }

    /// A database that was never restored is none that can be.
    fn untried(&mut self, subject: &str, last: Option<&Evidence>) {
        let untried = last.filter(|last| last.finding == Finding::NotPossible);
        if let Some(last) = untried.filter(|last| last.level == Level::Database) {
            let message = format!("the last drill has restored no database: {}", last.message);
            let kind = ProblemKind::BackupNotDrilled;
            self.tell(kind, subject.to_owned(), message, last.at);
        }
    }

    fn tell(&mut self, kind: ProblemKind, subject: String, message: String, since: Timestamp) {
        self.problems
            .push(Problem::new(kind, subject, message, since));
    }
}

/// The beginning of what was found: evidence and log hold all of it, and whoever watches reads one line.
fn brief(message: &str) -> String {
    match message.char_indices().nth(BRIEF) {
        None => message.to_owned(),
        Some((at, _)) => format!("{}… (`bellctl backup evidence` tells all)", &message[..at]),
    }
}
