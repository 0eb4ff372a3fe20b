//! A restore by its plan: files into a new directory, and the database into a new one where that was asked for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use jiff::SignedDuration;

use super::{
    Backups, Made,
    full::{signed, snapshot_id},
    places::Place,
    read_back,
    restore_files::{make_directory, restore},
    restore_plan::{RestorePlan, is_occupied},
    scratch,
    verify::Found,
    work::{Job, Lasting, asked, blocking, remove_beside},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{Finding, Level, PolicyKind, point::RestorePoint},
    store::LeaseMode,
};

/// How long a run's plan is noted: longer than its attempts.
const NOTED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Failures that the log tells, and that the message names.
const LOGGED: usize = 1000;
const NAMED: usize = 5;

impl Backups {
    /// Restores by a plan, which is used up by it.
    ///
    /// # Errors
    /// What stands in the way; where files failed, all others were restored.
    pub async fn run_restore(&self, job: &Job, plan_hash: &str) -> anyhow::Result<Made> {
        let plan = self.taken_plan(job, plan_hash).await?;
        let point = self.point_there(&plan).await?;
        let place = match point.kind {
            PolicyKind::Archive => Place::Archive,
            PolicyKind::Full | PolicyKind::Export => Place::Primary,
        };
        self.lease(job, place, LeaseMode::Shared).await?;
        // From now on nothing is removed; until now it may have been.
        let point = self.point_there(&plan).await?;
        let repository = job
            .wait("open", self.repository(place, job.cancel()))
            .await?;
        if job.dry_run() {
            return Ok(Made::nothing(
                "the repository can be opened; nothing was restored",
            ));
        }
        let watch = Stopwatch::start();
        let unfinished = Unfinished::of(&plan.directory, job).await?;
        let into = unfinished.path.clone();
        let (of, wanted, chosen) = (repository.clone(), point.clone(), plan.clone());
        let total = point.source_bytes.max(0).unsigned_abs();
        let (manifest, restored) = job
            .step("restore", total, move |hand| {
                let manifest = read_back::manifest_of(&*of, &wanted)?;
                let reader = of.open(&snapshot_id(&wanted.snapshot))?;
                let restored = restore(&*reader, &manifest, &chosen.paths, &into, hand)?;
                Ok((manifest, restored))
            })
            .await?;
        for line in restored
            .failed
            .iter()
            .chain(&restored.left_out)
            .take(LOGGED)
        {
            job.log(line);
        }
        unfinished.finish(&plan.directory).await?;
        let mut message = format!(
            "{} files, {} bytes restored into {}",
            restored.files,
            restored.bytes,
            plan.directory.display()
        );
        if !plan.new_database.is_empty() && restored.failed.is_empty() {
            let rows = job
                .wait(
                    "database",
                    scratch::load_new(self, job, &manifest, &plan.directory, &plan.new_database),
                )
                .await?;
            message.push_str(&format!(
                "; {rows} rows into database {}",
                plan.new_database
            ));
        }
        if !restored.left_out.is_empty() {
            message.push_str(&format!(
                "; {} links or special files were left out",
                restored.left_out.len()
            ));
        }
        let mut tx = job.begin().await?;
        tx.repository_release(job.run()).await?;
        tx.commit().await?;
        if !restored.failed.is_empty() {
            let named: Vec<&str> = restored
                .failed
                .iter()
                .take(NAMED)
                .map(String::as_str)
                .collect();
            let why = format!(
                "{message}; {} files did not come back whole: {}",
                restored.failed.len(),
                named.join("; ")
            );
            let found = Found {
                level: Level::Read,
                finding: Finding::Failed,
                message: why.clone(),
                files: restored.files,
                bytes: restored.bytes,
            };
            let now = self.clock().now();
            let mark = |point: &mut RestorePoint| point.found_damaged(now, &found.message);
            self.witness(job, Some(point.id), &watch, &found, mark)
                .await?;
            return Err(Lasting(why).into());
        }
        Ok(Made::worked(message)
            .count("files_restored", signed(restored.files))
            .count("bytes_restored", signed(restored.bytes)))
    }

    async fn point_there(&self, plan: &RestorePlan) -> anyhow::Result<RestorePoint> {
        let point = self.store().point(plan.point).await?;
        if point.removed_at.is_some() {
            let (name, why) = (point.resource_name(), &point.remove_reason);
            return Err(Lasting(format!("{name} was removed: {why}")).into());
        }
        Ok(point)
    }

    /// The plan, which this run alone may use: a later attempt of it finds what the first has noted.
    async fn taken_plan(&self, job: &Job, plan_hash: &str) -> anyhow::Result<RestorePlan> {
        let (key, now) = (format!("run:{}", job.run()), self.clock().now());
        let noted: Option<RestorePlan> = self.store().restore_plan(&key, now).await?;
        if let Some(plan) = noted {
            return Ok(plan);
        }
        let over =
            || Lasting("the plan was used, or its 15 minutes are over: plan again".to_owned());
        // Before the transaction: a disk that hangs must not hold up everyone's writes.
        let plan: RestorePlan = self
            .store()
            .restore_plan(plan_hash, now)
            .await?
            .ok_or_else(over)?;
        if asked(&plan.directory, "looking at", is_occupied).await? {
            bail!(
                "{} is there and not empty: a restore never writes over anything",
                plan.directory.display()
            );
        }
        let mut tx = job.begin().await?;
        let plan: Option<RestorePlan> = tx.restore_plan_take(plan_hash).await?;
        let plan = plan.ok_or_else(over)?;
        tx.restore_plan_keep(&key, now + NOTED_FOR, &plan).await?;
        tx.commit().await?;
        Ok(plan)
    }
}

/// Where a run restores to until it is over, beside where it is to be: that is there as a whole, or not at all.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Its name holds the run, so that what an earlier attempt has left there is the run's own, and goes.
    async fn of(directory: &Path, job: &Job) -> anyhow::Result<Self> {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let path = directory.with_file_name(format!(".{name}.{}.unfinished", job.run()));
        let (clear, parent) = (path.clone(), directory.parent().map(Path::to_owned));
        let made = blocking("restore", move || {
            match fs::remove_dir_all(&clear) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("could not remove {}", clear.display()));
                }
                _ => {}
            }
            parent.as_deref().map_or(Ok(()), make_directory)
        });
        made.await??;
        Ok(Self { path })
    }

    /// Gives it its name. An empty directory of that name may be there; one that is not stays what it is.
    async fn finish(mut self, directory: &Path) -> anyhow::Result<()> {
        let (from, to) = (self.path.clone(), directory.to_owned());
        let renamed = blocking("restore", move || fs::rename(from, to)).await?;
        renamed.with_context(|| {
            format!(
                "what was restored could not become {}: a restore never writes over anything",
                directory.display()
            )
        })?;
        self.path.clear();
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Where it has its name, it is whole.
        if !self.path.as_os_str().is_empty() {
            remove_beside(std::mem::take(&mut self.path));
        }
    }
}
