//! Markers: what is said of a restore point after its manifest was written, in the repository itself, so that whoever
//! has nothing but that knows it, too. A marker is a small snapshot: its tags say of what kind it is and of which
//! point, and a word or two more, so that a list of snapshots is enough to find and to judge it; its one file holds the
//! rest as JSON.

use std::{collections::HashMap, fs, io::Write as _, path::Path};

use anyhow::{Context as _, bail};
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    full::TAG,
    repository::{Hand, Job as Archive, Repository, Snapshot, SnapshotId, Source},
    work::{make_folder, new_file},
};
use crate::domain::backup::manifest::SnapshotPath;

/// Of a snapshot that is a marker.
const MARKER_TAG: &str = "marker";
/// Where its JSON lies in it.
const MARKER_PATH: &str = "/marker.json";
/// Bytes of a marker that is read: the names of some hundred thousand files.
const BYTES_MAX: u64 = 256 << 20;
/// A marker is older than the data that it speaks of, so that no program takes it for the latest snapshot.
const BEFORE: SignedDuration = SignedDuration::from_secs(2);

/// A marker that is to be written.
#[derive(Clone, Debug)]
pub(super) struct Mark<'a> {
    /// What it is: one word, such as `verdict`.
    pub(super) kind: &'static str,
    /// Id of the point as its manifest has it: that of the original, where this is a copy.
    pub(super) point: Uuid,
    /// Of which the data is.
    pub(super) frozen_at: Timestamp,
    pub(super) cluster: &'a str,
    /// What a list is to show without reading more; no commas.
    pub(super) words: Vec<(&'static str, String)>,
}

/// A marker that is there, as its snapshot names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// Later ones have higher ids, whatever the clocks of those who have written them.
    id: Uuid,
    pub(super) snapshot: SnapshotId,
    pub(super) kind: String,
    pub(super) point: Uuid,
    words: Vec<String>,
}

impl Marker {
    /// The marker that a snapshot is, where it is one.
    pub(super) fn of(snapshot: &Snapshot) -> Option<Self> {
        if !snapshot.tags.iter().any(|tag| tag == MARKER_TAG) {
            return None;
        }
        let word = |name| snapshot.word(name);
        Some(Self {
            id: word("marker")?.parse().ok()?,
            snapshot: snapshot.id.clone(),
            kind: word("kind")?.to_owned(),
            point: word("point")?.parse().ok()?,
            words: snapshot.tags.clone(),
        })
    }

    /// Every marker of a kind, the oldest first.
    pub(super) fn all(snapshots: &[Snapshot], kind: &str) -> Vec<Self> {
        let of_kind = |marker: &Self| marker.kind == kind;
        let markers = snapshots.iter().filter_map(Self::of);
        let mut markers: Vec<Self> = markers.filter(of_kind).collect();
        markers.sort_by_key(|marker| marker.id);
        markers
    }

    /// The newest of a kind that speaks of a point.
    pub(super) fn newest(snapshots: &[Snapshot], kind: &str, point: Uuid) -> Option<Self> {
        let mut markers = Self::all(snapshots, kind);
        markers.retain(|marker| marker.point == point);
        markers.pop()
    }

    /// The newest of a kind that speaks of each point.
    pub(super) fn newest_of_each(snapshots: &[Snapshot], kind: &str) -> HashMap<Uuid, Self> {
        // The oldest come first.
        let markers = Self::all(snapshots, kind).into_iter();
        markers.map(|marker| (marker.point, marker)).collect()
    }

    /// One of its words.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        word_of(&self.words, name)
    }

    /// What it says in full. Blocks.
    ///
    /// # Errors
    /// Where it cannot be read, or says something else.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        repository: &dyn Repository,
    ) -> anyhow::Result<T> {
        let reader = repository.open(&self.snapshot)?;
        let entry = reader
            .entry(&SnapshotPath::from(MARKER_PATH))?
            .with_context(|| format!("snapshot {} holds no marker", self.snapshot.0))?;
        if BYTES_MAX < entry.size {
            bail!(
                "the marker in snapshot {} has {} bytes, which is too much",
                self.snapshot.0,
                entry.size
            );
        }
        let mut bytes = Vec::new();
        reader.read(&entry, &mut bytes, &CancellationToken::new())?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("the marker in snapshot {} cannot be read", self.snapshot.0))
    }
}

/// The rest of the first tag that begins with `name=`.
pub(super) fn word_of<'a>(tags: &'a [String], name: &str) -> Option<&'a str> {
    let mut tags = tags.iter().map(String::as_str);
    tags.find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))
}

/// Writes a marker, which is the newest of its kind and point then; `beside` is where its file may lie meanwhile. Blocks.
///
/// # Errors
/// Where the file or the repository cannot be written.
pub(super) fn write(
    repository: &dyn Repository,
    mark: &Mark<'_>,
    says: &impl Serialize,
    beside: &Path,
    hand: &Hand,
) -> anyhow::Result<SnapshotId> {
    let before = Marker::newest(&repository.snapshots()?, mark.kind, mark.point);
    write_after(repository, before.as_ref(), mark, says, beside, hand)
}

/// The same where the newest of its kind and point is known.
///
/// # Errors
/// As [`write`].
pub(super) fn write_after(
    repository: &dyn Repository,
    before: Option<&Marker>,
    mark: &Mark<'_>,
    says: &impl Serialize,
    beside: &Path,
    hand: &Hand,
) -> anyhow::Result<SnapshotId> {
    let now = Uuid::now_v7();
    let file = Scrap::write(beside, now, &serde_json::to_vec(says)?)?;
    let id = id_after(now, before);
    let mut tags = vec![
        TAG.to_owned(),
        MARKER_TAG.to_owned(),
        format!("marker={id}"),
        format!("kind={}", mark.kind),
        format!("point={}", mark.point),
        format!("cluster={}", mark.cluster),
    ];
    let words = mark.words.iter();
    tags.extend(words.map(|(name, word)| format!("{name}={word}")));
    let archive = Archive {
        time: mark.frozen_at.saturating_sub(BEFORE)?,
        hostname: TAG.to_owned(),
        tags,
        sources: vec![Source::file(
            file.0.clone(),
            SnapshotPath::from(MARKER_PATH),
        )],
        parent: None,
    };
    Ok(repository.archive(&archive, hand)?.snapshot)
}

/// The id of a marker that is written after another: where a clock was ahead when that was, it is its successor all the same.
fn id_after(now: Uuid, before: Option<&Marker>) -> Uuid {
    let next = before.map(|before| Uuid::from_u128(before.id.as_u128().saturating_add(1)));
    next.map_or(now, |next| next.max(now))
}

/// A file that is there until it is stored. A cleanup removes one that was left, as it is called like a run's.
struct Scrap(std::path::PathBuf);

impl Scrap {
    fn write(root: &Path, id: Uuid, bytes: &[u8]) -> anyhow::Result<Self> {
        let folder = root.join(id.to_string());
        let about = || format!("could not write into {}", folder.display());
        make_folder(&folder).with_context(about)?;
        let scrap = Self(folder.join("marker.json"));
        let mut file = new_file(&scrap.0).with_context(about)?;
        file.write_all(bytes).with_context(about)?;
        Ok(scrap)
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        if let Some(folder) = self.0.parent() {
            drop(fs::remove_dir_all(folder));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(tags: &[&str]) -> Snapshot {
        Snapshot {
            id: SnapshotId("00".repeat(32)),
            time: Timestamp::UNIX_EPOCH,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            hostname: TAG.to_owned(),
        }
    }

    #[test]
    fn the_newest_of_a_kind_and_a_point_is_found_by_its_tags_alone() {
        let point = Uuid::from_u128(7);
        let of = |id: u128, kind: &str, point: Uuid| {
            let (marker, kind) = (
                format!("marker={}", Uuid::from_u128(id)),
                format!("kind={kind}"),
            );
            snapshot(&[
                "watchbell",
                "marker",
                &marker,
                &kind,
                &format!("point={point}"),
            ])
        };
        let snapshots = [
            of(3, "verdict", point),
            of(9, "accepted", point),
            of(8, "verdict", Uuid::from_u128(5)),
            of(4, "verdict", point),
            of(2, "verdict", point),
            snapshot(&["watchbell", "manifest", &format!("point={point}")]),
            snapshot(&["watchbell", "marker", "kind=verdict"]),
        ];
        let newest = Marker::newest(&snapshots, "verdict", point).unwrap();
        assert_eq!(newest.id, Uuid::from_u128(4));
        assert_eq!(newest.word("kind"), Some("verdict"));
        assert_eq!(newest.word("finding"), None);
        assert_eq!(Marker::all(&snapshots, "verdict").len(), 4);
        let each = Marker::newest_of_each(&snapshots, "verdict");
        assert_eq!((each.len(), each.get(&point)), (2, Some(&newest)));
        assert_eq!(
            Marker::newest(&snapshots, "verdict", Uuid::from_u128(1)),
            None
        );
    }

    #[test]
    fn what_is_said_after_a_clock_was_ahead_is_the_newest_all_the_same() {
        let point = Uuid::from_u128(7);
        let of = |id: Uuid, sound: &str| {
            snapshot(&[
                "watchbell",
                "marker",
                &format!("marker={id}"),
                "kind=verdict",
                &format!("point={point}"),
                &format!("sound={sound}"),
            ])
        };
        let now = Uuid::now_v7();
        assert_eq!(id_after(now, None), now);
        let earlier = of(Uuid::from_u128(now.as_u128() - 1), "verified");
        let earlier = Marker::of(&earlier).unwrap();
        assert_eq!(id_after(now, Some(&earlier)), now);

        // Written by a clock that was some years ahead.
        let ahead = Uuid::from_u128(now.as_u128() + (1 << 117));
        let mut snapshots = vec![of(ahead, "verified")];
        for sound in ["damaged", "verified", "damaged"] {
            let before = Marker::newest(&snapshots, "verdict", point);
            snapshots.push(of(id_after(now, before.as_ref()), sound));
            let newest = Marker::newest(&snapshots, "verdict", point).unwrap();
            assert_eq!(newest.word("sound"), Some(sound));
        }
    }
}
