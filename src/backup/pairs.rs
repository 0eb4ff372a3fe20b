//! Which data a manifest is of. The manifest and its tags name the data's snapshot by its id; a copy in another
//! repository has an id of its own there, and is known by the run that made both.

use jiff::{SignedDuration, Timestamp};

use super::{full::MANIFEST_TAG, repository::Snapshot};

/// How much earlier than its data a manifest's snapshot says that it is: "the latest" is always data, to whoever asks.
const BEFORE_ITS_DATA: SignedDuration = SignedDuration::from_millis(1);

/// The time of a manifest's snapshot, and of whatever else is stored beside data that is as of then.
pub(super) fn time_beside(frozen_at: Timestamp) -> Timestamp {
    frozen_at
        .checked_sub(BEFORE_ITS_DATA)
        .unwrap_or(Timestamp::MIN)
}

/// The data that a manifest's snapshot is of, among those that are there.
pub(super) fn data_of<'a>(manifest: &Snapshot, snapshots: &'a [Snapshot]) -> Option<&'a Snapshot> {
    let named = manifest.word("snapshot")?;
    if let Some(data) = snapshots.iter().find(|one| one.id.0 == named) {
        return Some(data);
    }
    let mut copies = snapshots.iter().filter(|one| is_copy_of(manifest, one));
    let data = copies.next()?;
    // Of several nobody knows which one it is.
    copies.next().is_none().then_some(data)
}

/// Whether a manifest is that of a snapshot of data.
pub(super) fn describes(manifest: &Snapshot, data: &Snapshot) -> bool {
    manifest.word("snapshot") == Some(data.id.0.as_str()) || is_copy_of(manifest, data)
}

pub(super) fn is_manifest(snapshot: &Snapshot) -> bool {
    snapshot.tags.iter().any(|tag| tag == MANIFEST_TAG)
}

/// Made by the same run as of the same instant. Earlier versions gave both the same time.
fn is_copy_of(manifest: &Snapshot, data: &Snapshot) -> bool {
    let same = |name: &str| manifest.word(name).is_some() && manifest.word(name) == data.word(name);
    let same_time = data.time == manifest.time || time_beside(data.time) == manifest.time;
    !is_manifest(data) && data.word("point").is_none() && same_time && same("run") && same("policy")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::repository::SnapshotId;

    fn snapshot(id: &str, at: i64, tags: &[&str]) -> Snapshot {
        Snapshot {
            id: SnapshotId(id.to_owned()),
            time: Timestamp::from_second(at).unwrap(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            hostname: "watchbell".to_owned(),
        }
    }

    #[test]
    fn data_is_known_by_its_id_and_in_a_copy_by_its_run() {
        let manifest = snapshot("m", 10, &["manifest", "policy=p", "run=r", "snapshot=d"]);
        let data = snapshot("d", 10, &["policy=p", "run=r", "attempt=1"]);
        let copy = snapshot("c", 10, &["policy=p", "run=r", "attempt=1"]);
        let attempt = snapshot("a", 5, &["policy=p", "run=r", "attempt=0"]);
        let other = snapshot("o", 10, &["policy=p", "run=q", "attempt=1"]);
        let found = |there: &[Snapshot]| data_of(&manifest, there).map(|data| data.id.0.clone());
        let all = [copy.clone(), data.clone(), manifest.clone()];
        assert_eq!(found(&all), Some("d".to_owned()));
        let copied = [other.clone(), attempt, copy.clone(), manifest.clone()];
        assert_eq!(found(&copied), Some("c".to_owned()));
        assert_eq!(found(&[other.clone(), manifest.clone()]), None);
        assert!(describes(&manifest, &copy));
        assert!(!describes(&manifest, &other));
        let mut newer = manifest.clone();
        newer.time = time_beside(newer.time);
        assert_eq!(data_of(&newer, &copied).unwrap().id.0, "c");
    }
}
