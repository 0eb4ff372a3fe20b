//! How the register spells numbers: each is one whatever its case, and keeps its first spelling.
//!
//! Numbers that differed in case alone before that was so are twins. Each is found by its own spelling, and whatever
//! else is asked for is the first of them.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::FromQueryResult;

use super::{
    super::{
        Store, Tx,
        rows::{CHUNK, Column, Type, column},
        sql::Sql,
    },
    depends::NOT_FINAL,
    write::Change,
};
use crate::{
    domain::document::{Number, key::folded},
    error::Result,
};

/// Numbers with twins that are looked at.
const TWINS_LOOKED_AT: u64 = 1000;

/// A spelling of a number.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Spelling {
    folded: String,
    pub spelling: String,
    /// 0 for the first one; twins are counted.
    twin: i64,
}

impl Spelling {
    /// Whether another one was there before it.
    pub fn is_twin(&self) -> bool {
        0 < self.twin
    }
}

/// How numbers are spelt.
#[derive(Clone, Debug, Default)]
pub struct Spellings(BTreeMap<String, Vec<Spelling>>);

impl Spellings {
    /// The number as it is spelt: as it is given, where it is there so.
    ///
    /// # Errors
    /// Where the database holds what is no number.
    pub fn of(&self, number: &Number) -> Result<Option<Number>> {
        let Some(known) = self.0.get(&number.folded()) else {
            return Ok(None);
        };
        let own = known.iter().find(|known| known.spelling == number.as_str());
        let first = own.or_else(|| known.iter().find(|known| !known.is_twin()));
        first.map(|known| known.spelling.parse()).transpose()
    }
}

impl FromIterator<Spelling> for Spellings {
    fn from_iter<T: IntoIterator<Item = Spelling>>(spellings: T) -> Self {
        let mut all: BTreeMap<String, Vec<Spelling>> = BTreeMap::new();
        for spelling in spellings {
            all.entry(spelling.folded.clone())
                .or_default()
                .push(spelling);
        }
        Self(all)
    }
}

impl Store {
    /// The number as the register spells it; none where there is no such number.
    pub async fn spelling(&self, number: &Number) -> Result<Option<Number>> {
        self.spelt(std::slice::from_ref(number)).await?.of(number)
    }

    /// How the register spells numbers.
    pub async fn spelt(&self, numbers: &[Number]) -> Result<Spellings> {
        let numbers: Vec<&str> = numbers.iter().map(Number::as_str).collect();
        Ok(self.spellings(&numbers).await?.into_iter().collect())
    }

    /// All spellings that the register has of these numbers.
    pub async fn spellings(&self, numbers: &[&str]) -> Result<Vec<Spelling>> {
        let mut found = Vec::new();
        for chunk in numbers.chunks(CHUNK) {
            found.extend(self.all(spellings(self.sql(""), chunk).done()).await?);
        }
        Ok(found)
    }

    /// The spelling of a number that is not there as it is given.
    pub(super) async fn spelt_otherwise(&self, number: &Number) -> Result<Option<Number>> {
        let spelling = self.spelling(number).await?;
        Ok(spelling.filter(|spelling| spelling != number))
    }

    /// Numbers that differ in case alone and have versions that are not final: the spellings of each, the first one
    /// first. Of very many, some.
    pub async fn number_twins(&self) -> Result<Vec<Vec<String>>> {
        let rows: Vec<Spelling> = self.all(twins(self.sql("")).done()).await?;
        let same = |one: &Spelling, other: &Spelling| one.folded == other.folded;
        let twins = rows.chunk_by(same).filter(|spellings| 1 < spellings.len());
        let spelt = |known: &Spelling| known.spelling.clone();
        Ok(twins
            .map(|spellings| spellings.iter().map(spelt).collect())
            .collect())
    }
}

impl Tx {
    /// Of documents that were added, those whose number is spelt otherwise since: another was quicker. They are taken
    /// away again.
    pub(super) async fn take_back_misspelt(
        &mut self,
        added: Vec<Change>,
    ) -> Result<(Vec<Change>, Vec<Change>)> {
        #[derive(FromQueryResult)]
        struct Misspelt {
            spelling: String,
        }
        const COLUMNS: &[Column] = &[
            column("of_folded", Type::Text),
            column("of_spelling", Type::Text),
        ];
        let numbers: BTreeSet<&Number> = added
            .iter()
            .map(|change| &change.document.key.number)
            .collect();
        let numbers: Vec<&Number> = numbers.into_iter().collect();
        let mut misspelt: BTreeSet<String> = BTreeSet::new();
        for chunk in numbers.chunks(CHUNK) {
            let rows = chunk
                .iter()
                .map(|number| vec![number.folded().into(), number.as_str().into()]);
            let select = self
                .sql("")
                .with_values(COLUMNS, rows)
                .push(
                    "SELECT of_spelling AS spelling FROM v WHERE of_spelling IS NOT NULL AND NOT EXISTS \
                     (SELECT 1 FROM document_numbers WHERE folded = of_folded AND spelling = of_spelling)",
                )
                .done();
            let rows: Vec<Misspelt> = self.all(select).await?;
            misspelt.extend(rows.into_iter().map(|row| row.spelling));
        }
        if misspelt.is_empty() {
            return Ok((added, Vec::new()));
        }
        let (gone, kept): (Vec<Change>, Vec<Change>) = added
            .into_iter()
            .partition(|change| misspelt.contains(change.document.key.number.as_str()));
        for chunk in gone.chunks(CHUNK) {
            let delete = self
                .sql("DELETE FROM documents WHERE id")
                .one_of(Type::Uuid, chunk.iter().map(|change| change.document.id.0))
                .done();
            self.run(delete).await?;
        }
        Ok((kept, gone))
    }
}

fn spellings(sql: Sql, numbers: &[&str]) -> Sql {
    sql.push("SELECT folded, spelling, twin FROM document_numbers WHERE folded")
        .one_of(Type::Text, numbers.iter().map(|number| folded(number)))
}

fn twins(sql: Sql) -> Sql {
    sql.push(
        "SELECT folded, spelling, twin FROM document_numbers WHERE folded IN \
         (SELECT DISTINCT folded FROM document_numbers WHERE twin > 0 ORDER BY folded",
    )
    .limit(TWINS_LOOKED_AT)
    .push(") AND EXISTS (SELECT 1 FROM documents WHERE number = spelling AND ")
    .push(NOT_FINAL)
    .push(") ORDER BY folded, twin")
}

#[cfg(test)]
#[path = "numbers_tests.rs"]
mod tests;
