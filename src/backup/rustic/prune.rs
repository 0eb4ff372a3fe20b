//! Forgetting and pruning: what no snapshot refers to is marked, and removed by a later call, so that whoever stores
//! at the same time and relies on it finds it again.

use std::{
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Span, Timestamp};
use rustic_core::{PruneOptions, PrunePlan};

use super::{
    Rustic,
    error::{other, other_io},
    gate::Operation,
    place::Right,
    quiet::quietly,
    session, snapshots,
};
use crate::backup::repository::{Hand, Pruned, Result, SnapshotId};

/// How old a file must be that a killed program has left.
const LEFT_FOR: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn forget(rustic: &Rustic, ids: &[SnapshotId]) -> Result<()> {
    let never = tokio_util::sync::CancellationToken::new();
    let parsed: Result<Vec<_>> = ids.iter().map(snapshots::parse).collect();
    let parsed = parsed?;
    let operation = Operation::new(&rustic.place, &never);
    let held = rustic.enter(Right::Exclusive, &operation)?;
    let (rustic, at_work) = (rustic.clone(), Arc::clone(&operation));
    quietly(&operation, move || {
        let _held = held;
        let opened = session::open(&rustic.place, &rustic.key, &at_work)?;
        let there: Vec<_> = opened
            .list::<rustic_core::repofile::SnapshotId>()
            .map_err(|error| at_work.explain(&error))?
            .filter(|id| parsed.contains(id))
            .collect();
        at_work.outcome(opened.delete_snapshots(&there))
    })
}

pub(super) fn prune(
    rustic: &Rustic,
    grace: Duration,
    dry_run: bool,
    now: Timestamp,
    hand: &Hand,
) -> Result<Pruned> {
    let operation = Operation::new(&rustic.place, &hand.cancel);
    let held = rustic.enter(Right::Exclusive, &operation)?;
    let (rustic, at_work) = (rustic.clone(), Arc::clone(&operation));
    quietly(&operation, move || {
        let _held = held;
        let opened = session::open(&rustic.place, &rustic.key, &at_work)?;
        let options = options(grace)?;
        let plan = opened
            .prune_plan(&options)
            .map_err(|error| at_work.explain_read(&error))?;
        let mut pruned = planned(&plan);
        if !dry_run {
            at_work.commit()?;
            at_work.outcome(opened.prune(&options, plan))?;
        }
        let swept = sweep(&rustic.place, now, dry_run);
        let (count, bytes) = swept.map_err(|error| other_io("sweep", &rustic.place, error))?;
        pruned.leftovers = count;
        pruned.leftover_bytes = bytes;
        Ok(pruned)
    })
}

/// The grace is by the clock of the system, as are the times of the packs that the library writes.
fn options(grace: Duration) -> Result<PruneOptions> {
    let seconds = i64::try_from(grace.as_secs()).map_err(|_| other("a grace is too long"))?;
    let grace = Span::new()
        .try_seconds(seconds)
        .map_err(|error| other(format!("a grace is too long: {error}")))?;
    Ok(PruneOptions::default()
        .keep_delete(grace)
        .instant_delete(false))
}

fn planned(plan: &PrunePlan) -> Pruned {
    let size = plan.stats.size_sum();
    Pruned {
        // Of what is repacked, the old packs are marked, too.
        marked_bytes: size.remove + size.repack + plan.stats.size_unref,
        removed_bytes: plan.stats.size_to_delete.remove,
        repacked_bytes: size.repack - size.repackrm,
        leftovers: 0,
        leftover_bytes: 0,
    }
}

/// Removes what killed programs have left: files that were never renamed to what they were to be.
fn sweep(place: &Path, now: Timestamp, dry_run: bool) -> io::Result<(u64, u64)> {
    let oldest = now
        .checked_sub(LEFT_FOR)
        .map(SystemTime::from)
        .map_err(io::Error::other)?;
    let (mut count, mut bytes) = (0, 0);
    let mut folders = vec![place.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
                continue;
            }
            if !kind.is_file() || !is_leftover(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let metadata = entry.metadata()?;
            if metadata.modified()? > oldest {
                continue;
            }
            count += 1;
            bytes += metadata.len();
            if !dry_run {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok((count, bytes))
}

/// The library's `ID-tmp-`, and restic's `ID-tmp-NUMBER`.
fn is_leftover(name: &str) -> bool {
    let Some((id, number)) = name.split_once("-tmp-") else {
        return false;
    };
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id || id == "config") && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_renamed_is_left_over() {
        let id = "0123456789abcdef".repeat(4);
        assert!(is_leftover(&format!("{id}-tmp-")));
        assert!(is_leftover(&format!("{id}-tmp-1234")));
        assert!(is_leftover("config-tmp-"));
        for name in [id.as_str(), "config", "letter-tmp-", "x-tmp-y"] {
            assert!(!is_leftover(name), "{name}");
        }
    }
}
