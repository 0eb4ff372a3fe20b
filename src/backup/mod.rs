//! Backups: snapshots that count only once they have been read back.
//!
//! [`Backups`] is the room's handle. A policy (`policies`) owns a task; a run of it makes a restore point: `full` makes
//! one of the live system, `export_run` a file of one, `archive_run` a copy in a second place. `verify` reads and
//! drills, `keeping` says which points stay, `cleanup` removes the others, `restore_run` brings one back, and `report`
//! tells how all of that is. The repository is behind a port (`repository`, whose adapter is `rustic`); what blocks
//! runs on threads of its own (`work`), and programs that are started can be ended (`child`).

mod accept;
mod adoption;
mod archive_run;
mod browse;
pub mod child;
mod cleanup;
mod configuration;
mod described;
mod doubt;
mod drill;
mod dump;
mod earlier_attempt;
pub mod export;
mod export_run;
mod found;
mod full;
mod keeping;
mod leftovers;
mod losses;
mod manifests;
mod marker;
mod occupied;
mod offline;
mod pairs;
mod passwords;
mod places;
mod policies;
mod read_back;
mod read_found;
mod readiness;
mod removal;
mod removing;
mod report;
pub mod repository;
mod restore_files;
mod restore_left;
mod restore_outcome;
mod restore_place;
mod restore_plan;
mod restore_put;
mod restore_run;
pub mod rustic;
mod samples;
mod scratch;
mod scratch_given;
mod scratch_left;
mod scratch_names;
mod scratch_spots;
mod scratch_try;
mod sharing;
mod sources;
mod staging;
mod standing;
mod telling;
mod turns;
mod verdicts;
mod verify;
mod work;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};

use self::found::Told;
pub use self::{
    browse::Read as ReadEntry,
    keeping::PolicyPlan,
    manifests::Stored,
    offline::{Offline, count_rows, load as load_dump, refuse_tables},
    places::{Directories, DirectoriesHere, OpenRepository, make_password},
    policies::{PolicyChange, PolicyState, PolicyTasks, Standing},
    readiness::{Readiness, Unready, check_places},
    report::{BackupsReport, COVERAGE, Free, PolicyReport},
    restore_files::{Restored, Tally},
    restore_plan::{Planned, RestoreWish},
    standing::{Found as OfflineFound, Standing as OfflineStanding},
    verify::PARTS,
    work::{Job, Lasting, Step, Work, is_stopped},
};
pub use crate::domain::backup::figures::BackupFigures;
use crate::{
    clock::SharedClock,
    config::BackupsConfig,
    domain::{
        backup::{PointState, PolicyId, PolicyKind, point::RestorePoint, policy::Policy},
        schedule::NamedZone,
    },
    error::{Error, Reason, Result},
    store::Store,
};

/// The tasks of the room besides those of policies; each is also the name of its kind.
pub const VERIFY_TASK: &str = "verify-backups";
pub const CLEANUP_TASK: &str = "backup-cleanup";
pub const RESTORE_TASK: &str = "restore-backup";

/// What is kept once in a cluster: what the repository takes up, and how quick the last drill was.
const USAGE_KEY: &str = "backup_repository_usage";
const SPEED_KEY: &str = "backup_drill_speed";

/// What the room is told at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The organisation's.
    pub zone: NamedZone,
    /// The data directory, which all replicas share.
    pub data: PathBuf,
    pub config: BackupsConfig,
    /// The configuration file that the server was started with.
    pub file: Option<PathBuf>,
    /// The URL of the server's own database, where that is PostgreSQL.
    pub postgres: Option<String>,
    /// The server's own program, for what is done in a process of its own.
    pub program: PathBuf,
    pub opener: Arc<dyn OpenRepository>,
    pub cluster: String,
    pub version: String,
}

/// The room's handle; cheap to clone.
#[derive(Clone, Debug)]
pub struct Backups {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: SharedClock,
    settings: Settings,
    open: places::OpenPlaces,
    report: report::ReportCache,
    turns: turns::Turns,
    looked: doubt::Looked,
}

/// What a run of the room has made.
#[derive(Clone, Debug)]
pub struct Made {
    pub how: How,
    /// A line for people.
    pub message: String,
    pub counters: Vec<(&'static str, i64)>,
}

/// Whether there was something to do, and all of it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Worked,
    Nothing,
    Partial,
}

impl Made {
    fn worked(message: impl Into<String>) -> Self {
        Self::with(How::Worked, message)
    }

    fn nothing(message: impl Into<String>) -> Self {
        Self::with(How::Nothing, message)
    }

    fn partial(message: impl Into<String>) -> Self {
        Self::with(How::Partial, message)
    }

    fn with(how: How, message: impl Into<String>) -> Self {
        Self {
            how,
            message: message.into(),
            counters: Vec::new(),
        }
    }

    fn count(mut self, name: &'static str, number: i64) -> Self {
        self.counters.push((name, number));
        self
    }

    /// The same, with what was found out besides: where something of that is amiss, not all is as it should be.
    fn telling(mut self, told: Told) -> Self {
        for one in told.said {
            self.message = format!("{}; {one}", self.message);
        }
        if told.is_amiss {
            self.how = How::Partial;
        }
        self
    }

    /// That a point was made.
    fn point(point: RestorePoint) -> Self {
        let (how, but) = match point.state {
            PointState::Complete => (How::Worked, String::new()),
            PointState::Partial => {
                let named = point.missing.iter().take(3);
                let named: Vec<String> = named
                    .map(|missing| format!("{}: {}", missing.path, missing.message))
                    .collect();
                let but = format!(
                    "; {} are not in it: {}",
                    point.missing_count,
                    named.join("; ")
                );
                (How::Partial, but)
            }
        };
        let message = format!(
            "{}: {} files, {} bytes, {} added{but}",
            point.resource_name(),
            point.files,
            point.source_bytes,
            point.added_bytes
        );
        Self::with(how, message)
            .count("files", point.files)
            .count("source_bytes", point.source_bytes)
            .count("added_bytes", point.added_bytes)
            .count("dump_bytes", point.dump_bytes)
            .count("files_missing", point.missing_count)
    }
}

impl Backups {
    pub fn new(store: Store, clock: SharedClock, settings: Settings) -> Self {
        let inner = Inner {
            store,
            clock,
            settings,
            open: places::OpenPlaces::default(),
            report: report::ReportCache::default(),
            turns: turns::Turns::default(),
            looked: doubt::Looked::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Where files without a name lie while they are worked with.
    fn beside(&self) -> PathBuf {
        self.settings().config.staging.clone()
    }

    /// Runs a policy: what its task does.
    ///
    /// # Errors
    /// What stands in the way; no restore point was made then.
    pub async fn run(&self, job: &Job, id: &PolicyId) -> anyhow::Result<Made> {
        let policy = self.store().policy(id).await?;
        self.refuse_to_run(&policy)?;
        match policy.kind {
            PolicyKind::Full => self.run_full(job, &policy).await,
            PolicyKind::Export => self.run_export(job, &policy).await,
            PolicyKind::Archive => self.run_archive(job, &policy).await,
        }
    }

    /// That a policy is not to run.
    ///
    /// # Errors
    /// [`Error::Conflict`] `POLICY_DISABLED` or `POLICY_UNAVAILABLE`.
    pub fn refuse_to_run(&self, policy: &Policy) -> Result<()> {
        let subject = policy.resource_name();
        match self.standing(policy.clone()).state {
            PolicyState::Active => Ok(()),
            PolicyState::Disabled => {
                let message = format!(
                    "{subject} is disabled: enable it first, such as by `bellctl backup policy enable`"
                );
                Err(Error::conflict(Reason::PolicyDisabled, subject, message))
            }
            PolicyState::Unavailable(why) => {
                let message = format!("{subject} cannot run: {why}");
                Err(Error::conflict(Reason::PolicyUnavailable, subject, message))
            }
        }
    }
}

/// Does one step in a process of its own, whichever way it is talked to.
///
/// # Errors
/// What went wrong, for the server to read from standard error.
pub fn help(
    step: &str,
    order: impl FnOnce() -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Option<Vec<u8>>> {
    match step == rustic::WORK {
        true => rustic::work().map(|()| None),
        false => answer(step, &order()?).map(Some),
    }
}

/// Does one step in a process of its own, which the server has started and can end: `watchbell helper STEP`. Order
/// and answer are JSON, by standard input and output, so that no secret is among the arguments.
///
/// # Errors
/// What went wrong, for the server to read from standard error.
fn answer(step: &str, order: &[u8]) -> anyhow::Result<Vec<u8>> {
    if let Some(answer) = rustic::help(step, order) {
        return answer.context("the order cannot be read");
    }
    if step == dump::COPY_DATABASE {
        return dump::help(order);
    }
    bail!("there is no step {step:?}")
}
