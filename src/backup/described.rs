//! What a point is made of its manifest, and what is missing in it.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{
    full::signed,
    repository::Archived,
    sources::{Prepared, content_path},
};
use crate::domain::backup::{
    PointState, PolicyKind,
    loss::SourceFigures,
    manifest::{FileError, Manifest, SnapshotPath, Totals},
    point::{MISSING_SHOWN, RestorePoint},
    policy::OWN_DATABASE,
    table::hex,
    verdict::{Sound, Verdict},
};

/// What a manifest says of its point; `totals` are of its files.
pub(super) fn point_of(
    manifest: &Manifest,
    totals: Totals,
    frozen_at: Timestamp,
    now: Timestamp,
) -> RestorePoint {
    let dumps = manifest
        .sources
        .iter()
        .filter_map(|source| source.dump.as_ref());
    let missing = manifest.errors.iter().take(MISSING_SHOWN).cloned();
    RestorePoint {
        id: manifest.point,
        policy: manifest.policy.clone(),
        kind: PolicyKind::Full,
        state: match manifest.errors.is_empty() {
            true => PointState::Complete,
            false => PointState::Partial,
        },
        run: manifest.run.clone(),
        frozen_at,
        created_at: now,
        verified_at: None,
        drilled_at: None,
        damage: None,
        snapshot: manifest.snapshot.clone(),
        manifest_snapshot: String::new(),
        manifest_sha256: String::new(),
        file: String::new(),
        file_sha256: String::new(),
        own_database: manifest
            .sources
            .iter()
            .any(|source| source.name == OWN_DATABASE),
        files: signed(totals.files),
        source_bytes: signed(totals.bytes),
        added_bytes: 0,
        dump_bytes: signed(dumps.map(|dump| dump.size).sum()),
        phases: Vec::new(),
        missing: missing.collect(),
        missing_count: signed(manifest.errors.len() as u64),
        sources: manifest
            .sources
            .iter()
            .filter(|source| !source.skipped)
            .map(SourceFigures::of)
            .collect(),
        losses: manifest.losses.clone(),
        accepted: None,
        pin: None,
        source_point: None,
        removed_at: None,
        remove_reason: String::new(),
    }
}

/// Adds what was found after the manifest was written: what is missing besides, or that it is damaged.
pub(super) fn judge(point: &mut RestorePoint, verdict: &Verdict) {
    match verdict.sound {
        Sound::Verified => {}
        // Where it names nothing, it is what its manifest says, unless that was accepted since.
        Sound::Partial => point.found_lacking(&verdict.lacking()),
        Sound::Damaged => {
            point.found_lacking(&verdict.lacking());
            point.found_damaged(verdict.at, &verdict.message);
            point.name_damaged(&verdict.damaged());
        }
    }
}

/// What should be in the point and is not: what could not be read, and what documents refer to and is not there or
/// is not what it was. Content is stored under its hash, so each of its files proves itself.
pub(super) fn errors_of(prepared: &Prepared, archived: &Archived) -> Vec<FileError> {
    let mut errors = archived.errors.clone();
    errors.extend_from_slice(prepared.unmet());
    let Some(root) = prepared.content_root() else {
        return errors;
    };
    for file in archived.files.below(&root) {
        let Some(name) = content_name(&root, file.path) else {
            continue;
        };
        if name != hex(&file.sha256).as_bytes() {
            errors.push(FileError {
                path: SnapshotPath(file.path.to_vec()),
                message: format!(
                    "damaged: it is named by its SHA-256, and has {}",
                    hex(&file.sha256)
                ),
            });
        }
    }
    let known: HashSet<SnapshotPath> = errors.iter().map(|error| error.path.clone()).collect();
    for (sha256, size) in prepared.references() {
        let path = content_path(&root, sha256);
        let stored = archived.files.find(&path);
        let whole = stored.is_some_and(|file| file.size == *size && hex(&file.sha256) == *sha256);
        if !whole && !known.contains(&path) {
            errors.push(FileError {
                path,
                message: "a document refers to it, and it is not there".to_owned(),
            });
        }
    }
    errors.sort_by(|one, other| one.path.cmp(&other.path));
    errors
}

/// The name of a content's file.
fn content_name<'a>(root: &SnapshotPath, path: &'a [u8]) -> Option<&'a [u8]> {
    let below = path.strip_prefix(root.as_bytes())?;
    let name = below.rsplit(|byte| *byte == b'/').next()?;
    (name.len() == 64).then_some(name)
}
