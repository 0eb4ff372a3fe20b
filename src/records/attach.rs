//! Giving a DRAFT its content: its author's, and nobody else's.

use super::Documents;
use crate::{
    domain::{
        Caller, Document,
        document::{
            Content, DocumentStatus, HistoryEntry, Verb, key::Named, same_person,
            table::legal_verbs,
        },
    },
    error::{Error, Reason, Result, Thing},
    store::{Change, Tx},
};

/// Whether someone may give this document a content.
///
/// # Errors
/// [`Error::Conflict`] `ILLEGAL_TRANSITION` unless it is a DRAFT; [`Error::Denied`] for all but its author.
pub(super) fn may_attach(document: &Document, actor: &str) -> Result<()> {
    if document.status != DocumentStatus::Draft {
        let legal: Vec<&str> = legal_verbs(document.status)
            .into_iter()
            .map(Verb::as_str)
            .collect();
        let legal = match legal.as_slice() {
            [] => "nothing leads out of it".to_owned(),
            legal => format!("legal now: {}", legal.join(", ")),
        };
        let message = format!(
            "{} is {}, and only a DRAFT is given a content; {legal}",
            document.key,
            document.status.shouted()
        );
        return Err(Error::conflict(
            Reason::IllegalTransition,
            document.resource_name(),
            message,
        ));
    }
    if !document.author.is_empty() && !same_person(&document.author, actor) {
        let message = format!(
            "only its author, {}, may give {} a content",
            document.author, document.key
        );
        return Err(Error::Denied(message));
    }
    Ok(())
}

impl Documents {
    /// Gives a document a content that this write holds already; without a version, the newest. Where it has just
    /// that, nothing happens: the same may be sent again.
    ///
    /// # Errors
    /// As [`may_attach`].
    pub(super) async fn attach(
        &self,
        tx: &mut Tx,
        who: &Caller,
        named: &Named,
        actor: &str,
        content: Content,
    ) -> Result<Document> {
        let found = self.store().document(named).await?;
        let locked = tx.documents_locked(&[found.id]).await?;
        let Some(before) = locked.into_iter().next() else {
            return Err(Error::not_found(Thing::Document, named));
        };
        may_attach(&before, actor)?;
        if before.content.as_ref() == Some(&content) {
            return Ok(before);
        }
        if let Some(old) = &before.content
            && old.sha256 != content.sha256
        {
            tx.content_let_go(&old.sha256).await?;
        }
        let now = tx.now();
        let entry = HistoryEntry {
            revision: before.revision + 1,
            at: now,
            verb: Verb::AttachContent,
            from: Some(before.status),
            to: before.status,
            actor: actor.to_owned(),
            principal: who.principal.clone(),
            comment: said_of(&content),
            run: String::new(),
        };
        let mut after = Document {
            content: Some(content),
            updated_at: now,
            revision: before.revision + 1,
            ..before
        };
        if after.author.is_empty() {
            // Nobody has it, as in imported history: it goes to whoever acts.
            actor.clone_into(&mut after.author);
        }
        let change = Change {
            document: after.clone(),
            entry,
        };
        tx.documents_update(vec![change]).await?;
        Ok(after)
    }
}

/// For the history: which content it was, also once it has another.
fn said_of(content: &Content) -> String {
    let Content {
        sha256,
        size,
        file_name,
    } = content;
    match file_name.as_str() {
        "" => format!("{size} bytes, {sha256}"),
        name => format!("{name}, {size} bytes, {sha256}"),
    }
}
