//! Lists of numbers, in whatever case they are asked for: a number by its spelling, and what begins alike by what all
//! spellings have in common.

use jiff::civil::Date;

use super::{
    super::super::{Store, sql::Sql},
    DocumentFilter, ListPlace, Numbers, Source,
};
use crate::{
    domain::document::{Key, key::folded},
    error::Result,
};

impl DocumentFilter {
    /// The documents of the next numbers that begin as is wanted, in any case. Each number has one at least, but the
    /// one at which the page before ended may have none left.
    pub(super) fn spelt(&self, sql: Sql, after: Option<&ListPlace>, needed: i64) -> Sql {
        let prefix = match &self.numbers {
            Numbers::Prefix(prefix) => folded(prefix),
            Numbers::All | Numbers::One(_) => String::new(),
        };
        let mut sql = sql
            .push(" FROM (SELECT spelling FROM document_numbers WHERE folded >= ")
            .bind(prefix.as_str())
            // `~` comes after all that a number may hold.
            .push(" AND folded < ")
            .bind(format!("{prefix}~"));
        if let Some(ListPlace { key, .. }) = after {
            sql = sql
                .push(" AND folded >= ")
                .bind(key.number.folded())
                .push(" AND (folded > ")
                .bind(key.number.folded())
                .push(" OR spelling >= ")
                .bind(key.number.as_str())
                .push(")");
        }
        let numbers = u64::try_from(needed).unwrap_or_default().saturating_add(1);
        sql = sql
            .push(" ORDER BY folded, spelling")
            .limit(numbers)
            .push(") AS names CROSS JOIN ")
            .postgres("LATERAL (SELECT * FROM documents WHERE number = spelling OFFSET 0) AS documents WHERE true")
            .sqlite("documents")
            .sqlite(Source::Spelling.index())
            .sqlite(" WHERE number = spelling");
        let Some(ListPlace { key, .. }) = after else {
            return sql;
        };
        sql.push(" AND (number <> ")
            .bind(key.number.as_str())
            .push(" OR (major, minor) > (")
            .bind(i64::from(key.version.major))
            .push(", ")
            .bind(i64::from(key.version.minor))
            .push("))")
    }

    /// What the list is ordered by.
    pub(super) fn order_of(&self, place: &ListPlace) -> (Option<Date>, String, Key) {
        let folded = match self.numbers {
            Numbers::Prefix(_) => place.key.number.folded(),
            Numbers::All | Numbers::One(_) => String::new(),
        };
        (place.day, folded, place.key.clone())
    }

    /// The same filter for the number as the register spells it.
    pub(super) async fn spelt_as_in(&self, store: &Store) -> Result<Self> {
        let mut filter = self.clone();
        if let Numbers::One(number) = &self.numbers
            && let Some(spelling) = store.spelling(number).await?
        {
            filter.numbers = Numbers::One(spelling);
        }
        Ok(filter)
    }
}
