//! Numbers that are given from outside, as the register spells them: a number is one whatever its case.

use super::{Documents, NewDocument};
use crate::{
    domain::document::{Key, Number, key::Named},
    error::{Error, Result, Thing},
    store::CHANGED,
};

impl Documents {
    /// The numbers as the register spells them; what is not there stays as it is.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn spelt(&self, numbers: &[Number]) -> Result<Vec<Number>> {
        let known = self.store().spelt(numbers).await?;
        let spelt = numbers.iter().map(|number| {
            let spelling = known.of(number)?;
            Ok(spelling.unwrap_or_else(|| number.clone()))
        });
        spelt.collect()
    }

    /// A document to be with all its numbers as the register spells them.
    pub(super) async fn spelt_new(&self, mut new: NewDocument) -> Result<NewDocument> {
        let mut numbers = vec![new.key.number.clone()];
        numbers.append(&mut new.depends_on);
        let mut spelt = self.spelt(&numbers).await?.into_iter();
        if let Some(number) = spelt.next() {
            new.key.number = number;
        }
        new.depends_on = spelt.collect();
        Ok(new)
    }

    /// Why a document could not be added: it is there, in any case; or another spelling of its number came meanwhile,
    /// and with that it may be tried again.
    pub(super) async fn taken(&self, key: &Key) -> Result<Error> {
        match self.store().document(&as_named(key)).await {
            Ok(document) => Ok(exists(&document.key)),
            Err(Error::NotFound { .. }) => Ok(Error::Aborted {
                reason: CHANGED,
                message: format!(
                    "{} came meanwhile in another spelling: send it again",
                    key.number
                ),
            }),
            Err(error) => Err(error),
        }
    }
}

/// The document of this key, and no other version of its number.
pub(super) fn as_named(key: &Key) -> Named {
    Named {
        number: key.number.clone(),
        version: Some(key.version),
    }
}

pub(super) fn exists(key: &Key) -> Error {
    Error::AlreadyExists {
        what: Thing::Document,
        id: key.to_string(),
    }
}
