//! A restore by its plan: files into a new directory, and the database into a new one where that was asked for.

use std::sync::Arc;

use anyhow::bail;
use jiff::SignedDuration;

use super::{
    Backups, Made,
    found::Found,
    full::{signed, snapshot_id},
    manifests::manifest_of,
    occupied::is_occupied,
    places::Place,
    repository::Repository,
    restore_files::{Wanted, compare, restore},
    restore_outcome::{Outcome, Placed},
    restore_place::{Unfinished, finish_placing},
    restore_plan::RestorePlan,
    scratch,
    work::{Job, Lasting, asked, blocking, is_damage, is_stopped},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{Finding, Level, manifest::Manifest, point::RestorePoint},
    store::LeaseMode,
};

/// How long a run's plan is noted: longer than its attempts.
const NOTED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Lines that the log tells.
const LOGGED: usize = 4000;

/// What is restored, and from where.
struct Wish {
    plan: RestorePlan,
    point: RestorePoint,
    repository: Arc<dyn Repository>,
    watch: Stopwatch,
}

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
        // Of those into the same directory alone: another's disk may hang.
        let into = plan.directory.as_path();
        self.sweep_restores(job, Some(into)).await?;
        let mut wish = Wish {
            plan,
            point,
            repository,
            watch: Stopwatch::start(),
        };
        let (manifest, outcome) = match self.found_in_place(job, &wish).await? {
            Some(found) => found,
            None => self.restore_files(job, &mut wish).await?,
        };
        let (plan, point) = (&wish.plan, &wish.point);
        let mut message = format!(
            "{} files, {} bytes restored into {}",
            outcome.files,
            outcome.bytes,
            plan.directory.display()
        );
        let mut shortfalls = Vec::new();
        for counted in scratch::count_restored(job, &manifest, &plan.paths, &plan.directory).await?
        {
            match counted {
                Ok(said) => message.push_str(&format!("; {said}")),
                Err(why) => shortfalls.push(why),
            }
        }
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
        if 0 < outcome.left_out {
            message.push_str(&format!(
                "; {} devices, sockets or the like were left out",
                outcome.left_out
            ));
        }
        shortfalls.extend(outcome.shortfalls());
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
        // With what tells of it: history may be pruned before it is asked.
        wish.plan.settle();
        tx.restore_plan_note(&key_of(job), &wish.plan).await?;
        tx.repository_release(job.run()).await?;
        tx.commit().await?;
        let made = match shortfalls.is_empty() {
            true => Made::worked(message),
            false => Made::partial(format!("{message}; {}", shortfalls.join("; "))),
        };
        let lacks = outcome.damaged + outcome.refused;
        Ok(made
            .count("files_restored", signed(outcome.files))
            .count("bytes_restored", signed(outcome.bytes))
            .count("files_not_restored", signed(lacks))
            .count("attributes_not_set", signed(outcome.unset)))
    }

    /// What an attempt before had restored and was putting in place when its process was killed: it is put there, and
    /// all of it compared. None where that is not so, or another has taken it away.
    async fn found_in_place(
        &self,
        job: &Job,
        wish: &Wish,
    ) -> anyhow::Result<Option<(Manifest, Outcome)>> {
        let Some(Placed {
            placing, outcome, ..
        }) = wish.plan.placing.clone()
        else {
            return Ok(None);
        };
        let (roots, to) = self.where_to(wish);
        let run = job.run();
        let finished = job
            .step("place", 0, move |_| {
                finish_placing(&roots, &to, run, &placing)
            })
            .await?;
        let Some(beneath) = finished else {
            return Ok(None);
        };
        job.log("an attempt before has restored all of it: it is looked at where it lies");
        let (of, point, beside) = (wish.repository.clone(), wish.point.clone(), self.beside());
        let paths = wish.plan.paths.clone();
        let compared = job
            .step("compare", outcome.bytes, move |hand| {
                let stored = manifest_of(&*of, &point, &beside)?;
                let reader = of.open(&snapshot_id(&point.snapshot))?;
                let wanted = Wanted::Beginning(&paths);
                let compared = compare(&beneath, &*reader, &stored, wanted, hand)?;
                Ok((stored.manifest, compared))
            })
            .await;
        let (manifest, compared) = self.noting_damage(job, wish, compared).await?;
        let lines = compared.differing.lines.iter();
        let lines = lines.chain(&compared.unset.lines);
        for line in lines.chain(&compared.unseen.lines).take(LOGGED) {
            job.log(line);
        }
        Ok(Some((manifest, outcome.looked_at(&compared))))
    }

    /// Restores files under another name, and gives them their own once they are on the disk and that is noted.
    async fn restore_files(
        &self,
        job: &Job,
        wish: &mut Wish,
    ) -> anyhow::Result<(Manifest, Outcome)> {
        let (roots, to) = self.where_to(wish);
        let run = job.run();
        let (of, at) = (roots.clone(), to.clone());
        let held_in = blocking("restore", move || Unfinished::holder(&of, &at, run));
        let held_in = held_in.await??;
        let plan = &mut wish.plan;
        // What it speaks of is removed next, and a number of it may become another's.
        let had_placing = plan.placing.take().is_some();
        let is_known = plan.held_in.contains(&held_in);
        if !is_known {
            plan.held_in.push(held_in);
        }
        if had_placing || !is_known {
            self.note_plan(job, &wish.plan).await?;
        }
        let begun = blocking("restore", move || {
            let unfinished = Unfinished::make(&roots, &to, run)?;
            let into = unfinished.open()?;
            anyhow::Ok((unfinished, into))
        });
        let (unfinished, into) = begun.await??;
        let (of, point, beside) = (wish.repository.clone(), wish.point.clone(), self.beside());
        let paths = wish.plan.paths.clone();
        let total = point.source_bytes.max(0).unsigned_abs();
        let restored = job
            .step("restore", total, move |hand| {
                let stored = manifest_of(&*of, &point, &beside)?;
                let reader = of.open(&snapshot_id(&point.snapshot))?;
                let wanted = Wanted::Beginning(&paths);
                let restored = restore(&*reader, &stored, wanted, &into, hand)?;
                Ok((stored.manifest, restored))
            })
            .await;
        let (manifest, restored) = self.noting_damage(job, wish, restored).await?;
        for line in restored.lines().take(LOGGED) {
            job.log(line);
        }
        let synced = job
            .step("sync", 0, move |_| {
                let placing = unfinished.sync()?;
                Ok((unfinished, placing))
            })
            .await;
        let (unfinished, placing) = synced?;
        let outcome = Outcome::of(&restored);
        if !restored.damaged.is_empty() {
            // Before it is put in place: an attempt after a kill knows how much of it there was, and not what.
            let found = Found {
                level: Level::Read,
                finding: Finding::Failed,
                message: restored.shortfall().unwrap_or_default(),
                files: restored.files,
                bytes: restored.bytes,
                names: restored.damaged.names(),
            };
            self.note_damage(job, wish, &found).await?;
        }
        wish.plan.placing = Some(Placed {
            placing: placing.clone(),
            outcome: outcome.clone(),
            settled: false,
            told_since: None,
        });
        // Holds only while the attempt does: one that was given up puts nothing in place.
        self.note_plan(job, &wish.plan).await?;
        job.step("place", 0, move |_| unfinished.place(&placing))
            .await?;
        Ok((manifest, outcome))
    }

    fn where_to(&self, wish: &Wish) -> (Vec<std::path::PathBuf>, std::path::PathBuf) {
        (
            self.settings().config.restore_roots.clone(),
            wish.plan.directory.clone(),
        )
    }

    async fn note_plan(&self, job: &Job, plan: &RestorePlan) -> anyhow::Result<()> {
        let mut tx = job.begin().await?;
        tx.restore_plan_note(&key_of(job), plan).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes where a point's manifest, or what leads to all of it, did not come back.
    async fn noting_damage<T>(
        &self,
        job: &Job,
        wish: &Wish,
        done: anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if let Err(error) = &done
            && is_damage(error)
        {
            let found = Found::broken(Level::Read, format!("{error:#}"));
            self.note_damage(job, wish, &found).await?;
        }
        done
    }

    /// Notes that not all of a point came back.
    async fn note_damage(&self, job: &Job, wish: &Wish, found: &Found) -> anyhow::Result<()> {
        let now = self.clock().now();
        let mark = |point: &mut RestorePoint| point.found_damaged(now, &found.message);
        self.witness(job, Some(wish.point.id), &wish.watch, found, mark)
            .await
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
        let (key, now) = (key_of(job), self.clock().now());
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

fn key_of(job: &Job) -> String {
    format!("run:{}", job.run())
}
