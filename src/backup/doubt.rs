//! New backups over a repository that is known to be damaged.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Backups,
    found::{LOGGED, of_names},
    full::snapshot_id,
    manifests::manifest_of,
    places::Place,
    read_back,
    repository::{Progress, Repository},
    work::Job,
};
use crate::{
    clock::Stopwatch,
    domain::{
        backup::{
            Finding, Level, PolicyKind,
            manifest::{FileError, SnapshotPath},
            point::RestorePoint,
            verdict::{Names, Sound},
        },
        id::RunId,
    },
};

/// Damaged points that are read again by one look, as long as they prove to be whole.
const READ_AGAIN: i64 = 5;
/// Older points that are looked at for what a new one has lost, the newest first, and files that are asked for of each.
const OTHERS: usize = 50;
const ASKED: usize = 100;
/// Runs that are remembered to have done so.
const REMEMBERED: usize = 100;

/// What runs have looked for in older points already, the newest run last: another attempt need not look for the same again.
/// After a restart it is done once more.
#[derive(Debug, Default)]
pub(super) struct Looked(Mutex<VecDeque<(RunId, HashSet<SnapshotPath>)>>);

impl Looked {
    /// Those of these that the run has not looked for, as many as one look asks for.
    fn rest_of(&self, run: RunId, damaged: &[FileError]) -> Vec<FileError> {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = runs.iter().find(|(of, _)| *of == run);
        let is_new =
            |error: &&FileError| known.is_none_or(|(_, names)| !names.contains(&error.path));
        damaged.iter().filter(is_new).take(ASKED).cloned().collect()
    }

    fn note(&self, run: RunId, damaged: Vec<FileError>) {
        let names = damaged.into_iter().map(|error| error.path);
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = runs.iter_mut().find(|(of, _)| *of == run) {
            known.extend(names);
            return;
        }
        runs.push_back((run, names.collect()));
        if REMEMBERED < runs.len() {
            runs.pop_front();
        }
    }
}

impl Backups {
    /// Whether the repository was found damaged, and not whole since.
    pub(super) async fn is_damage_known(&self) -> anyhow::Result<bool> {
        self.is_damage_known_at(Place::Primary).await
    }

    /// The same, of either repository.
    pub(super) async fn is_damage_known_at(&self, place: Place) -> anyhow::Result<bool> {
        let part = self.store().evidence_newest_part(place.as_str()).await?;
        let part_failed = part.is_some_and(|part| part.finding == Finding::Failed);
        let damaged = self.store().points_damaged_of(place.kind(), 1).await?;
        Ok(part_failed || !damaged.is_empty())
    }

    /// Reads the newest point that is known as damaged again: what was mended, or could not be read for once, is whole
    /// again by itself. That it is not is known already, and no failure of whoever looks.
    pub(super) async fn look_at_damaged(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        place: Place,
    ) -> anyhow::Result<Option<String>> {
        let store = self.store();
        let damaged = store.points_damaged_of(place.kind(), READ_AGAIN).await?;
        let mut said = Vec::new();
        for point in damaged {
            let found = self.read_all_of(job, repository, &point).await?;
            let name = point.resource_name();
            match found.finding {
                Finding::Passed => said.push(format!("{name} is whole again")),
                Finding::Failed | Finding::NotPossible => {
                    said.push(format!("{name} is damaged as before"));
                    // What is not there at all keeps nobody from looking at others.
                    if 0 < found.bytes {
                        break;
                    }
                }
            }
        }
        Ok((!said.is_empty()).then(|| said.join("; ")))
    }

    /// Looks at older points for what does not come back of a new one that failed by it: once in a run for each, whichever
    /// attempt has met it.
    pub(super) async fn look_at_others_once(
        &self,
        job: &Job,
        new: &RestorePoint,
        repository: &Arc<dyn Repository>,
        damaged: &[FileError],
    ) -> anyhow::Result<()> {
        let looked = &self.inner.looked;
        let damaged = looked.rest_of(job.run(), damaged);
        if damaged.is_empty() {
            return Ok(());
        }
        self.look_at_others(job, new, repository, &damaged).await?;
        looked.note(job.run(), damaged);
        Ok(())
    }

    /// What is damaged in a new point it shares with older ones, which are no better: they count for nothing from now on.
    pub(super) async fn look_at_others(
        &self,
        job: &Job,
        new: &RestorePoint,
        repository: &Arc<dyn Repository>,
        damaged: &[FileError],
    ) -> anyhow::Result<()> {
        let paths = damaged.iter().take(ASKED).map(|error| error.path.clone());
        let paths: Arc<HashSet<SnapshotPath>> = Arc::new(paths.collect());
        let there = self.store().points_there().await?;
        let good = there.into_iter().filter(|point| {
            point.kind == PolicyKind::Full && point.damage.is_none() && point.id != new.id
        });
        for point in good.take(OTHERS) {
            let watch = Stopwatch::start();
            let (of, wanted, paths) = (repository.clone(), point.clone(), paths.clone());
            let beside = self.beside();
            let read = job
                .step("older points", 0, move |hand| {
                    let stored = manifest_of(&*of, &wanted, &beside)?;
                    let reader = of.open(&snapshot_id(&wanted.snapshot))?;
                    let (mut done, mut differing) = (Progress::default(), Vec::new());
                    for file in stored.files()? {
                        let file = file?;
                        if paths.contains(&file.path) {
                            let sink = &mut std::io::sink();
                            let what = read_back::differs(&*reader, &file, sink, hand, &mut done)?;
                            differing.extend(what.map(|message| FileError {
                                path: file.path.clone(),
                                message,
                            }));
                        }
                    }
                    Ok((differing, done))
                })
                .await;
            let (names, done) = read_back::or_all(read)?;
            if names.is_empty() {
                continue;
            }
            let what = format!(
                "files of {} that a newer backup shares",
                point.resource_name()
            );
            let found = of_names(job, Level::Read, names, done, &what);
            let now = self.clock().now();
            let mark = |point: &mut RestorePoint| point.found_damaged(now, &found.message);
            self.witness(job, Some(point.id), &watch, &found, mark)
                .await?;
        }
        Ok(())
    }

    /// Where damage is known, a new point may refer to it, as what is stored already is not stored again: every file of
    /// it is read, and what does not come back is missing in it. Damage that is of older points alone keeps no new one
    /// from being good.
    pub(super) async fn doubt(
        &self,
        job: &Job,
        mut point: RestorePoint,
        repository: &Arc<dyn Repository>,
    ) -> anyhow::Result<RestorePoint> {
        job.log(
            "the repository is known to be damaged: every file of the new restore point is read",
        );
        let (of, wanted, beside) = (repository.clone(), point.clone(), self.beside());
        let total = point.source_bytes.max(0).unsigned_abs();
        let damaged = job
            .step("read all", total, move |hand| {
                Ok(read_back::differing(&*of, &wanted, &beside, hand)?.0)
            })
            .await?;
        if damaged.is_empty() {
            return Ok(point);
        }
        self.look_at_others(job, &point, repository, &damaged)
            .await?;
        for one in damaged.iter().take(LOGGED) {
            job.log(format!("damaged in the repository: {}", one.message));
        }
        let what = format!("{} files are damaged in the repository", damaged.len());
        let names = Names::new(damaged, 0);
        self.tell_verdict(job, &point, repository, Sound::Partial, what, names.clone())
            .await?;
        point.found_lacking(&names);
        Ok(point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged(names: &[&str]) -> Vec<FileError> {
        let error = |name: &&str| FileError {
            path: SnapshotPath(name.as_bytes().to_vec()),
            message: "it does not come back".to_owned(),
        };
        names.iter().map(error).collect()
    }

    #[test]
    fn another_attempt_looks_for_what_the_one_before_has_not() {
        let looked = Looked::default();
        let (run, other) = (RunId::new(), RunId::new());
        let both = damaged(&["/one", "/two"]);
        let first = looked.rest_of(run, &both[..1]);
        assert_eq!(first, both[..1]);
        looked.note(run, first);
        assert!(looked.rest_of(run, &both[..1]).is_empty());
        let second = looked.rest_of(run, &both);
        assert_eq!(second, both[1..]);
        looked.note(run, second);
        assert!(looked.rest_of(run, &both).is_empty());
        assert_eq!(looked.rest_of(other, &both), both);
    }
}
