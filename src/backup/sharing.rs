//! Damage of a repository, told of every restore point that refers to it: none of them comes back in full.

use super::{
    Backups,
    found::{Found, short},
    places::Place,
    repository::Lacking,
    work::Job,
};
use crate::{
    clock::Stopwatch,
    domain::backup::{Finding, Level, manifest::FileError, point::RestorePoint, verdict::Names},
};

/// Files that one line names.
const NAMED: usize = 3;

impl Backups {
    /// Notes which points of a repository refer to what was found gone or damaged there, each with the names of what is.
    ///
    /// # Errors
    /// Where the database is away, or the run was asked to stop.
    pub(super) async fn tell_points(
        &self,
        job: &Job,
        place: Place,
        lacking: &[Lacking],
    ) -> anyhow::Result<()> {
        if lacking.is_empty() {
            return Ok(());
        }
        let there = self.store().points_there().await?;
        for point in there {
            if Place::of(point.kind) != Some(place) {
                continue;
            }
            let names = lost_of(&point, lacking);
            if names.is_empty() || is_known(&point, &names) {
                continue;
            }
            let (watch, now) = (Stopwatch::start(), self.clock().now());
            let first: Vec<String> = names.named().iter().take(NAMED).map(brief).collect();
            let found = Found {
                level: Level::Read,
                finding: Finding::Failed,
                message: format!(
                    "{} refers to what is gone or damaged by {} names: {}",
                    point.resource_name(),
                    names.count(),
                    first.join("; ")
                ),
                files: 0,
                bytes: 0,
                names,
            };
            job.log(format!("damaged: {}", found.message));
            let mark = |point: &mut RestorePoint| point.found_damaged(now, &found.message);
            self.witness(job, Some(point.id), &watch, &found, mark)
                .await?;
        }
        Ok(())
    }
}

fn brief(one: &FileError) -> String {
    short(&one.message)
}

/// What a point has lost: of its data, and all of it where that is its manifest.
fn lost_of(point: &RestorePoint, lacking: &[Lacking]) -> Names {
    let mut names = Names::default();
    for one in lacking {
        if one.snapshot.0 == point.snapshot {
            names = names.and(&one.names);
        } else if one.snapshot.0 == point.manifest_snapshot {
            let all = FileError {
                path: "/".into(),
                message: "its manifest is gone or damaged".to_owned(),
            };
            names = names.and(&Names::new([all], 0));
        }
    }
    names
}

/// Whether all of that is known of it already.
fn is_known(point: &RestorePoint, names: &Names) -> bool {
    point.damage.as_ref().is_some_and(|damage| {
        let known = damage.names();
        known.and(names).count() <= known.count()
    })
}
