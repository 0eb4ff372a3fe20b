//! What happens to documents by themselves when their day has come.

use std::collections::BTreeMap;

use super::{Documents, moves::By};
use crate::{
    domain::document::{Act, Key, act::SYSTEM},
    error::{Error, Result},
    store::{CHANGED, Change, Due, DueDocument, Known, Tx},
};

/// What became of some documents whose day has come.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    pub moved: Vec<Key>,
    /// Versions whose place was taken.
    pub superseded: usize,
    /// Those that could not be moved, and why.
    pub failed: Vec<(DueDocument, String)>,
}

impl Documents {
    /// Documents whose day has come, after a place; by day, number and version.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn due(
        &self,
        due: Due,
        after: Option<&DueDocument>,
        limit: u64,
    ) -> Result<Vec<DueDocument>> {
        let today = self.day_of(self.clock().now());
        self.store().documents_due(due, today, after, limit).await
    }

    /// How many documents there are whose day has come.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn due_count(&self, due: Due) -> Result<i64> {
        let now = self.clock().now();
        let late = self.store().documents_late(due, self.day_of(now), now, 0);
        Ok(late.await?.0)
    }

    /// Moves documents whose day has come, all that can be moved in one write; one that cannot hinders no other.
    /// In a `dry_run`, says what that would come to. `run` is the name of the run that does it.
    ///
    /// # Errors
    /// [`Error::Aborted`] where others moved them meanwhile, or the run lost its lease; or where the database
    /// refuses or is away. Then nothing was moved.
    pub async fn move_due(
        &self,
        mut tx: Tx,
        due: Due,
        wanted: &[DueDocument],
        run: &str,
        dry_run: bool,
    ) -> Result<Moved> {
        let known: Vec<Known> = wanted.iter().map(|due| due.known.clone()).collect();
        let mut locked = self.lock(&mut tx, &known).await?;
        let verb = match due {
            Due::Effective => Act::Activate,
            Due::Obsolete => Act::Retire,
        };
        if due == Due::Obsolete {
            let numbers: Vec<_> = known.iter().map(|known| known.key.number.clone()).collect();
            locked.read_dependants(&mut tx, &numbers).await?;
        } else {
            locked.read_stranded(&mut tx, &known).await?;
        }
        let by = By {
            actor: SYSTEM.to_owned(),
            run: run.to_owned(),
            ..By::default()
        };
        // Of two versions due at once, the older one first: it is superseded then, and not left behind.
        let mut left: BTreeMap<&Key, &DueDocument> =
            wanted.iter().map(|due| (&due.known.key, due)).collect();
        let mut done = Moved::default();
        let mut changes: Vec<Change> = Vec::new();
        // What could not be moved may be once another is: one document may have depended on the other.
        loop {
            let mut progress = false;
            let mut failed = Vec::new();
            for (key, document) in std::mem::take(&mut left) {
                let has_status = |status| status == due.status();
                let status = locked
                    .document(document.known.id)
                    .map(|document| document.status);
                if !status.is_some_and(has_status) {
                    // Someone was quicker.
                    continue;
                }
                match locked.moved(self, document.known.id, &verb, &by, tx.now()) {
                    Ok(moves) => {
                        progress = true;
                        done.superseded += moves.len() - 1;
                        done.moved.push(key.clone());
                        changes.extend(moves);
                    }
                    Err(error) if is_its_own(&error) => failed.push((key, document, error)),
                    Err(error) => return Err(error),
                }
            }
            if !progress || failed.is_empty() {
                let failed = failed.into_iter();
                done.failed = failed
                    .map(|(_, document, error)| (document.clone(), error.to_string()))
                    .collect();
                break;
            }
            left = failed
                .into_iter()
                .map(|(key, document, _)| (key, document))
                .collect();
        }
        if !dry_run && !changes.is_empty() {
            tx.documents_update(changes).await?;
            tx.commit().await?;
        }
        Ok(done)
    }
}

/// Whether others moved in between, so that the same again will do.
pub fn changed_meanwhile(error: &Error) -> bool {
    matches!(error, Error::Aborted { reason, .. } if *reason == CHANGED)
}

/// Whether an error is the document's own, and not the database's or the run's.
pub fn is_its_own(error: &Error) -> bool {
    match error {
        Error::NotFound { .. }
        | Error::AlreadyExists { .. }
        | Error::Invalid { .. }
        | Error::Several(_)
        | Error::Conflict { .. }
        | Error::Denied(_)
        | Error::Internal(_) => true,
        Error::Aborted { .. }
        | Error::Unauthenticated { .. }
        | Error::Exhausted(_)
        | Error::Busy(_)
        | Error::OutOfRange { .. }
        | Error::Unavailable { .. } => false,
    }
}
