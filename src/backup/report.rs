//! How backups are, for the status: read again when something has happened, and otherwise once a minute, however many
//! ask. What of it is wrong is for `monitor` to say.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::{
    Backups, PolicyState, Standing,
    cleanup::{FROZEN_KEY, FrozenSince},
    full::signed,
    places::{Place, free_bytes},
    repository::Usage,
    verify::PARTS,
};
use crate::{
    clock::Stopwatch,
    domain::{
        TaskName,
        backup::{
            PolicyKind,
            figures::{BackupFigures, DrillSpeed, RepositoryUsage},
            point::RestorePoint,
            policy::OWN_DATABASE,
        },
    },
    error::Result,
};

/// How long figures hold while events come, and while none do.
const FRESH_AT_LEAST_FOR: Duration = Duration::from_secs(1);
const FRESH_FOR: SignedDuration = SignedDuration::from_secs(60);
/// How long looks at free space are waited for: with those of probes less than a tenth of a second, which is what a call may
/// wait for a disk that hangs.
const FREE_WITHIN: Duration = Duration::from_millis(60);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The newest points of a policy that are looked at.
const LOOKED_AT: i64 = 30;
/// How old the reading of a part may be to count.
pub const COVERAGE: SignedDuration = SignedDuration::from_hours(24 * 35);

/// What is known of backups, for the status.
#[derive(Clone, Debug)]
pub struct BackupsReport {
    pub figures: BackupFigures,
    pub policies: Vec<PolicyReport>,
    /// The newest good full backup.
    pub newest: Option<RestorePoint>,
    /// Names of policies that are scheduled and never came to a good point.
    pub never: Vec<String>,
    /// Parts of the repository that were read, and when.
    pub reads: Vec<(u32, Timestamp)>,
    /// Those of the second location, where there is one that holds something.
    pub archive_reads: Option<Vec<(u32, Timestamp)>>,
    /// Bytes free where the repository lies, and where exports do.
    pub free: Free,
}

/// Bytes free in the places that policies write to, where they are known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Free {
    pub repository: Option<u64>,
    pub exports: Option<u64>,
}

/// How a policy is.
#[derive(Clone, Debug)]
pub struct PolicyReport {
    pub standing: Standing,
    /// Of one that is active: its newest points, the newest first.
    pub points: Vec<RestorePoint>,
    /// Of one that is active: why nothing of it is removed.
    pub frozen: Option<String>,
    /// Since when that is so, as far as a cleanup has seen it.
    pub frozen_since: Option<Timestamp>,
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
            // While the log has stalled, that nothing is heard says nothing.
            let unchanged = known.upto == upto && !age.is_negative() && age < FRESH_FOR;
            let unchanged = unchanged && self.store().tail().hears();
            let young = age.abs() < FRESH_FOR && known.read.elapsed() < fresh_for;
            if unchanged || young {
                return Ok(known.report.clone());
            }
        }
        self.read_into(&mut cached, now, upto).await
    }

    /// The same, looked at anew: the time alone may have changed it.
    ///
    /// # Errors
    /// As [`Backups::report`].
    pub async fn report_anew(&self) -> Result<Arc<BackupsReport>> {
        let mut cached = self.inner.report.get_or_init(Mutex::default).lock().await;
        let (now, upto) = (self.clock().now(), self.store().tail().last());
        self.read_into(&mut cached, now, upto).await
    }

    async fn read_into(
        &self,
        cached: &mut Option<Known>,
        now: Timestamp,
        upto: i64,
    ) -> Result<Arc<BackupsReport>> {
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

    /// Whether there is a second location that holds something, as far as is known.
    pub(super) async fn has_archive(&self) -> Result<bool> {
        let is_named = self.settings().config.archive.is_some();
        Ok(is_named && 0 < self.points_known(Place::Archive).await?)
    }

    /// Names of policies that are scheduled and never came to a good point. For one of the server's own database whatever
    /// holds that serves.
    async fn never_backed_up(
        &self,
        standings: &[Standing],
        newest: Option<&RestorePoint>,
    ) -> Result<Vec<String>> {
        let scheduled = standings.iter().filter(|standing| {
            let policy = &standing.policy;
            policy.kind == PolicyKind::Full
                && policy.is_scheduled()
                && standing.state == PolicyState::Active
        });
        let mut never = Vec::new();
        for Standing { policy, .. } in scheduled {
            let has_database = policy.sources.iter().any(|name| name == OWN_DATABASE);
            // That of a policy which is no more is none of one that is.
            let lives = |point: &RestorePoint| {
                let mut living = standings.iter().map(|standing| &standing.policy.id);
                living.any(|id| id.as_str() == point.policy)
            };
            if has_database && newest.is_some_and(|point| point.own_database && lives(point)) {
                continue;
            }
            let id = Some(policy.id.as_str());
            let good = self.store().point_newest_good(PolicyKind::Full, id).await?;
            if good.is_none() {
                never.push(policy.resource_name());
            }
        }
        Ok(never)
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
        let archive_reads = match self.has_archive().await? {
            true => Some(store.reads(Place::Archive.as_str(), PARTS).await?),
            false => None,
        };
        let covered = |reads: &[(u32, Timestamp)]| {
            let recent = reads.iter();
            recent
                .filter(|(_, at)| now.duration_since(*at) <= COVERAGE)
                .count()
        };
        let recent = covered(&reads).min(archive_reads.as_deref().map_or(usize::MAX, covered));
        let places = self.settings().config.clone();
        // A disk that does not answer holds up nobody who asks how things are.
        let free_at = async |path: &Path| {
            let free = tokio::time::timeout(FREE_WITHIN, free_bytes(path)).await;
            free.ok()?.ok()?
        };
        let (repository, exports) =
            tokio::join!(free_at(&places.repository), free_at(&places.exports));
        let free = Free {
            repository,
            exports,
        };
        let counts = store.points_count().await?;
        let never = self.never_backed_up(&standings, newest.as_ref()).await?;
        let mut figures = BackupFigures {
            jobs: store
                .backup_jobs(&tasks, now.saturating_sub(DAY).unwrap_or(now))
                .await?,
            enabled_policies: standings
                .iter()
                .filter(|standing| standing.state == PolicyState::Active)
                .count() as i64,
            last_success: newest
                .as_ref()
                .filter(|_| never.is_empty())
                .map(|point| point.frozen_at),
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
            read_coverage_percent: recent as f64 * 100.0 / f64::from(PARTS),
            verified_at: newest.as_ref().and_then(|point| point.verified_at),
            retention_frozen: false,
            free_bytes: free
                .repository
                .map_or(0, |free| i64::try_from(free).unwrap_or(i64::MAX)),
            password_source: self.password_in_force(),
            archive_password_source: self.archive_password_in_force(),
            checked_at: now,
        };
        let since: FrozenSince = store.value(FROZEN_KEY).await?.unwrap_or_default();
        let mut policies = Vec::with_capacity(standings.len());
        for standing in standings {
            let (mut points, mut frozen) = (Vec::new(), None);
            if standing.state == PolicyState::Active {
                let policy = &standing.policy;
                points = store
                    .points_newest_of(policy.id.as_str(), LOOKED_AT)
                    .await?;
                frozen = self.frozen(policy, &points).await?;
            }
            figures.retention_frozen |= frozen.is_some();
            let frozen_since = since
                .get(standing.policy.id.as_str())
                .copied()
                .filter(|_| frozen.is_some());
            policies.push(PolicyReport {
                standing,
                points,
                frozen,
                frozen_since,
            });
        }
        Ok(BackupsReport {
            figures,
            policies,
            newest,
            never,
            reads,
            archive_reads,
            free,
        })
    }
}

impl From<Usage> for RepositoryUsage {
    fn from(usage: Usage) -> Self {
        Self {
            bytes: signed(usage.bytes),
            snapshots: signed(usage.snapshots),
        }
    }
}
