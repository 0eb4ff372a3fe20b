//! A restore by its plan: files into a new directory, and the database into a new one where that was asked for.

use anyhow::bail;
use jiff::SignedDuration;

use super::{
    Backups, Made,
    found::Found,
    full::{signed, snapshot_id},
    manifests::manifest_of,
    places::Place,
    restore_files::{Wanted, restore},
    restore_place::Unfinished,
    restore_plan::{RestorePlan, is_occupied},
    scratch,
    work::{Job, Lasting, asked, blocking, is_damage, is_stopped},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{Finding, Level, point::RestorePoint},
    store::LeaseMode,
};

/// How long a run's plan is noted: longer than its attempts.
const NOTED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Lines that the log tells.
const LOGGED: usize = 4000;

impl Backups {
    /// Restores by a plan, which is used up by it.
    ///
    /// # Errors
    /// What stands in the way; what of it could not come back is said by the answer, and everything else is there.
    pub async fn run_restore(&self, job: &Job, plan_hash: &str) -> anyhow::Result<Made> {
        let plan = self.taken_plan(job, plan_hash).await?;
        let point = self.point_there(&plan).await?;
        let place = Place::of(point.kind).unwrap_or(Place::Primary);
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
        self.sweep_restores(job).await?;
        let watch = Stopwatch::start();
        let (roots, to) = (
            self.settings().config.restore_roots.clone(),
            plan.directory.clone(),
        );
        let run = job.run();
        let begun = blocking("restore", move || {
            let unfinished = Unfinished::make(&roots, &to, run)?;
            let into = unfinished.open()?;
            anyhow::Ok((unfinished, into))
        });
        let (unfinished, into) = begun.await??;
        let (of, wanted, chosen) = (repository.clone(), point.clone(), plan.clone());
        let beside = self.beside();
        let total = point.source_bytes.max(0).unsigned_abs();
        let restored = job
            .step("restore", total, move |hand| {
                let stored = manifest_of(&*of, &wanted, &beside)?;
                let reader = of.open(&snapshot_id(&wanted.snapshot))?;
                let wanted = Wanted::Beginning(&chosen.paths);
                let restored = restore(&*reader, &stored, wanted, &into, hand)?;
                Ok((stored.manifest, restored))
            })
            .await;
        let (manifest, restored) = match restored {
            // Its manifest, or what leads to all of it.
            Err(error) if is_damage(&error) => {
                let found = Found::broken(Level::Read, format!("{error:#}"));
                self.note_damage(job, &point, &watch, &found).await?;
                return Err(error);
            }
            restored => restored?,
        };
        for line in restored.lines().take(LOGGED) {
            job.log(line);
        }
        job.step("sync", 0, move |_| unfinished.finish()).await?;
        let mut message = format!(
            "{} files, {} bytes restored into {}",
            restored.files,
            restored.bytes,
            plan.directory.display()
        );
        let mut shortfalls = Vec::new();
        if !plan.new_database.is_empty() {
            let load = scratch::load_new(self, job, &manifest, &plan.directory, &plan.new_database);
            match job.wait("database", load).await {
                Ok(rows) => message.push_str(&format!(
                    "; {rows} rows into database {}",
                    plan.new_database
                )),
                Err(error) if is_stopped(&error) => return Err(error),
                Err(error) => shortfalls.push(format!(
                    "the database {} was not made: {error:#}",
                    plan.new_database
                )),
            }
        }
        if !restored.left_out.is_empty() {
            message.push_str(&format!(
                "; {} devices, sockets or the like were left out",
                restored.left_out.count
            ));
        }
        shortfalls.extend(restored.shortfall());
        let lacking = manifest
            .errors
            .iter()
            .filter(|error| error.path.begins_with_any(&plan.paths))
            .count();
        if 0 < lacking {
            shortfalls.push(format!(
                "{lacking} files were never in the restore point: see {}",
                point.resource_name()
            ));
        }
        let mut tx = job.begin().await?;
        tx.repository_release(job.run()).await?;
        tx.commit().await?;
        if !restored.damaged.is_empty() {
            let found = Found {
                level: Level::Read,
                finding: Finding::Failed,
                message: restored.shortfall().unwrap_or_default(),
                files: restored.files,
                bytes: restored.bytes,
                names: restored.damaged.names(),
            };
            self.note_damage(job, &point, &watch, &found).await?;
        }
        let made = match shortfalls.is_empty() {
            true => Made::worked(message),
            false => Made::partial(format!("{message}; {}", shortfalls.join("; "))),
        };
        let lacks = restored.damaged.count + restored.refused.count;
        Ok(made
            .count("files_restored", signed(restored.files))
            .count("bytes_restored", signed(restored.bytes))
            .count("files_not_restored", signed(lacks))
            .count("attributes_not_set", signed(restored.unset.count)))
    }

    /// Notes that not all of a point came back.
    async fn note_damage(
        &self,
        job: &Job,
        point: &RestorePoint,
        watch: &Stopwatch,
        found: &Found,
    ) -> anyhow::Result<()> {
        let now = self.clock().now();
        let mark = |point: &mut RestorePoint| point.found_damaged(now, &found.message);
        self.witness(job, Some(point.id), watch, found, mark).await
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
