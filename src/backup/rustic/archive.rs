//! From a job to a snapshot.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use jiff::tz::TimeZone;
use rustic_core::{
    BackupOptions, IndexedIdsStatus, ParentOptions, Repository, SnapshotGroupCriterion,
    repofile::SnapshotFile,
};

use super::{
    Rustic,
    carry::Carry,
    error::other,
    gate::Operation,
    place::Right,
    quiet::quietly,
    session, snapshots,
    source::{
        Sources,
        ledger::{Account, Ledger},
    },
};
use crate::{
    backup::repository::{Archived, Hand, Job, Result},
    domain::backup::manifest::FileRecord,
};

pub(super) fn archive(rustic: &Rustic, job: &Job, hand: &Hand) -> Result<Archived> {
    let held = rustic.enter(Right::Shared, &hand.cancel)?;
    let turn = rustic.turn(&hand.cancel)?;
    let operation = Operation::new(&rustic.place, &hand.cancel);
    held.guard(&operation);
    let (rustic, job, hand) = (rustic.clone(), job.clone(), hand.clone());
    let at_work = Arc::clone(&operation);
    quietly(&operation, move || {
        let _until_it_ends = (held, turn);
        store(&rustic, &job, &hand, &at_work)
    })
}

fn store(rustic: &Rustic, job: &Job, hand: &Hand, operation: &Arc<Operation>) -> Result<Archived> {
    let ledger = Ledger::new(Arc::clone(operation), hand, job.time);
    let sources = Sources::open(job, Arc::clone(&ledger))?;
    let opened = session::open(&rustic.place, &rustic.key, operation)?;
    let indexed = opened
        .to_indexed_ids()
        .map_err(|error| operation.explain(&error))?;
    let carry = Arc::new(Carry::new(
        &rustic.place,
        &rustic.key,
        job.parent.as_ref(),
        &hand.cancel,
        Arc::clone(&ledger),
    ));
    let at_last = Arc::clone(&carry);
    operation.commit_only_if(Box::new(move || at_last.carry_forward()));
    let made = indexed.archive(&options(job), &sources, prepared(job), &paths(job));
    let made = operation.outcome(made)?;
    let account = ledger.close();
    let carried = carry.take();
    expect_all(&indexed, &made, &account, carried.len())?;
    let changed = account
        .read
        .iter()
        .filter(|file| carry.has(&file.path))
        .count();
    Ok(Archived {
        snapshot: snapshots::id(&made.id),
        new_files: (account.read.len() - changed) as u64,
        changed_files: changed as u64,
        unchanged_files: carried.len() as u64,
        files: by_path(account.read, carried),
        errors: account.errors,
        added_bytes: operation.bytes_written.load(Ordering::Relaxed),
        others: account.directories + account.others,
    })
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

/// The last look: the library leaves out what it has an error with, and goes on.
fn expect_all(
    repository: &Repository<IndexedIdsStatus>,
    made: &SnapshotFile,
    account: &Account,
    carried: usize,
) -> Result<()> {
    let stored = made
        .summary
        .as_ref()
        .map_or(0, |summary| summary.total_files_processed);
    // A file whose stored data is damaged is in the snapshot, and has no record.
    let expected = (account.read.len() + carried) as u64 + account.others + account.damaged;
    if stored == expected {
        return Ok(());
    }
    let _ = repository.delete_snapshots(&[made.id]);
    Err(other(format!(
        "of {expected} entries {stored} were stored: the snapshot was removed"
    )))
}

fn by_path(mut files: Vec<FileRecord>, more: Vec<FileRecord>) -> Vec<FileRecord> {
    files.extend(more);
    files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    files
}
