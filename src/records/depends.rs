//! On which numbers a document is to depend: whether they are there, live, and do not depend on it in turn.

use std::collections::{BTreeMap, BTreeSet};

use super::Documents;
use crate::{
    domain::{
        Document, DocumentId,
        document::{Number, key::Named, rules::depends_soundly},
    },
    error::{Error, Result, each},
    store::Tx,
};

/// Documents that are followed in search of a circle.
const FOLLOWED_AT_MOST: usize = 10_000;
const FIELD: &str = "document.depends_on";

/// What a document is to depend on, as it may, and what was locked for it.
#[derive(Debug)]
pub(super) struct Dependences {
    /// As the register spells them.
    pub(super) numbers: Vec<Number>,
    locked: Vec<Document>,
}

impl Dependences {
    /// The document that was to be locked with them.
    pub(super) fn own(self, id: DocumentId) -> Option<Document> {
        self.locked.into_iter().find(|document| document.id == id)
    }
}

impl Documents {
    /// That every number is there and lives, and that none of them depends on this one in turn. Until this write is over,
    /// none of them ends, and nobody else changes what depends on what: of two who would close a circle together, one sees
    /// what the other has done. `own` is the document that changes, and is locked with them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `document.depends_on`.
    pub(super) async fn depend_soundly(
        &self,
        tx: &mut Tx,
        number: &Number,
        depends_on: &[Number],
        own: Option<DocumentId>,
    ) -> Result<Dependences> {
        let about = |error: Error| error.below("document");
        depends_soundly(number, depends_on).map_err(about)?;
        let spelt = self.store().spelt(depends_on).await?;
        let numbers = depends_on.iter().map(|given| {
            let unknown = || Error::invalid(FIELD, format!("there is no document {given}"));
            spelt.of(given)?.ok_or_else(unknown)
        });
        let numbers = each(numbers)?;
        depends_soundly(number, &numbers).map_err(about)?;
        let living = tx.documents_living(&numbers).await?;
        let ids: Vec<DocumentId> = living.into_iter().map(|(id, _)| id).chain(own).collect();
        // Documents before the turn: who has that waits for none of them.
        let locked = tx.documents_locked(&ids).await?;
        if numbers.is_empty() {
            return Ok(Dependences { numbers, locked });
        }
        tx.turn_to_depend().await?;
        self.alive(tx, &numbers).await?;
        if let Some(from) = circle(tx, number, &numbers, &BTreeMap::new()).await? {
            return Err(Error::invalid(FIELD, told(&from, number)));
        }
        // An import that is under way looks again.
        tx.mark_dependences().await?;
        Ok(Dependences { numbers, locked })
    }

    /// That of each number a version is left that is not final.
    async fn alive(&self, tx: &mut Tx, numbers: &[Number]) -> Result<()> {
        let living = tx.documents_living(numbers).await?;
        let living: BTreeSet<&Number> = living.iter().map(|(_, number)| number).collect();
        let Some(dead) = numbers.iter().find(|number| !living.contains(number)) else {
            return Ok(());
        };
        let named = Named {
            number: dead.clone(),
            version: None,
        };
        let newest = self.store().document(&named).await?;
        let what = format!(
            "{dead} is dead: its newest version, {}, is {}, and none is left that is not final; expected a number of \
             which one is",
            newest.key,
            newest.status.shouted()
        );
        Err(Error::invalid(FIELD, what))
    }
}

/// Which number depends on `number`, of those on which it is to depend and of all that they lead to. Those of `beside` are
/// about to be written with it.
pub(super) async fn circle(
    tx: &mut Tx,
    number: &Number,
    depends_on: &[Number],
    beside: &BTreeMap<Number, Vec<Number>>,
) -> Result<Option<Number>> {
    let mut seen: BTreeSet<Number> = depends_on.iter().cloned().collect();
    let mut front: Vec<Number> = depends_on.to_vec();
    while !front.is_empty() {
        if FOLLOWED_AT_MOST < seen.len() {
            // Who gives up has not seen that there is none.
            let message = format!(
                "{number} leads to more than {FOLLOWED_AT_MOST} numbers, too many to see that none of them depends on it"
            );
            return Err(Error::Exhausted(message));
        }
        let mut edges = tx.dependences_of(&front).await?;
        for from in &front {
            let to = beside.get(from).into_iter().flatten();
            edges.extend(to.map(|to| (from.clone(), to.clone())));
        }
        let mut next = Vec::new();
        for (from, to) in edges {
            if to == *number {
                return Ok(Some(from));
            }
            if seen.insert(to.clone()) {
                next.push(to);
            }
        }
        front = next;
    }
    Ok(None)
}

/// What is said of a circle.
pub(super) fn told(from: &Number, number: &Number) -> String {
    format!("{from} depends on {number}: a circle")
}
