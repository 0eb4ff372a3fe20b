//! Contents that are not as they should be: what is said of them, and to whom.

use std::fs::Metadata;

use super::{away, blocking};
use crate::{
    domain::problem::{Problem, ProblemKind},
    error::{Error, Reason, Result},
    records::Documents,
    store::Tx,
};

/// Under which the room's problems stand.
const SOURCE: &str = "contents";
const KINDS: [ProblemKind; 2] = [ProblemKind::ContentDamaged, ProblemKind::ContentMissing];

/// What is wrong with a content.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// There is no file.
    Missing,
    /// There is one, which is not what its name says.
    Damaged { file: Metadata, what: String },
}

impl Documents {
    /// Tells of a content that is not as it should be, and moves one that is damaged out of the way, so that it
    /// can be uploaded again. Says what whoever asked for it is told.
    pub(super) async fn at_fault(&self, sha256: &str, fault: Fault) -> Error {
        match self.tell_fault(sha256, fault).await {
            Ok(error) | Err(error) => error,
        }
    }

    /// Whether someone was told that this content is at fault.
    pub(super) async fn is_at_fault(&self, sha256: &str) -> Result<bool> {
        let subject = subject(sha256);
        let problems = self.store().problems(self.clock().now()).await?;
        let of_it = |problem: &Problem| {
            problem.subject == subject && KINDS.into_iter().any(|kind| problem.is(kind))
        };
        Ok(problems.iter().any(of_it))
    }

    /// A content that was at fault is found sound.
    pub(super) async fn clear_fault(&self, sha256: &str) -> Result<()> {
        let mut tx = self.store().begin().await?;
        clear_faults(&mut tx, sha256).await?;
        tx.commit().await
    }

    /// The same, where it is not for whoever asked to decide what follows.
    ///
    /// # Errors
    /// Where the disk or the database is away.
    pub(super) async fn tell_fault(&self, sha256: &str, fault: Fault) -> Result<Error> {
        let now = self.clock().now();
        let (reason, kind, message) = match fault {
            Fault::Missing => (
                Reason::ContentMissing,
                ProblemKind::ContentMissing,
                format!("the content {sha256} is not on the disk"),
            ),
            Fault::Damaged { file, what } => {
                let (files, of) = (self.files(), sha256.to_owned());
                blocking(move || files.set_aside(&file, &of, now).map_err(away)).await?;
                let message = format!("the content {sha256} is damaged on the disk: {what}");
                (Reason::ContentDamaged, ProblemKind::ContentDamaged, message)
            }
        };
        let told = format!("{message}; restore it from a backup, or upload it again");
        // Once is enough: many may ask for it.
        if !self.is_at_fault(sha256).await? {
            tracing::error!(content = sha256, "{message}");
            let problem = Problem::new(kind, subject(sha256), message, now);
            let mut tx = self.store().begin().await?;
            tx.problem_raise(SOURCE, &problem, None).await?;
            tx.commit().await?;
        }
        Ok(Error::conflict(reason, subject(sha256), told))
    }
}

/// This content is stored, and sound.
pub(super) async fn clear_faults(tx: &mut Tx, sha256: &str) -> Result<()> {
    let subject = subject(sha256);
    for kind in KINDS {
        tx.problem_clear(kind.as_str(), &subject).await?;
    }
    Ok(())
}

fn subject(sha256: &str) -> String {
    format!("contents/{sha256}")
}
