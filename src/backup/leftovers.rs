//! Snapshots that belong to no restore point: of runs that ended in between, of attempts that failed, and markers of
//! what is gone. Only those of this cluster: a repository may be another's, too.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    full::TAG,
    marker::Marker,
    pairs::{Data, is_manifest},
    repository::{Snapshot, SnapshotId},
    verdicts::{VERDICT, verdict_of},
};
use crate::domain::backup::point::RestorePoint;

/// How old what nothing speaks for must be.
const OLD: SignedDuration = SignedDuration::from_hours(24);

/// Ids of the snapshots that belong to none of the points that are `there`, and may go. `written`: when each came to be
/// there, where that may be long after what it is of.
pub(super) fn leftovers(
    snapshots: &[Snapshot],
    there: &[RestorePoint],
    cluster: &str,
    now: Timestamp,
    written: &HashMap<SnapshotId, Timestamp>,
) -> Vec<SnapshotId> {
    let known: HashSet<&str> = there
        .iter()
        .flat_map(|point| [point.snapshot.as_str(), point.manifest_snapshot.as_str()])
        .collect();
    let has_others = has_others(snapshots, cluster);
    let ours = |snapshot: &Snapshot| is_ours(snapshot, cluster, has_others);
    let is_old = |snapshot: &Snapshot| {
        let here = written.get(&snapshot.id).copied();
        let since = here.map_or(snapshot.time, |here| here.max(snapshot.time));
        OLD < now.duration_since(since)
    };
    let pairs = Data::among(snapshots);
    let has_data = |manifest: &Snapshot| pairs.described(manifest).next().is_some();
    let spoken = Spoken::of(snapshots);
    // Manifests that nothing has verified, or whose data is gone, and that no point is made of.
    let failed: HashSet<&SnapshotId> = snapshots
        .iter()
        .filter(|one| ours(one) && is_old(one) && is_manifest(one))
        .filter(|one| !known.contains(one.id.0.as_str()))
        .filter(|one| is_unverified(one, &spoken) || !has_data(one))
        .map(|one| &one.id)
        .collect();
    let described: HashSet<&SnapshotId> = snapshots
        .iter()
        .filter(|one| is_manifest(one) && !failed.contains(&one.id))
        .flat_map(|one| pairs.described(one))
        .map(|data| &data.id)
        .collect();
    let goes = |one: &&Snapshot| {
        if !ours(one) || known.contains(one.id.0.as_str()) {
            return false;
        }
        match Marker::of(one) {
            Some(marker) => spoken.is_idle(&marker),
            // A manifest is what points are rebuilt from.
            None if is_manifest(one) => failed.contains(&one.id),
            None => is_old(one) && !described.contains(&one.id),
        }
    };
    snapshots
        .iter()
        .filter(goes)
        .map(|one| one.id.clone())
        .collect()
}

/// Markers that speak of points whose manifests are all `gone`.
pub(super) fn markers_of(snapshots: &[Snapshot], gone: &HashSet<SnapshotId>) -> Vec<SnapshotId> {
    let points_of = |is_gone: bool| {
        snapshots
            .iter()
            .filter(|one| is_manifest(one) && gone.contains(&one.id) == is_gone)
            .filter_map(|one| one.word("point"))
            .collect::<HashSet<&str>>()
    };
    let (described, lost) = (points_of(false), points_of(true));
    let goes = |one: &&Snapshot| {
        let of_gone = |marker: Marker| !described.contains(marker.point.to_string().as_str());
        !gone.contains(&one.id)
            && Marker::of(one).is_some_and(of_gone)
            && one.word("point").is_some_and(|point| lost.contains(point))
    };
    snapshots
        .iter()
        .filter(goes)
        .map(|one| one.id.clone())
        .collect()
}

/// Whether a manifest was made by a server that marks what it has verified.
pub(super) fn is_marked(manifest: &Snapshot) -> bool {
    manifest.word("cluster").is_some()
}

/// Whether a manifest was made by a server that marks what it has verified, and bears no such mark.
fn is_unverified(manifest: &Snapshot, spoken: &Spoken<'_>) -> bool {
    let point: Option<Uuid> = manifest.word("point").and_then(|point| point.parse().ok());
    let newest = point.and_then(|point| spoken.newest.get(&point));
    is_marked(manifest) && newest.and_then(verdict_of).is_none()
}

/// Snapshots of points that are written down as removed: by their ids, and, as in a copy they have others, by the point
/// that a manifest names. All are of one repository: that a point was removed from the first says nothing of its copies.
pub(super) fn of_removed(
    snapshots: &[Snapshot],
    there: &[RestorePoint],
    removed: &[RestorePoint],
) -> Vec<SnapshotId> {
    let both = |point: &RestorePoint| {
        [point.snapshot.clone(), point.manifest_snapshot.clone()].map(SnapshotId)
    };
    let known: HashSet<SnapshotId> = there.iter().flat_map(both).collect();
    let mut left: HashSet<SnapshotId> = removed.iter().flat_map(both).collect();
    let gone = removed.iter().map(|point| point.id.to_string());
    let gone: HashSet<String> = gone.collect();
    let pairs = Data::among(snapshots);
    for manifest in snapshots.iter().filter(|one| is_manifest(one)) {
        let data = pairs.of(manifest).map(|data| data.id.clone());
        let is_gone = manifest
            .word("point")
            .is_some_and(|point| gone.contains(point));
        let of_another =
            known.contains(&manifest.id) || data.as_ref().is_some_and(|data| known.contains(data));
        if is_gone && !of_another {
            left.insert(manifest.id.clone());
            left.extend(data);
        }
    }
    left.retain(|id| !known.contains(id));
    let here = snapshots.iter().map(|snapshot| snapshot.id.clone());
    here.filter(|id| left.contains(id)).collect()
}

/// Those snapshots that are this cluster's, of all that are there.
pub(super) fn ours_among<'a>(
    snapshots: &'a [Snapshot],
    cluster: &str,
) -> impl Iterator<Item = &'a Snapshot> {
    let has_others = has_others(snapshots, cluster);
    let ours = move |one: &&Snapshot| is_ours(one, cluster, has_others);
    snapshots.iter().filter(ours)
}

fn has_others(snapshots: &[Snapshot], cluster: &str) -> bool {
    let mut clusters = snapshots.iter().filter_map(|one| one.word("cluster"));
    clusters.any(|of| of != cluster)
}

/// Whether a snapshot is this cluster's. One that says of no cluster, as a server of an older version has made it, is
/// unless another cluster's are there besides: `has_others`.
fn is_ours(snapshot: &Snapshot, cluster: &str, has_others: bool) -> bool {
    let ours = snapshot.tags.iter().any(|tag| tag == TAG);
    ours && match snapshot.word("cluster") {
        Some(of) => of == cluster,
        None => !has_others,
    }
}

/// Of which points there are manifests, and the newest verdict on each: looked up once, however many markers there are.
struct Spoken<'a> {
    described: HashSet<&'a str>,
    newest: HashMap<Uuid, Marker>,
}

impl<'a> Spoken<'a> {
    fn of(snapshots: &'a [Snapshot]) -> Self {
        let manifests = snapshots.iter().filter(|one| is_manifest(one));
        Self {
            described: manifests.filter_map(|one| one.word("point")).collect(),
            newest: Marker::newest_of_each(snapshots, VERDICT),
        }
    }

    /// Whether a marker speaks of nothing that is there, or a newer one of its kind speaks for it. Of an unknown kind,
    /// which a newer server may have brought, only the former is looked at.
    fn is_idle(&self, marker: &Marker) -> bool {
        if !self.described.contains(marker.point.to_string().as_str()) {
            return true;
        }
        let newest = self.newest.get(&marker.point);
        marker.kind == VERDICT && newest.is_some_and(|newest| newest.snapshot != marker.snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "ours";

    /// A snapshot of an old day, whose id is this byte.
    fn snapshot(id: u8, tags: &[&str]) -> Snapshot {
        Snapshot {
            id: SnapshotId(format!("{id:02x}").repeat(32)),
            time: "2026-03-01T12:00:00Z".parse().unwrap(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            hostname: TAG.to_owned(),
        }
    }

    fn data(id: u8, cluster: Option<&str>) -> Snapshot {
        let cluster = cluster.map(|cluster| format!("cluster={cluster}"));
        snapshot(
            id,
            &["watchbell", cluster.as_deref().unwrap_or("policy=daily")],
        )
    }

    fn manifest(id: u8, of: u8, cluster: Option<&str>) -> Snapshot {
        let mut manifest = data(id, cluster);
        manifest.tags.push("manifest".to_owned());
        manifest.tags.push(format!("point={}", point(of)));
        let data = format!("{of:02x}").repeat(32);
        manifest.tags.push(format!("snapshot={data}"));
        manifest
    }

    fn point(of: u8) -> Uuid {
        Uuid::from_u128(of.into())
    }

    fn verdict(id: u8, of: u8) -> Snapshot {
        let mut verdict = data(id, Some(OURS));
        for tag in ["marker", "kind=verdict", "sound=verified", "names=0"] {
            verdict.tags.push(tag.to_owned());
        }
        verdict
            .tags
            .push(format!("marker={}", Uuid::from_u128(id.into())));
        verdict.tags.push(format!("point={}", point(of)));
        verdict
    }

    fn gone(snapshots: &[Snapshot], now: &str) -> Vec<u8> {
        gone_of(snapshots, now, &HashMap::new())
    }

    fn gone_of(
        snapshots: &[Snapshot],
        now: &str,
        written: &HashMap<SnapshotId, Timestamp>,
    ) -> Vec<u8> {
        let gone = leftovers(snapshots, &[], OURS, now.parse().unwrap(), written);
        gone.iter()
            .map(|id| u8::from_str_radix(&id.0[..2], 16).unwrap())
            .collect()
    }

    #[test]
    fn what_failed_goes_after_a_day_and_what_was_verified_stays() {
        let snapshots = [
            data(1, Some(OURS)),
            manifest(2, 1, Some(OURS)),
            data(3, Some(OURS)),
            manifest(4, 3, Some(OURS)),
            verdict(5, 3),
            data(6, Some(OURS)),
        ];
        assert_eq!(gone(&snapshots, "2026-03-02T12:00:01Z"), [1, 2, 6]);
        assert!(gone(&snapshots, "2026-03-02T11:59:59Z").is_empty());
        // Without its data nothing can be made of it.
        let mut without = snapshots.to_vec();
        without.remove(2);
        assert_eq!(gone(&without, "2026-03-02T12:00:01Z"), [1, 2, 4, 6]);
    }

    #[test]
    fn what_was_copied_is_as_old_as_its_copy() {
        let snapshots = [data(1, Some(OURS)), manifest(2, 1, Some(OURS))];
        let copied: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let written = snapshots.iter().map(|one| (one.id.clone(), copied));
        let written = written.collect();
        let gone = |now: &str| gone_of(&snapshots, now, &written);
        assert!(gone("2026-06-02T11:59:59Z").is_empty());
        assert_eq!(gone("2026-06-02T12:00:01Z"), [1, 2]);
    }

    #[test]
    fn what_is_of_another_cluster_or_of_an_older_server_beside_one_stays() {
        let old = [data(1, None), data(2, None), manifest(3, 2, None)];
        assert_eq!(gone(&old, "2026-04-01T00:00:00Z"), [1]);
        let mut beside = old.to_vec();
        beside.push(data(4, Some("theirs")));
        beside.push(data(5, Some("theirs")));
        beside.push(manifest(6, 5, Some("theirs")));
        beside.push(snapshot(7, &["of-someone"]));
        assert!(gone(&beside, "2026-04-01T00:00:00Z").is_empty());
    }

    #[test]
    fn markers_go_with_the_last_manifest_that_they_speak_of() {
        let snapshots = [
            data(1, Some(OURS)),
            manifest(2, 1, Some(OURS)),
            verdict(3, 1),
            manifest(4, 9, Some(OURS)),
            verdict(5, 9),
        ];
        let gone = |byte: u8| SnapshotId(format!("{byte:02x}").repeat(32));
        let marked = markers_of(&snapshots, &HashSet::from([gone(1), gone(2)]));
        assert_eq!(marked, [gone(3)]);
        assert!(markers_of(&snapshots, &HashSet::new()).is_empty());
    }

    #[test]
    fn a_marker_goes_with_what_it_speaks_of_or_once_a_newer_one_is_there() {
        let snapshots = [
            data(1, Some(OURS)),
            manifest(2, 1, Some(OURS)),
            verdict(3, 1),
            verdict(4, 1),
            verdict(5, 9),
        ];
        assert_eq!(gone(&snapshots, "2026-03-01T12:00:01Z"), [3, 5]);
    }
}
