//! Correcting a draft: what is wrong in it is put right, and the history says what it was.

use super::{Documents, moves::By};
use crate::{
    domain::{
        Caller, Document,
        document::{
            Act, Correction, Facts, HistoryEntry, act::act, correction::differences, key::Named,
            person,
        },
    },
    error::{Error, Reason, Result, Thing},
    store::{Change, Remember},
};

impl Documents {
    /// Corrects a DRAFT; without a version, the newest. Where it is as it is to be, nothing happens.
    ///
    /// # Errors
    /// As [`act`]; [`Error::Invalid`] naming the field; [`Error::Aborted`] where it is no longer as `etag` says.
    pub async fn correct(
        &self,
        who: &Caller,
        named: &Named,
        actor: &str,
        correction: Correction,
        (etag, validate_only): (&str, bool),
        remember: Option<Remember<'_, Document>>,
    ) -> Result<Document> {
        let by = By {
            actor: person("actor", actor)?,
            principal: who.principal.clone(),
            run: String::new(),
        };
        let mut correction = correction.checked()?;
        let found = self.store().document(named).await?;
        let mut tx = self.store().begin().await?;
        // What it is not to depend on anew is not asked for: a draft that has inherited a dead number may be put right in
        // all else before.
        let anew = correction.depends_on.clone().unwrap_or_default();
        let locked = self.depend_soundly(&mut tx, &found.key.number, &anew, Some(found.id));
        let before = match locked.await {
            Ok(locked) => {
                if correction.depends_on.is_some() {
                    correction.depends_on = Some(locked.numbers.clone());
                }
                locked.own(found.id)
            }
            Err(error) => {
                // What its status says comes before what is wrong with the fields.
                let told = Act::Update(Correction::default());
                let now = (self.day_of(tx.now()), tx.now());
                act(&found, &told, &by.actor, &Facts::default(), now)?;
                return Err(error);
            }
        };
        let Some(before) = before else {
            return Err(Error::not_found(Thing::Document, named));
        };
        expect_etag(&before, etag)?;
        let verb = Act::Update(correction);
        let facts = Facts::default();
        let now = tx.now();
        let after = act(&before, &verb, &by.actor, &facts, (self.day_of(now), now))?;
        if validate_only {
            return Ok(after);
        }
        let after = match differences(&before, &after).is_empty() {
            true => before,
            false => {
                let entry = HistoryEntry {
                    revision: after.revision,
                    at: now,
                    verb: verb.verb(),
                    from: Some(before.status),
                    to: after.status,
                    actor: by.actor,
                    principal: by.principal,
                    comment: verb.said(&before, &after, &facts),
                    run: by.run,
                };
                let change = Change {
                    document: after.clone(),
                    entry,
                };
                tx.documents_update(vec![change]).await?;
                after
            }
        };
        tx.keep(who, remember, &after).await?;
        tx.commit().await?;
        Ok(after)
    }
}

/// That a document is as it was read, where the caller says how that was.
///
/// # Errors
/// [`Error::Aborted`] where it is not.
pub(super) fn expect_etag(document: &Document, etag: &str) -> Result<()> {
    if etag.is_empty() || etag == document.etag() {
        return Ok(());
    }
    let message = format!(
        "{} has changed since: it is {} in revision {}",
        document.key,
        document.status.shouted(),
        document.revision
    );
    Err(Error::Aborted {
        reason: Reason::EtagMismatch,
        message,
    })
}
