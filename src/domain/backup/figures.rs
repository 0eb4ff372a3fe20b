//! Figures over all backups.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Runs of backups within a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    pub queued: i64,
    /// Succeeded in full.
    pub completed: i64,
    pub partial: i64,
    pub failed: i64,
    pub running: i64,
}

/// What a repository takes up, as of the last run that looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryUsage {
    pub bytes: i64,
    pub snapshots: i64,
}

/// How quick the last drill was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillSpeed {
    pub bytes: i64,
    pub took_ms: i64,
}

/// See the fields of `BackupStatistics`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackupFigures {
    pub jobs: Jobs,
    pub enabled_policies: i64,
    pub last_success: Option<Timestamp>,
    pub restorable_as_of: Option<Timestamp>,
    pub measured_rto: Option<Duration>,
    pub drill_bytes_per_second: i64,
    pub points: i64,
    /// Bytes of all points of the repository.
    pub points_bytes: i64,
    pub usage: RepositoryUsage,
    pub source_bytes: i64,
    pub source_files: i64,
    pub read_coverage_percent: f64,
    pub verified_at: Option<Timestamp>,
    pub retention_frozen: bool,
    pub free_bytes: i64,
    /// Where the passwords in force are read from.
    pub password_source: String,
    pub archive_password_source: String,
    pub checked_at: Timestamp,
}

impl BackupFigures {
    /// To one decimal, as the requirement has it; none where there never was one.
    pub fn last_success_hours_ago(&self) -> Option<f64> {
        let hours = self
            .checked_at
            .duration_since(self.last_success?)
            .as_secs_f64()
            / 3600.0;
        Some((hours.max(0.0) * 10.0).round() / 10.0)
    }

    pub fn deduplication_ratio(&self) -> Option<f64> {
        (0 < self.usage.bytes).then(|| self.points_bytes as f64 / self.usage.bytes as f64)
    }
}

impl DrillSpeed {
    pub fn bytes_per_second(&self) -> i64 {
        match self.took_ms {
            0 => 0,
            took => self.bytes.saturating_mul(1000) / took,
        }
    }

    /// How long so many bytes would take.
    pub fn time_for(&self, bytes: i64) -> Option<Duration> {
        let speed = self.bytes_per_second();
        (0 < speed)
            .then(|| Duration::from_millis((bytes.saturating_mul(1000) / speed).unsigned_abs()))
    }
}
