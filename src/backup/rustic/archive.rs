//! From a job to a snapshot.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::tz::TimeZone;
use rustic_core::{
    BackupOptions, IndexedIdsStatus, ParentOptions, Repository, SnapshotGroupCriterion,
    repofile::{Node, SnapshotFile},
};

use super::{
    Rustic,
    carry::Carry,
    error::other,
    gate::{Commit, Condition, Operation},
    place::Right,
    quiet::quietly,
    session, snapshots,
    source::{
        Sources,
        again::Again,
        ledger::{Account, Ledger},
        restless::look_again,
    },
};
use crate::{
    backup::repository::{Archived, Hand, Job, Result},
    domain::backup::table::Origin,
};

pub(super) fn archive(rustic: &Rustic, job: &Job, hand: &Hand) -> Result<Archived> {
    let operation = Operation::new(&rustic.place, &hand.cancel);
    let held = rustic.enter(Right::Shared, &operation)?;
    let turn = rustic.turn(&hand.cancel)?;
    let (rustic, job, hand) = (rustic.clone(), job.clone(), hand.clone());
    let at_work = Arc::clone(&operation);
    quietly(&operation, move || {
        let _until_it_ends = (held, turn);
        store(&rustic, &job, &hand, &at_work)
    })
}

fn store(rustic: &Rustic, job: &Job, hand: &Hand, operation: &Arc<Operation>) -> Result<Archived> {
    let ledger = Ledger::new(Arc::clone(operation), hand, job.time);
    let sources = Sources::open(job, &rustic.place, Arc::clone(&ledger))?;
    let indexed = index(rustic, operation)?;
    let carry = Arc::new(Carry::new(
        &rustic.place,
        &rustic.key,
        job.parent.as_ref(),
        &hand.cancel,
        Arc::clone(&ledger),
    ));
    let is_part = Arc::new(AtomicBool::new(false));
    operation.commit_only_if(at_last(&carry, &ledger, &is_part));
    let made = indexed.archive(&options(job), &sources, prepared(job), &paths(job));
    let mut made = made.map_err(|error| operation.fail(&error))?;
    let mut stored = entries_of(&made);
    drop(indexed);
    if ledger.has_late() {
        is_part.store(true, Ordering::Relaxed);
        let late = Again::new(ledger.take_late(), Arc::clone(&ledger));
        let more = read_again(rustic, job, operation, late)?;
        stored += entries_of(&more);
        is_part.store(false, Ordering::Relaxed);
        made = merge(rustic, job, operation, made, more)?;
    }
    operation.close();
    let mut account = ledger.close();
    expect_all(rustic, operation, &made, stored, &account)?;
    account.files.sort();
    let read = account.files.iter();
    let read = read.filter(|file| file.origin == Origin::Read).count() as u64;
    let changed = carry.changed().min(read);
    Ok(Archived {
        snapshot: snapshots::id(&made.id),
        new_files: read - changed,
        changed_files: changed,
        unchanged_files: account.files.len() as u64 - read,
        files: account.files,
        errors: account.errors,
        added_bytes: operation.bytes_written.load(Ordering::Relaxed),
        others: account.directories + account.others,
        special: account.special.paths,
        special_count: account.special.count,
    })
}

fn index(rustic: &Rustic, operation: &Arc<Operation>) -> Result<Repository<IndexedIdsStatus>> {
    session::open(&rustic.place, &rustic.key, operation)?
        .to_indexed_ids()
        .map_err(|error| operation.explain(&error))
}

/// What is asked before a snapshot is written: files that were taken from the parent get their records, and one that is
/// a part alone is not to be seen.
fn at_last(carry: &Arc<Carry>, ledger: &Arc<Ledger>, is_part: &Arc<AtomicBool>) -> Condition {
    let (carry, ledger) = (Arc::clone(carry), Arc::clone(ledger));
    let is_part = Arc::clone(is_part);
    Arc::new(move || {
        look_again(&ledger);
        carry.carry_forward()?;
        Ok(match is_part.load(Ordering::Relaxed) || ledger.has_late() {
            true => Commit::Withhold,
            false => Commit::Write,
        })
    })
}

/// Stores what was changed while it was read as a part of its own.
fn read_again(
    rustic: &Rustic,
    job: &Job,
    operation: &Arc<Operation>,
    late: Again,
) -> Result<SnapshotFile> {
    let options = BackupOptions::default()
        .parent_opts(ParentOptions::default().force(true))
        .no_scan(true);
    index(rustic, operation)?
        .archive(&options, &late, prepared(job), &paths(job))
        .map_err(|error| operation.fail(&error))
}

/// Writes the snapshot that both parts are.
fn merge(
    rustic: &Rustic,
    job: &Job,
    operation: &Arc<Operation>,
    made: SnapshotFile,
    more: SnapshotFile,
) -> Result<SnapshotFile> {
    let merged = SnapshotFile {
        parent: made.parent,
        parents: made.parents.clone(),
        ..prepared(job)
    };
    // Directories above what is added have no times; the real ones have.
    let real_last = |one: &Node, other: &Node| {
        let is_real = |node: &Node| node.meta.mtime.is_some();
        is_real(one).cmp(&is_real(other))
    };
    index(rustic, operation)?
        .merge_snapshots(&[made, more], &real_last, merged)
        .map_err(|error| operation.fail(&error))
}

fn options(job: &Job) -> BackupOptions {
    let parent = match &job.parent {
        Some(parent) => ParentOptions::default()
            .group_by(SnapshotGroupCriterion::new())
            .parents(vec![parent.snapshot.0.clone()]),
        None => ParentOptions::default().force(true),
    };
    // The library takes this one for its opposite: with it, files with another inode are read.
    let parent = parent.ignore_inode(true);
    BackupOptions::default().parent_opts(parent).no_scan(true)
}

fn prepared(job: &Job) -> SnapshotFile {
    let mut snapshot = SnapshotFile {
        time: job.time.to_zoned(TimeZone::UTC),
        hostname: job.hostname.clone(),
        program_version: concat!("watchbell ", env!("CARGO_PKG_VERSION")).to_owned(),
        ..SnapshotFile::default()
    };
    for tag in &job.tags {
        snapshot.tags.add(tag.clone());
    }
    snapshot
}

/// What the snapshot says of itself; nothing is looked for there.
fn paths(job: &Job) -> Vec<PathBuf> {
    let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes).to_string_lossy().into_owned());
    job.sources
        .iter()
        .map(|source| path(source.to.as_bytes()))
        .collect()
}

/// Files, links and special files that are in a snapshot.
fn entries_of(made: &SnapshotFile) -> u64 {
    made.summary
        .as_ref()
        .map_or(0, |summary| summary.total_files_processed)
}

/// The last look: the library leaves out what it has an error with, and goes on.
fn expect_all(
    rustic: &Rustic,
    operation: &Arc<Operation>,
    made: &SnapshotFile,
    stored: u64,
    account: &Account,
) -> Result<()> {
    // A file whose stored data is damaged is in the snapshot, and has no record.
    let expected = account.files.len() as u64 + account.others + account.damaged;
    if stored == expected {
        return Ok(());
    }
    let removed = session::open(&rustic.place, &rustic.key, operation).and_then(|opened| {
        let removed = opened.delete_snapshots(&[made.id]);
        removed.map_err(|error| operation.explain(&error))
    });
    let removed = match removed {
        Ok(()) => "was removed".to_owned(),
        Err(error) => format!("could not be removed: {error}"),
    };
    Err(other(format!(
        "of {expected} entries {stored} were stored: the snapshot {removed}"
    )))
}
