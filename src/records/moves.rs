//! Moves of documents within one write: what is locked, what must be known, and whose place is taken.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        Document, DocumentId,
        document::{
            Act, DocumentStatus, Facts, HistoryEntry, Key, Number, Version,
            act::{SYSTEM, act},
            rules::Dependants,
        },
    },
    error::{Error, Result, Thing},
    records::Documents,
    store::{Change, Known, Tx, changed},
};

/// Who moves documents, for the history.
#[derive(Clone, Debug, Default)]
pub(super) struct By {
    pub(super) actor: String,
    /// Empty for what a run does.
    pub(super) principal: String,
    /// The run's resource name; empty for what people do.
    pub(super) run: String,
}

/// Documents that are locked until the write is over, with the versions in force whose place they may take.
#[derive(Debug)]
pub(super) struct Locked {
    documents: BTreeMap<DocumentId, Document>,
    in_force: BTreeMap<Number, Known>,
    dependants: BTreeMap<Number, Dependants>,
    /// Where stands what is superseded by name, and is not in force; none of what is there no more.
    not_in_force: BTreeMap<Key, Option<DocumentStatus>>,
}

impl Documents {
    /// Locks documents, and with them what is in force of their numbers and of those they supersede.
    ///
    /// # Errors
    /// [`Error::Aborted`] where what is in force changed between the look and the lock.
    pub(super) async fn lock(&self, tx: &mut Tx, wanted: &[Known]) -> Result<Locked> {
        let mut numbers: BTreeSet<Number> = wanted
            .iter()
            .map(|known| known.key.number.clone())
            .collect();
        // What they supersede never changes, so it may be read before the lock.
        let ids: Vec<DocumentId> = wanted.iter().map(|known| known.id).collect();
        numbers.extend(tx.documents_superseded_by(&ids).await?);
        let numbers: Vec<Number> = numbers.into_iter().collect();
        let in_force = tx.documents_in_force(&numbers).await?;
        let ids: Vec<DocumentId> = ids
            .into_iter()
            .chain(in_force.iter().map(|known| known.id))
            .collect();
        let documents = tx.documents_locked(&ids).await?;
        let documents: BTreeMap<DocumentId, Document> = documents
            .into_iter()
            .map(|document| (document.id, document))
            .collect();
        // Others may have moved in between, and now cannot any more.
        let in_force = tx.documents_in_force(&numbers).await?;
        if in_force
            .iter()
            .any(|known| !documents.contains_key(&known.id))
        {
            return Err(changed());
        }
        let in_force: BTreeMap<Number, Known> = in_force
            .into_iter()
            .map(|known| (known.key.number.clone(), known))
            .collect();
        let superseded = wanted
            .iter()
            .filter_map(|known| documents.get(&known.id)?.supersedes.as_ref());
        let gone: Vec<Key> = superseded
            .filter(|key| in_force.get(&key.number).map(|known| &known.key) != Some(*key))
            .cloned()
            .collect();
        let not_in_force = tx.document_statuses(gone).await?;
        Ok(Locked {
            documents,
            in_force,
            dependants: BTreeMap::new(),
            not_in_force,
        })
    }
}

impl Locked {
    pub(super) fn document(&self, id: DocumentId) -> Option<&Document> {
        self.documents.get(&id)
    }

    /// Reads who depends on these numbers.
    pub(super) async fn read_dependants(&mut self, tx: &mut Tx, numbers: &[Number]) -> Result<()> {
        self.dependants.extend(tx.dependants(numbers).await?);
        Ok(())
    }

    /// Reads who depends on other numbers that go once these documents come into force.
    pub(super) async fn read_stranded(&mut self, tx: &mut Tx, wanted: &[Known]) -> Result<()> {
        let wanted = wanted
            .iter()
            .filter_map(|known| self.documents.get(&known.id));
        let going: BTreeSet<Number> = wanted
            .filter_map(|document| self.other_that_goes(document).cloned())
            .collect();
        if going.is_empty() {
            return Ok(());
        }
        let going: Vec<Number> = going.into_iter().collect();
        self.read_dependants(tx, &going).await
    }

    /// The changes that a move makes: the document's, and where it comes into force, those of the versions whose
    /// place it takes.
    ///
    /// # Errors
    /// As [`act`].
    pub(super) fn moved(
        &mut self,
        documents: &Documents,
        id: DocumentId,
        verb: &Act,
        by: &By,
        now: jiff::Timestamp,
    ) -> Result<Vec<Change>> {
        let Some(before) = self.documents.get(&id).cloned() else {
            return Err(Error::not_found(Thing::Document, id));
        };
        let facts = self.facts(documents, &before);
        let day = documents.day_of(now);
        let after = act(&before, verb, &by.actor, &facts, (day, now))?;
        let mut changes = Vec::new();
        let takes_force = after.status == DocumentStatus::Effective && !before.status.is_in_force();
        if takes_force {
            for old in self.places_taken(&after) {
                let verb = Act::Supersede {
                    by: after.key.clone(),
                };
                let gone = act(&old, &verb, SYSTEM, &Facts::default(), (day, now))?;
                self.in_force.remove(&gone.key.number);
                let by = By {
                    actor: SYSTEM.to_owned(),
                    ..by.clone()
                };
                changes.push(change(&old, gone, (&verb, &Facts::default()), &by));
            }
            let known = Known {
                id: after.id,
                key: after.key.clone(),
            };
            self.in_force.insert(after.key.number.clone(), known);
        }
        changes.push(change(&before, after, (verb, &facts), by));
        for change in &changes {
            if change.document.status.is_final() {
                for number in &change.document.depends_on {
                    if let Some(dependants) = self.dependants.get_mut(number) {
                        dependants.lose(&change.document.key);
                    }
                }
            }
            self.documents
                .insert(change.document.id, change.document.clone());
        }
        Ok(changes)
    }

    /// What must be known besides a document.
    fn facts(&self, documents: &Documents, before: &Document) -> Facts {
        let of = |number: &Number| self.dependants.get(number).cloned().unwrap_or_default();
        let number = &before.key.number;
        let in_force = self
            .version_in_force(number)
            .filter(|_| !before.status.is_in_force());
        Facts {
            dependants: of(number),
            takes_content: documents
                .settings()
                .types
                .takes_content(&before.document_type),
            stranded: self.other_that_goes(before).map(of).unwrap_or_default(),
            not_in_force: self.names_in_vain(before, in_force.is_some()),
            in_force,
        }
    }

    /// The other number that goes with what this document supersedes.
    fn other_that_goes(&self, document: &Document) -> Option<&Number> {
        let key = document.supersedes.as_ref()?;
        let known = self.in_force.get(&key.number)?;
        let goes = known.key == *key && key.number != document.key.number;
        goes.then_some(&known.key.number)
    }

    /// What it supersedes by name, where that is not in force. Of its own number, the version that is in force goes,
    /// whichever it names; and one that is still to come into force goes then, and not now.
    fn names_in_vain(
        &self,
        document: &Document,
        takes_its_own: bool,
    ) -> Option<(Key, Option<DocumentStatus>)> {
        let key = document.supersedes.as_ref()?;
        let is_other = key.number != document.key.number;
        let in_force = self.in_force.get(&key.number);
        if in_force.is_some_and(|known| known.key == *key) {
            return None;
        }
        // Nobody looked where it stands: it has been in force until this write.
        let status = match self.not_in_force.get(key) {
            Some(status) => *status,
            None => Some(DocumentStatus::Superseded),
        };
        let is_final = status.is_none_or(DocumentStatus::is_final);
        (is_other || (is_final && !takes_its_own)).then(|| (key.clone(), status))
    }

    fn version_in_force(&self, number: &Number) -> Option<Version> {
        self.in_force.get(number).map(|known| known.key.version)
    }

    /// What is in force of its number, and the version that it supersedes by name.
    fn places_taken(&self, document: &Document) -> Vec<Document> {
        let own = self.in_force.get(&document.key.number);
        let named = document.supersedes.as_ref().and_then(|key| {
            let known = self.in_force.get(&key.number)?;
            (known.key == *key).then_some(known)
        });
        let mut taken: Vec<Document> = own
            .into_iter()
            .chain(named)
            .filter_map(|known| self.documents.get(&known.id).cloned())
            .collect();
        taken.dedup_by_key(|old| old.id);
        taken
    }
}

fn change(before: &Document, after: Document, (verb, facts): (&Act, &Facts), by: &By) -> Change {
    let entry = HistoryEntry {
        revision: after.revision,
        at: after.updated_at,
        verb: verb.verb(),
        from: Some(before.status),
        to: after.status,
        actor: by.actor.clone(),
        principal: by.principal.clone(),
        comment: verb.said(before, &after, facts),
        run: by.run.clone(),
    };
    Change {
        document: after,
        entry,
    }
}
