//! Orders to a process that stores or copies, and what its answer comes to.

use std::{io, sync::Arc};

use super::{
    super::{error::other, place::Right},
    Apart, astray,
    call::Call,
    lines::in_lines,
    wire::{Answer, Root, Said, Summary, Task, What},
};
use crate::{
    backup::repository::{Archived, Hand, Job, Result, SnapshotId, Source},
    domain::backup::{
        manifest::{FileError, FileRecord, SnapshotPath},
        table::Table,
    },
    process::Word,
};

/// What is told before the answer to an archive.
#[derive(Default)]
struct Account {
    files: Table,
    errors: Vec<FileError>,
    special: Vec<SnapshotPath>,
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

/// Tells what was archived, file by file; what is to come in the answer.
///
/// # Errors
/// The first of `say`.
pub(super) fn tell_archived(
    archived: Archived,
    say: &mut dyn FnMut(&Said) -> io::Result<()>,
) -> io::Result<Summary> {
    let summary = Summary {
        snapshot: archived.snapshot,
        files: archived.files.len() as u64,
        errors: archived.errors.len() as u64,
        new_files: archived.new_files,
        changed_files: archived.changed_files,
        unchanged_files: archived.unchanged_files,
        added_bytes: archived.added_bytes,
        others: archived.others,
        special: archived.special.len() as u64,
        special_count: archived.special_count,
    };
    in_lines(archived.files.records(), |some| say(&Said::Files(some)))?;
    in_lines(archived.errors, |some| say(&Said::Missing(some)))?;
    in_lines(archived.special, |some| say(&Said::Special(some)))?;
    Ok(summary)
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
        own: source.own.clone(),
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
            Said::Special(paths) => self.special.extend(paths),
            _ => {}
        }
    }

    /// What was archived; no fewer files than it speaks of.
    fn archived(self, summary: Summary) -> Result<Archived> {
        let told = (
            self.files.len() as u64,
            self.errors.len() as u64,
            self.special.len() as u64,
        );
        if self.is_broken || told != (summary.files, summary.errors, summary.special) {
            return Err(other(format!(
                "of {} files, {} that are missing and {} special ones {}, {} and {} were told",
                summary.files, summary.errors, summary.special, told.0, told.1, told.2
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
            special: self.special,
            special_count: summary.special_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{lines::tests::deep, wire::line},
        *,
    };

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
            special: 0,
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

    #[test]
    fn what_was_archived_of_a_very_deep_directory_all_comes() {
        let path = |number: u64| deep().join(number.to_string().as_bytes());
        let mut files = Table::default();
        for number in 0..300 {
            let is_added = files.add_record(&FileRecord {
                path: path(number),
                size: number,
                mtime: 2,
                sha256: "0".repeat(64),
            });
            assert!(is_added);
        }
        let missing = |number| FileError {
            path: path(number),
            message: format!("{}: it went away", path(number)),
        };
        let archived = Archived {
            snapshot: SnapshotId("0".repeat(64)),
            files,
            errors: (0..300).map(missing).collect(),
            new_files: 300,
            changed_files: 0,
            unchanged_files: 0,
            added_bytes: 7,
            others: 0,
            special: (0..300).map(path).collect(),
            special_count: 300,
        };
        let mut account = Account::default();
        let summary = tell_archived(archived.clone(), &mut |said| {
            let told = line(said)?;
            account.take(serde_json::from_slice(&told)?);
            Ok(())
        });
        let came = account.archived(summary.unwrap()).unwrap();
        assert!(came.files.records().eq(archived.files.records()));
        assert!(came.errors == archived.errors && came.special == archived.special);
    }
}
