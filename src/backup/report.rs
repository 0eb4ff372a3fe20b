//! Figures and problems of backups, for the status: read again when something has happened, and otherwise once a
//! minute, however many ask.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::{
    Backups, PolicyState,
    places::{Place, free_bytes},
    troubles::{COVERAGE, Told},
    verify::PARTS,
};
use crate::{
    clock::Stopwatch,
    domain::{
        TaskName,
        backup::{
            PolicyKind,
            figures::{BackupFigures, DrillSpeed, RepositoryUsage},
        },
        problem::{Problem, Severity},
    },
    error::Result,
};

/// How long figures hold while events come, and while none do.
const FRESH_AT_LEAST_FOR: Duration = Duration::from_secs(1);
const FRESH_FOR: SignedDuration = SignedDuration::from_secs(60);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// What is known of backups, for the status.
#[derive(Clone, Debug, Default)]
pub struct BackupsReport {
    pub figures: BackupFigures,
    pub problems: Vec<Problem>,
}

#[derive(Debug)]
pub(super) struct Known {
    read: Stopwatch,
    at: Timestamp,
    upto: i64,
    report: Arc<BackupsReport>,
}

/// Where the last report is kept.
pub(super) type ReportCache = OnceLock<Mutex<Option<Known>>>;

impl Backups {
    /// How backups are.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn report(&self) -> Result<Arc<BackupsReport>> {
        self.report_of(FRESH_AT_LEAST_FOR).await
    }

    /// The same, after whatever has happened by now: who has just run a backup wants to see it.
    ///
    /// # Errors
    /// As [`Backups::report`].
    pub async fn report_now(&self) -> Result<Arc<BackupsReport>> {
        self.report_of(Duration::ZERO).await
    }

    async fn report_of(&self, fresh_for: Duration) -> Result<Arc<BackupsReport>> {
        let mut cached = self.inner.report.get_or_init(Mutex::default).lock().await;
        let now = self.clock().now();
        let upto = self.store().tail().last();
        if let Some(known) = &*cached {
            let age = now.duration_since(known.at);
            let unchanged = known.upto == upto && !age.is_negative() && age < FRESH_FOR;
            let young = age.abs() < FRESH_FOR && known.read.elapsed() < fresh_for;
            if unchanged || young {
                return Ok(known.report.clone());
            }
        }
        let read = Stopwatch::start();
        let report = Arc::new(self.read_report(now).await?);
        *cached = Some(Known {
            read,
            at: now,
            upto,
            report: report.clone(),
        });
        Ok(report)
    }

    async fn read_report(&self, now: Timestamp) -> Result<BackupsReport> {
        let store = self.store();
        let policies = store.policies().await?;
        let standings: Vec<_> = policies
            .into_iter()
            .map(|policy| self.standing(policy))
            .collect();
        let tasks = standings.iter().map(|standing| standing.policy.task());
        let tasks: Vec<TaskName> = tasks.collect::<Result<_>>()?;
        let newest = store.point_newest_good(PolicyKind::Full, None).await?;
        let drilled = store.point_newest_drilled().await?;
        let speed: DrillSpeed = store.value(super::SPEED_KEY).await?.unwrap_or_default();
        let usage: RepositoryUsage = store.value(super::USAGE_KEY).await?.unwrap_or_default();
        let reads = store.reads(Place::Primary.as_str(), PARTS).await?;
        let recent = reads
            .iter()
            .filter(|(_, at)| now.duration_since(*at) <= COVERAGE);
        let free = free_bytes(&self.settings().config.repository);
        let counts = store.points_count().await?;
        let mut figures = BackupFigures {
            jobs: store
                .backup_jobs(&tasks, now.saturating_sub(DAY).unwrap_or(now))
                .await?,
            enabled_policies: standings
                .iter()
                .filter(|standing| standing.state == PolicyState::Active)
                .count() as i64,
            last_success: newest.as_ref().map(|point| point.frozen_at),
            restorable_as_of: drilled.as_ref().map(|point| point.frozen_at),
            measured_rto: newest
                .as_ref()
                .and_then(|point| speed.time_for(point.source_bytes)),
            drill_bytes_per_second: speed.bytes_per_second(),
            points: counts.iter().map(|(_, count)| count).sum(),
            points_bytes: store.points_bytes(PolicyKind::Full).await?,
            usage,
            source_bytes: newest.as_ref().map_or(0, |point| point.source_bytes),
            source_files: newest.as_ref().map_or(0, |point| point.files),
            read_coverage_percent: recent.count() as f64 * 100.0 / f64::from(PARTS),
            verified_at: newest.as_ref().and_then(|point| point.verified_at),
            retention_frozen: false,
            free_bytes: free.map_or(0, |free| i64::try_from(free).unwrap_or(i64::MAX)),
            checked_at: now,
        };
        let mut told = Told {
            now,
            problems: Vec::new(),
        };
        let (mut any_full, mut was_due) = (false, false);
        for standing in &standings {
            let policy = &standing.policy;
            if policy.kind == PolicyKind::Full
                && standing.state == PolicyState::Active
                && policy.is_scheduled()
            {
                any_full = true;
                was_due |= self.slots_since(policy, policy.created_at, 1)?;
            }
            if let PolicyState::Unavailable(why) = &standing.state
                && policy.kind != PolicyKind::Archive
            {
                told.tell(
                    Severity::Warning,
                    "backup.unavailable",
                    policy.resource_name(),
                    why.clone(),
                    "put it back into the configuration, or update the policy",
                    now,
                );
            }
            if standing.state == PolicyState::Active {
                let frozen = self.tell_policy(policy, &mut told).await?;
                figures.retention_frozen |= frozen;
            }
        }
        if !any_full {
            told.tell(
                Severity::Warning,
                "backup.none_enabled",
                "backups".to_owned(),
                "no policy of full backups is enabled and scheduled".to_owned(),
                "enable one, such as by `bellctl backup policy enable daily-full`",
                now,
            );
        }
        self.tell_age(&figures, was_due, &mut told);
        self.tell_jobs(&figures, &mut told);
        let policies = standings.iter().map(|standing| &standing.policy);
        self.tell_verification(newest.as_ref(), policies, &reads, &mut told)
            .await?;
        Ok(BackupsReport {
            figures,
            problems: told.problems,
        })
    }
}
