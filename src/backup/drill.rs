//! Drills: dumps and samples restored and compared, and databases restored into scratch ones and counted.

use std::{collections::HashSet, path::Path, sync::Arc};

use super::{
    Backups,
    found::{Found, LOGGED, of_files},
    full::{signed, snapshot_id},
    manifests::{Stored, manifest_of},
    repository::{Hand, Progress, Repository},
    restore_files::{Looked, Restored, Wanted, fresh, look, restore},
    samples::samples,
    scratch::Scratch,
    scratch_try::try_dump,
    staging::Staging,
    work::{Job, blocking, is_damage, is_stopped},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{
        Finding, Level,
        figures::DrillSpeed,
        manifest::{Manifest, SnapshotPath},
        point::RestorePoint,
        verdict::Names,
    },
};

/// Directories and links that a drill restores besides its files.
const OTHERS: u64 = 20_000;

/// What a restore of samples came to.
struct Rehearsed {
    stored: Stored,
    restored: Restored,
    /// What did not come back as it was.
    differing: Vec<String>,
    looked: Looked,
}

/// Restores dumps and samples into a directory, as any restore does, and compares what lies there then.
fn rehearse(
    repository: &dyn Repository,
    point: &RestorePoint,
    into: &Path,
    beside: &Path,
    hand: &Hand,
) -> anyhow::Result<Rehearsed> {
    let stored = manifest_of(repository, point, beside)?;
    let reader = repository.open(&snapshot_id(&point.snapshot))?;
    let files = samples(&stored, point.id)?;
    let sample: HashSet<&SnapshotPath> = files.iter().map(|file| &file.path).collect();
    let beneath = fresh(into)?;
    let wanted = Wanted::Sample(&sample, OTHERS);
    let restored = restore(&*reader, &stored, wanted, &beneath, hand)?;
    let told = restored.damaged.lines.iter().chain(&restored.refused.lines);
    let mut differing: Vec<String> = told.cloned().collect();
    let mut looked = Looked::default();
    // What is known not to be there need not be looked for.
    if differing.is_empty() {
        let there = (&beneath, &restored.unset_of);
        looked = look(&*reader, &stored, (&files, wanted), there, hand)?;
        differing.extend(looked.differing.lines.iter().cloned());
    }
    Ok(Rehearsed {
        stored,
        restored,
        differing,
        looked,
    })
}

impl Backups {
    /// L2 and L3: dump and samples restored and hashed; the database restored into a scratch one, and counted.
    pub(super) async fn drill(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        point: &RestorePoint,
        levels: &[Level],
    ) -> anyhow::Result<Vec<Found>> {
        if !levels.contains(&Level::Drill) && !levels.contains(&Level::Database) {
            return Ok(Vec::new());
        }
        let (root, run) = (self.settings().config.staging.clone(), job.run());
        let staging = blocking("staging", move || Staging::make(&root, run)).await??;
        let drilled = self.drill_in(&staging, job, repository, point, levels);
        let drilled = drilled.await;
        staging.remove().await;
        drilled
    }

    async fn drill_in(
        &self,
        staging: &Staging,
        job: &Job,
        repository: &Arc<dyn Repository>,
        point: &RestorePoint,
        levels: &[Level],
    ) -> anyhow::Result<Vec<Found>> {
        let watch = Stopwatch::start();
        let (of, wanted, into) = (repository.clone(), point.clone(), staging.path().to_owned());
        let total = point.dump_bytes.max(0).unsigned_abs();
        let beside = self.beside();
        let restored = job
            .step("drill", total, move |hand| {
                rehearse(&*of, &wanted, &into, &beside, hand)
            })
            .await;
        let rehearsed = match restored {
            Err(error) if !is_stopped(&error) => {
                let message = format!("{}: {error:#}", point.resource_name());
                let found = Found::broken(Level::Drill, message);
                // What could not be tried, as for want of space, says nothing of the point.
                let (damaged, now) = (is_damage(&error), self.clock().now());
                let mark = |point: &mut RestorePoint| {
                    if damaged {
                        point.found_damaged(now, &found.message);
                    }
                };
                self.witness(job, Some(point.id), &watch, &found, mark)
                    .await?;
                return Ok(vec![found]);
            }
            restored => restored?,
        };
        let Rehearsed {
            stored,
            restored,
            differing,
            looked,
        } = rehearsed;
        let done = Progress {
            files: restored.files,
            bytes: restored.bytes,
        };
        let mut all = Vec::new();
        let what = format!("dumps and samples of {}", point.resource_name());
        let mut found = of_files(job, Level::Drill, &differing, done, &what);
        found.names = restored.damaged.names();
        let passed = found.finding == Finding::Passed;
        for line in restored.unset.lines.iter().take(LOGGED) {
            job.log(format!("not set: {line}"));
        }
        // A restore by whoever has the right brings it back: no fault of the point.
        for (tally, what) in [
            (
                &restored.unset,
                "came back but for what the server's user could not set",
            ),
            (
                &looked.unseen,
                "were read while they were restored, and not looked at where the server's user may not",
            ),
        ] {
            if let Some(line) = tally.lines.first() {
                let count = tally.count;
                found
                    .message
                    .push_str(&format!("; {count} {what}, such as {line}"));
            }
        }
        let damaged = !restored.damaged.is_empty();
        let now = self.clock().now();
        let mark = |point: &mut RestorePoint| match (passed, damaged) {
            (true, _) => point.found_whole_in_part(now),
            (false, true) => point.found_damaged(now, &found.message),
            // It could not be made where it was tried, which says nothing of what is stored.
            (false, false) => point.found_by_drill(false, now),
        };
        self.witness(job, Some(point.id), &watch, &found, mark)
            .await?;
        all.push(found);
        if passed && levels.contains(&Level::Database) {
            all.push(
                self.drill_databases(job, point, &stored.manifest, staging.path(), &watch, done)
                    .await?,
            );
        }
        Ok(all)
    }

    async fn drill_databases(
        &self,
        job: &Job,
        point: &RestorePoint,
        manifest: &Manifest,
        into: &Path,
        since: &Stopwatch,
        done: Progress,
    ) -> anyhow::Result<Found> {
        let watch = Stopwatch::start();
        let mut said = Vec::new();
        let mut finding = Finding::Passed;
        let mut dumps = 0;
        for source in &manifest.sources {
            let Some(dump) = &source.dump else {
                continue;
            };
            dumps += 1;
            let file = dump.path.below(into);
            let tried = job
                .wait("scratch", try_dump(self, job, source, &file))
                .await;
            let tried = match tried {
                Err(error) if is_stopped(&error) => return Err(error),
                Err(error) => Scratch::Failed(format!("{error:#}")),
                Ok(tried) => tried,
            };
            match tried {
                Scratch::Same(rows) => {
                    said.push(format!("{}: {rows} rows, as in the manifest", source.name))
                }
                Scratch::NotPossible(why) => {
                    if finding == Finding::Passed {
                        finding = Finding::NotPossible;
                    }
                    said.push(format!("{}: {why}", source.name));
                }
                Scratch::Failed(why) => {
                    finding = Finding::Failed;
                    said.push(format!("{}: {why}", source.name));
                }
            }
        }
        let found = Found {
            level: Level::Database,
            finding,
            message: match said.is_empty() {
                true => format!("{} holds no database", point.resource_name()),
                false => said.join("; "),
            },
            files: dumps,
            bytes: point.dump_bytes.max(0).unsigned_abs(),
            names: Names::default(),
        };
        let now = self.clock().now();
        let drilled = finding == Finding::Passed;
        let mark = |point: &mut RestorePoint| {
            // What could not be tried takes no drill back that was done before.
            if finding != Finding::NotPossible {
                point.found_by_drill(drilled, now);
            }
        };
        self.witness(job, Some(point.id), &watch, &found, mark)
            .await?;
        if drilled {
            let speed = DrillSpeed {
                bytes: signed(done.bytes),
                took_ms: i64::try_from(since.elapsed().as_millis())
                    .unwrap_or(i64::MAX)
                    .max(1),
            };
            let mut tx = job.begin().await?;
            tx.set_value(super::SPEED_KEY, &speed).await?;
            tx.commit().await?;
        }
        Ok(found)
    }
}
