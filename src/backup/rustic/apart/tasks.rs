//! What is asked of a process that stores or copies, and what its answer comes to.

use std::sync::Arc;

use super::{
    super::{error::other, place::Right},
    Apart, astray,
    call::Call,
    wire::{Answer, Root, Said, Summary, Task, What},
};
use crate::{
    backup::repository::{Archived, Hand, Job, Result, SnapshotId, Source},
    domain::backup::{
        manifest::{FileError, FileRecord},
        table::Table,
    },
    process::Word,
};

/// What is told before the answer to an archive.
#[derive(Default)]
struct Account {
    files: Table,
    errors: Vec<FileError>,
    /// Whether a record was none.
    is_broken: bool,
}

/// Has a job archived.
pub(super) fn archive(apart: &Apart, job: &Job, hand: &Hand) -> Result<Archived> {
    let guarded = apart.guard(Right::Shared, &hand.cancel)?;
    let turn = apart.rustic.turn(&hand.cancel)?;
    let order = apart.order(What::Archive(task(job)));
    let records = job.parent.as_ref().map(|parent| Arc::clone(&parent.files));
    let call = Call::begin(&apart.helpers, &order, vec![guarded])?;
    let call = call.with_records(records).keeping(turn);
    let mut account = Account::default();
    let answer = call.answer(hand, &mut |said| account.take(said))?;
    match answer {
        Answer::Archived(summary) => account.archived(summary),
        _ => astray(),
    }
}

/// Has snapshots copied into another repository.
pub(super) fn copy(
    from: &Apart,
    snapshots: &[SnapshotId],
    to: &Apart,
    hand: &Hand,
) -> Result<Vec<SnapshotId>> {
    if from.rustic.place == to.rustic.place {
        return Err(other("a repository is not copied into itself"));
    }
    let guarded = vec![
        from.guard(Right::Shared, &hand.cancel)?,
        to.guard(Right::Shared, &hand.cancel)?,
    ];
    let turn = to.rustic.turn(&hand.cancel)?;
    let order = from.order(What::Copy {
        snapshots: snapshots.to_vec(),
        to: Word::from(to.rustic.place.clone().into_os_string()),
        key: to.rustic.key.clone(),
    });
    let call = Call::begin(&from.helpers, &order, guarded)?.keeping(turn);
    match call.answer(hand, &mut |_| {})? {
        Answer::Copied(ids) if ids.len() == snapshots.len() => Ok(ids),
        _ => astray(),
    }
}

fn task(job: &Job) -> Task {
    Task {
        time: job.time,
        hostname: job.hostname.clone(),
        tags: job.tags.clone(),
        sources: job.sources.iter().map(root).collect(),
        parent: job.parent.as_ref().map(|parent| parent.snapshot.clone()),
    }
}

fn root(source: &Source) -> Root {
    Root {
        from: Word::from(source.from.clone().into_os_string()),
        to: source.to.clone(),
        include: source.include.clone(),
        exclude: source.exclude.clone(),
        all_or_nothing: source.all_or_nothing,
        name_special: source.name_special,
    }
}

impl Account {
    fn take(&mut self, said: Said) {
        match said {
            Said::Files(records) => {
                let mut added = records
                    .iter()
                    .map(|one: &FileRecord| self.files.add_record(one));
                self.is_broken |= !added.all(|is_added| is_added);
            }
            Said::Missing(errors) => self.errors.extend(errors),
            _ => {}
        }
    }

    /// What was archived; no fewer files than it speaks of.
    fn archived(self, summary: Summary) -> Result<Archived> {
        let told = (self.files.len() as u64, self.errors.len() as u64);
        if self.is_broken || told != (summary.files, summary.errors) {
            return Err(other(format!(
                "of {} files and {} that are missing {} and {} were told",
                summary.files, summary.errors, told.0, told.1
            )));
        }
        Ok(Archived {
            snapshot: summary.snapshot,
            files: self.files,
            errors: self.errors,
            new_files: summary.new_files,
            changed_files: summary.changed_files,
            unchanged_files: summary.unchanged_files,
            added_bytes: summary.added_bytes,
            others: summary.others,
            special: summary.special,
            special_count: summary.special_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_fewer_files_than_were_told_of_is_none() {
        let summary = |files, errors| Summary {
            snapshot: SnapshotId("0".repeat(64)),
            files,
            errors,
            new_files: 0,
            changed_files: 0,
            unchanged_files: 0,
            added_bytes: 0,
            others: 0,
            special: Vec::new(),
            special_count: 0,
        };
        let account = |sha256: &str| {
            let mut account = Account::default();
            account.take(Said::Files(vec![FileRecord {
                path: "/a".into(),
                size: 1,
                mtime: 2,
                sha256: sha256.repeat(64),
            }]));
            account
        };
        assert_eq!(account("0").archived(summary(1, 0)).unwrap().files.len(), 1);
        account("0").archived(summary(2, 0)).unwrap_err();
        account("0").archived(summary(1, 1)).unwrap_err();
        account("no").archived(summary(1, 0)).unwrap_err();
    }
}
