//! Damage of a repository, told of every restore point that refers to it: none of them comes back in full.

use super::{
    Backups,
    found::{Found, first_of},
    places::Place,
    repository::Lacking,
    work::Job,
};
use crate::{
    domain::backup::{
        Finding, Level,
        manifest::FileError,
        point::{DAMAGED_SHOWN, RestorePoint},
        verdict::Names,
    },
    error::Result,
};

impl Backups {
    /// Points that are there of a repository, newest first.
    pub(super) async fn points_in(&self, place: Place) -> Result<Vec<RestorePoint>> {
        let mut points = self.store().points_there().await?;
        points.retain(|point| Place::of(point.kind) == Some(place));
        Ok(points)
    }

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
        let mut all = Vec::new();
        for point in self.points_in(place).await? {
            let names = lost_of(&point, lacking);
            if names.is_empty() || is_known(&point, &names) {
                continue;
            }
            let found = Found {
                level: Level::Read,
                finding: Finding::Failed,
                message: format!(
                    "{} refers to what is gone or damaged by {} names: {}",
                    point.resource_name(),
                    names.count(),
                    first_of(names.named().iter().map(|one| &one.message))
                ),
                files: 0,
                bytes: 0,
                names,
            };
            job.log(format!("damaged: {}", found.message));
            all.push((point, found));
        }
        self.witness_damage(job, place, &all).await
    }
}

/// What a point has lost: of its data, and all of it where that is its manifest.
fn lost_of(point: &RestorePoint, lacking: &[Lacking]) -> Names {
    let mut names = Names::default();
    for one in lacking {
        if one.snapshot.0 == point.snapshot {
            names = names.and(&one.names);
        } else if one.snapshot.0 == point.manifest_snapshot {
            let all = FileError::of_all("its manifest is gone or damaged".to_owned());
            names = names.and(&Names::new([all], 0));
        }
    }
    names
}

/// Whether all of that is known of it already. What the row does not name may be something else, as long as it has room.
fn is_known(point: &RestorePoint, names: &Names) -> bool {
    point.damage.as_ref().is_some_and(|damage| {
        let known = damage.names();
        let both = known.and(names);
        let is_named = both.named().len() == known.named().len();
        both.count() <= known.count() && (is_named || DAMAGED_SHOWN <= known.named().len())
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::backup::{PointState, PolicyKind, point::Damage};

    fn named(paths: std::ops::Range<usize>) -> Vec<FileError> {
        let named = paths.map(|number| FileError {
            path: format!("/{number}").as_str().into(),
            message: "gone".to_owned(),
        });
        named.collect()
    }

    #[test]
    fn a_new_name_is_told_though_more_was_counted_before() {
        let at = Timestamp::UNIX_EPOCH;
        let mut point: RestorePoint = serde_json::from_value(serde_json::json!({
            "id": uuid::Uuid::nil(), "policy": "daily", "kind": PolicyKind::Full, "state": PointState::Complete,
            "frozen_at": at, "created_at": at,
            "files": 0, "source_bytes": 0, "added_bytes": 0, "dump_bytes": 0,
        }))
        .unwrap();
        let mut knows = |count: usize, found: std::ops::Range<usize>| {
            point.damage = Some(Damage {
                at,
                what: "gone".to_owned(),
                names: named(0..count),
                more: 100,
            });
            is_known(&point, &Names::new(named(found), 0))
        };
        assert!(knows(20, 5..20));
        assert!(!knows(20, 5..21));
        assert!(!knows(20, 0..200));
        // There is no room for another.
        assert!(knows(DAMAGED_SHOWN, 5..DAMAGED_SHOWN + 50));
    }
}
