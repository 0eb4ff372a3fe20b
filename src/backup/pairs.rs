//! Which data a manifest is of. The manifest and its tags name the data's snapshot by its id; a copy in another
//! repository has an id of its own there, and is known by the run that made both.

use std::collections::HashMap;

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

/// The snapshots that are there, looked up once for however many manifests.
pub(super) struct Data<'a> {
    by_id: HashMap<&'a str, &'a Snapshot>,
    by_run: HashMap<&'a str, Vec<&'a Snapshot>>,
}

impl<'a> Data<'a> {
    pub(super) fn among(snapshots: &'a [Snapshot]) -> Self {
        let mut by_run: HashMap<&str, Vec<&Snapshot>> = HashMap::new();
        for one in snapshots {
            if let Some(run) = one.word("run") {
                by_run.entry(run).or_default().push(one);
            }
        }
        Self {
            by_id: snapshots
                .iter()
                .map(|one| (one.id.0.as_str(), one))
                .collect(),
            by_run,
        }
    }

    /// What a manifest's snapshot is of.
    pub(super) fn of(&self, manifest: &Snapshot) -> Option<&'a Snapshot> {
        let named = manifest.word("snapshot")?;
        if let Some(data) = self.by_id.get(named).copied() {
            return Some(data);
        }
        let mut copies = self.copies(manifest);
        let data = copies.next()?;
        // Of several nobody knows which one it is.
        copies.next().is_none().then_some(data)
    }

    /// All that a manifest may be of: by its id, and copies of that.
    pub(super) fn described(&self, manifest: &Snapshot) -> impl Iterator<Item = &'a Snapshot> {
        let named = manifest.word("snapshot");
        let named = named.and_then(|named| self.by_id.get(named)).copied();
        named.into_iter().chain(self.copies(manifest))
    }

    fn copies(&self, manifest: &Snapshot) -> impl Iterator<Item = &'a Snapshot> {
        let of_run = manifest.word("run").and_then(|run| self.by_run.get(run));
        let of_run = of_run.into_iter().flatten().copied();
        of_run.filter(move |one| is_copy_of(manifest, one))
    }
}

/// What an attempt of a run has stored: its data, and manifests of that.
pub(super) fn of_attempt<'a>(
    snapshots: &'a [Snapshot],
    run: &str,
    attempt: &str,
) -> Vec<&'a Snapshot> {
    let is_data = |one: &Snapshot| {
        !is_manifest(one) && one.word("run") == Some(run) && one.word("attempt") == Some(attempt)
    };
    let data = Data::among(snapshots);
    let is_of = |one: &Snapshot| match is_manifest(one) {
        true => data.described(one).any(is_data),
        false => is_data(one),
    };
    snapshots.iter().filter(|one| is_of(one)).collect()
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
        let found = |there: &[Snapshot]| {
            let data = Data::among(there).of(&manifest);
            data.map(|data| data.id.0.clone())
        };
        let all = [copy.clone(), data.clone(), manifest.clone()];
        assert_eq!(found(&all), Some("d".to_owned()));
        let copied = [other.clone(), attempt, copy.clone(), manifest.clone()];
        assert_eq!(found(&copied), Some("c".to_owned()));
        assert_eq!(found(&[other.clone(), manifest.clone()]), None);
        let all = [data, copy, other, manifest.clone()];
        let described = Data::among(&all);
        let described = described.described(&manifest);
        let mut described: Vec<&str> = described.map(|one| one.id.0.as_str()).collect();
        described.dedup();
        assert_eq!(described, ["d", "c"]);
        let mut newer = manifest.clone();
        newer.time = time_beside(newer.time);
        assert_eq!(Data::among(&copied).of(&newer).unwrap().id.0, "c");
    }
}
