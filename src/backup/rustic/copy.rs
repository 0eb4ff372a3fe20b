//! Copies snapshots into another repository, with another key.

use std::{collections::HashSet, sync::Arc};

use rustic_core::{IndexedFullStatus, OpenStatus, Repository, repofile::SnapshotFile};

use super::{
    Rustic, error::other, gate::Operation, place::Right, quiet::quietly, session, snapshots,
};
use crate::backup::repository::{Hand, Progress, Result, SnapshotId};

pub(super) fn copy(
    from: &Rustic,
    ids: &[SnapshotId],
    to: &Rustic,
    hand: &Hand,
) -> Result<Vec<SnapshotId>> {
    if from.place == to.place {
        return Err(other("a repository is not copied into itself"));
    }
    let told = Arc::clone(&hand.progress);
    let reading = Operation::that_tells(&from.place, &hand.cancel, move |bytes| {
        told(Progress { files: 0, bytes });
    });
    let writing = Operation::new(&to.place, &hand.cancel);
    let held = (
        from.enter(Right::Shared, &reading)?,
        to.enter(Right::Shared, &writing)?,
        to.turn(&hand.cancel)?,
    );
    let (from, to, ids) = (from.clone(), to.clone(), ids.to_vec());
    let at_work = Arc::clone(&writing);
    quietly(&writing, move || {
        let _held = held;
        copy_missing(&from, &ids, &to, &reading, &at_work)
    })
}

fn copy_missing(
    from: &Rustic,
    ids: &[SnapshotId],
    to: &Rustic,
    reading: &Arc<Operation>,
    writing: &Arc<Operation>,
) -> Result<Vec<SnapshotId>> {
    let source = session::open(&from.place, &from.key, reading)?;
    let wanted: Result<Vec<_>> = ids
        .iter()
        .map(|id| snapshots::find(&source, id, reading))
        .collect();
    let wanted = wanted?;
    let target = session::open(&to.place, &to.key, writing)?;
    let there = snapshots::listed(&target, writing)?;
    let missing: Vec<_> = wanted
        .iter()
        .filter(|snapshot| find(&there, snapshot).is_none())
        .collect();
    let there = if missing.is_empty() {
        there
    } else {
        copy_all(source, target, &missing, reading, writing)?;
        let target = session::open(&to.place, &to.key, writing)?;
        snapshots::listed(&target, writing)?
    };
    wanted
        .iter()
        .map(|snapshot| {
            let found = find(&there, snapshot);
            found
                .map(|id| snapshots::id(&id))
                .ok_or_else(|| other("a snapshot was copied, and is not there"))
        })
        .collect()
}

fn copy_all(
    source: Repository<OpenStatus>,
    target: Repository<OpenStatus>,
    missing: &[&SnapshotFile],
    reading: &Operation,
    writing: &Operation,
) -> Result<()> {
    let source = source
        .to_indexed()
        .map_err(|error| reading.explain(&error))?;
    let target = target
        .to_indexed_ids()
        .map_err(|error| writing.explain(&error))?;
    expect_whole(&source, missing, reading)?;
    source
        .copy(&target, missing.iter().copied())
        .map_err(|error| {
            writing.close();
            if writing.refused() {
                writing.explain(&error)
            } else {
                reading.explain_read(&error)
            }
        })
}

/// The snapshot that is a copy of this one.
fn find(
    there: &[SnapshotFile],
    wanted: &SnapshotFile,
) -> Option<rustic_core::repofile::SnapshotId> {
    there
        .iter()
        .find(|snapshot| {
            snapshot.tree == wanted.tree
                && snapshot.time == wanted.time
                && snapshot.hostname == wanted.hostname
                && snapshot.tags == wanted.tags
        })
        .map(|snapshot| snapshot.id)
}

/// The library copies what its index knows, and leaves out the rest without a word.
fn expect_whole(
    repository: &Repository<IndexedFullStatus>,
    missing: &[&SnapshotFile],
    reading: &Operation,
) -> Result<()> {
    let mut trees: Vec<_> = missing.iter().map(|snapshot| snapshot.tree).collect();
    let mut seen: HashSet<_> = trees.iter().copied().collect();
    while let Some(tree) = trees.pop() {
        let read = repository.get_tree(&tree);
        for node in read.map_err(|error| reading.explain_read(&error))?.nodes {
            for id in node.content.iter().flatten() {
                let known = repository.get_index_entry(id);
                known.map_err(|error| reading.explain_read(&error))?;
            }
            trees.extend(node.subtree.filter(|below| seen.insert(*below)));
        }
    }
    Ok(())
}
