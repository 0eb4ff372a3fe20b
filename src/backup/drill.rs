//! Drills: dumps and samples restored and hashed, and databases restored into scratch ones and counted.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;

use super::{
    Backups,
    full::{signed, snapshot_id},
    read_back,
    repository::{Progress, Repository},
    samples::samples,
    scratch::{self, Scratch},
    staging::Staging,
    verify::{Found, of_files},
    work::{Job, blocking, is_damage, is_stopped},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{
        Finding, Level, figures::DrillSpeed, manifest::Manifest, point::RestorePoint,
    },
};

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
        let restored = job
            .step(
                "drill",
                point.dump_bytes.max(0).unsigned_abs(),
                move |hand| {
                    let manifest = read_back::manifest_of(&*of, &wanted)?;
                    let reader = of.open(&snapshot_id(&wanted.snapshot))?;
                    let (mut done, mut differing, mut dumps) =
                        (Progress::default(), Vec::new(), Vec::new());
                    for file in samples(&manifest, wanted.id) {
                        let dump = manifest.sources.iter().position(|source| {
                            source
                                .dump
                                .as_ref()
                                .is_some_and(|dump| dump.path == file.path)
                        });
                        let what = match dump {
                            None => read_back::differs(
                                &*reader,
                                file,
                                &mut std::io::sink(),
                                hand,
                                &mut done,
                            )?,
                            Some(source) => {
                                let path = into.join(format!("dump-{source}"));
                                let mut restored =
                                    std::fs::File::create_new(&path).with_context(|| {
                                        format!("could not write {}", path.display())
                                    })?;
                                dumps.push((source, path));
                                read_back::differs(&*reader, file, &mut restored, hand, &mut done)?
                            }
                        };
                        differing.extend(what);
                    }
                    Ok((manifest, differing, done, dumps))
                },
            )
            .await;
        let (manifest, differing, done, dumps) = match restored {
            Err(error) if !is_stopped(&error) => {
                let found = Found {
                    level: Level::Drill,
                    finding: Finding::Failed,
                    message: format!("{}: {error:#}", point.resource_name()),
                    files: 0,
                    bytes: 0,
                };
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
        let mut all = Vec::new();
        let what = format!("dumps and samples of {}", point.resource_name());
        let found = of_files(job, Level::Drill, &differing, done, &what);
        let passed = found.finding == Finding::Passed;
        let now = self.clock().now();
        let mark = |point: &mut RestorePoint| match passed {
            true => point.found_whole_in_part(now),
            false => point.found_damaged(now, &found.message),
        };
        self.witness(job, Some(point.id), &watch, &found, mark)
            .await?;
        all.push(found);
        if passed && levels.contains(&Level::Database) {
            all.push(
                self.drill_databases(job, point, &manifest, &dumps, &watch, done)
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
        dumps: &[(usize, PathBuf)],
        since: &Stopwatch,
        done: Progress,
    ) -> anyhow::Result<Found> {
        let watch = Stopwatch::start();
        let mut said = Vec::new();
        let mut finding = Finding::Passed;
        for (source, file) in dumps {
            let Some(record) = manifest.sources.get(*source) else {
                continue;
            };
            let tried = job
                .wait("scratch", scratch::try_dump(self, job, record, file))
                .await;
            let tried = match tried {
                Err(error) if is_stopped(&error) => return Err(error),
                Err(error) => Scratch::Failed(format!("{error:#}")),
                Ok(tried) => tried,
            };
            match tried {
                Scratch::Same(rows) => {
                    said.push(format!("{}: {rows} rows, as in the manifest", record.name))
                }
                Scratch::NotPossible(why) => {
                    if finding == Finding::Passed {
                        finding = Finding::NotPossible;
                    }
                    said.push(format!("{}: {why}", record.name));
                }
                Scratch::Failed(why) => {
                    finding = Finding::Failed;
                    said.push(format!("{}: {why}", record.name));
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
            files: dumps.len() as u64,
            bytes: point.dump_bytes.max(0).unsigned_abs(),
        };
        let now = self.clock().now();
        let drilled = finding == Finding::Passed;
        let mark = |point: &mut RestorePoint| point.found_by_drill(drilled, now);
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
