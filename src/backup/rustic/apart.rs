//! A repository whose heavy work is done in a process of its own: an abort of a library, a stack that overflows, and all
//! that an index and trees take of memory cost the run, and not the server.
//!
//! The process is the server's own program, `watchbell helper repository`, started by a launcher like every other: so it
//! ends with the server, and is killed where its run leaves it. One does one thing: an operation, or the reading of one
//! snapshot, for as long as that is open. Beside it the server holds no index and no tree.
//!
//! - **What is said** goes through one socket, which is its standard input and output (`wire`): first the order, with
//!   the master key, which is so in no argument, no environment and no file; then lines of JSON of a bounded length, both ways.
//!   Bytes of files follow a line that says how many; each is an answer to a question, so that nobody is sent more than was
//!   asked for.
//! - **Who decides** is the server (`call`). It holds the lock in the repository, and each snapshot, each removal and what
//!   cannot be made undone is asked for before it is done: no where the lock is lost, or nobody waits any more. Progress
//!   comes a few times a second. A stop is told at once; who is not done soon is left alone with a few seconds more, so
//!   that packs which were written are of use to the next, and is killed then.
//! - **The lock among the processes of this host** is the working process's own (`served`): it goes with its death, and not
//!   before, also where the server died first.
//! - **Its death** is an outcome of its own, [`RepositoryError::Died`], with how it ended and its last words. The server
//!   removes its lock then, and the run ends like one of another failure. What it has left are packs that the next attempt or
//!   a cleanup deals with, as after the death of a server. It asks the kernel to be taken before the server where memory is
//!   short.
//! - **What passes back** is counted: an answer of fewer files than were told of, or of less damage, is none. Of what has no
//!   bound a line is filled by its bytes (`lines`): paths, attributes, damage.
//!
//! In the server's process stay: the list of snapshots, which are some hundred bytes each; what the repository takes up,
//! which are names and sizes; locks; and the table of a new backup's files, which its manifest is made of.

mod call;
mod findings;
mod lines;
mod listed;
mod reading;
mod served;
mod served_reading;
mod served_records;
mod tasks;
mod wire;

use std::{any::Any, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub(in crate::backup) use self::served::{WORK, work};
use self::{
    call::{Call, Guarded},
    findings::Findings,
    reading::Reading,
    tasks::{archive, copy},
    wire::{Answer, Fault, Order, What},
};
use super::{Rustic, error::other, gate::Operation, place::Right};
use crate::{
    backup::{
        child::Helpers,
        repository::{
            Archived, Checked, ForeignLock, Hand, Job, Pruned, ReadData, Repository,
            RepositoryError, Result, Snapshot, SnapshotId, SnapshotReader, Usage,
        },
    },
    process::Word,
};

/// A repository that is open, worked on by other processes.
#[derive(Clone, Debug)]
pub struct Apart {
    rustic: Rustic,
    helpers: Helpers,
}

impl Apart {
    /// The same repository, worked on by processes of this program.
    pub fn of(rustic: Rustic, helpers: &Helpers) -> Self {
        Self {
            rustic,
            helpers: helpers.clone(),
        }
    }

    fn order(&self, what: What) -> Order {
        Order {
            place: Word::from(self.rustic.place.clone().into_os_string()),
            key: self.rustic.key.clone(),
            what,
        }
    }

    /// Takes the right to do something, and notes what it is watched by.
    fn guard(&self, right: Right, cancel: &CancellationToken) -> Result<Guarded> {
        let operation = Operation::new(&self.rustic.place, cancel);
        let held = self.rustic.admit(right, &operation)?;
        Ok(Guarded {
            operation,
            _held: held,
        })
    }

    /// Has something done whose answer is all that comes.
    fn ask(&self, what: What, guarded: Guarded, hand: &Hand) -> Result<Answer> {
        let order = self.order(what);
        Call::begin(&self.helpers, &order, vec![guarded])?.answer(hand, &mut |_| {})
    }

    fn read(&self, snapshot: &SnapshotId, anew: bool) -> Result<Arc<dyn SnapshotReader>> {
        let guarded = self.guard(Right::Shared, &CancellationToken::new())?;
        let order = self.order(What::Read {
            snapshot: snapshot.clone(),
            anew,
        });
        Ok(Arc::new(Reading::begin(&self.helpers, &order, guarded)?))
    }
}

/// What comes of an error that a helper tells: only whoever was asked to stop has stopped.
fn told(fault: Fault) -> RepositoryError {
    match fault {
        Fault::Cancelled => other("a helper has stopped though nobody had asked it to"),
        fault => fault.into(),
    }
}

/// That an answer is not one to what was asked.
fn astray<T>() -> Result<T> {
    Err(other("a helper has answered what it was not asked"))
}

impl Repository for Apart {
    fn place(&self) -> String {
        self.rustic.place()
    }

    fn archive(&self, job: &Job, hand: &Hand) -> Result<Archived> {
        archive(self, job, hand)
    }

    fn snapshots(&self) -> Result<Vec<Snapshot>> {
        self.rustic.snapshots()
    }

    fn written(&self) -> Result<Vec<(SnapshotId, Timestamp)>> {
        self.rustic.written()
    }

    fn open(&self, snapshot: &SnapshotId) -> Result<Arc<dyn SnapshotReader>> {
        self.read(snapshot, false)
    }

    fn open_anew(&self, snapshot: &SnapshotId) -> Result<Arc<dyn SnapshotReader>> {
        self.read(snapshot, true)
    }

    fn check(&self, read: ReadData, hand: &Hand) -> Result<Checked> {
        let guarded = self.guard(Right::Shared, &hand.cancel)?;
        let order = self.order(What::Check(read));
        let call = Call::begin(&self.helpers, &order, vec![guarded])?;
        let mut findings = Findings::default();
        match call.answer(hand, &mut |said| findings.take(said))? {
            Answer::Checked(found) => findings.checked(found),
            _ => astray(),
        }
    }

    fn forget(&self, snapshots: &[SnapshotId]) -> Result<()> {
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: Arc::new(|_| {}),
        };
        let guarded = self.guard(Right::Exclusive, &hand.cancel)?;
        match self.ask(What::Forget(snapshots.to_vec()), guarded, &hand)? {
            Answer::Forgotten => Ok(()),
            _ => astray(),
        }
    }

    fn prune(&self, grace: Duration, dry_run: bool, now: Timestamp, hand: &Hand) -> Result<Pruned> {
        let guarded = self.guard(Right::Exclusive, &hand.cancel)?;
        let what = What::Prune {
            grace,
            dry_run,
            now,
        };
        match self.ask(what, guarded, hand)? {
            Answer::Pruned(pruned) => Ok(pruned),
            _ => astray(),
        }
    }

    fn copy_to(
        &self,
        snapshots: &[SnapshotId],
        other_one: &dyn Repository,
        hand: &Hand,
    ) -> Result<Vec<SnapshotId>> {
        let Some(to) = other_one.as_any().downcast_ref::<Self>() else {
            return Err(other(format!(
                "{} is of another kind than {}",
                other_one.place(),
                self.place()
            )));
        };
        copy(self, snapshots, to, hand)
    }

    fn usage(&self) -> Result<Usage> {
        self.rustic.usage()
    }

    fn claim(&self) -> Result<Box<dyn Any + Send + Sync>> {
        self.rustic.claim()
    }

    fn foreign_locks(&self, now: Timestamp) -> Result<Vec<ForeignLock>> {
        self.rustic.foreign_locks(now)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_that_nobody_has_asked_for_is_a_failure() {
        assert!(matches!(
            told(Fault::Cancelled),
            RepositoryError::Other { .. }
        ));
        let damaged = told(Fault::Damaged {
            what: "a".to_owned(),
        });
        assert!(matches!(damaged, RepositoryError::Damaged { what } if what == "a"));
    }
}
