//! Where documents stand that are named by others.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::FromQueryResult;

use super::{
    super::{
        Tx,
        rows::{CHUNK, Type},
    },
    rows::{key_of, status_of},
};
use crate::{
    domain::document::{DocumentStatus, Key, Number},
    error::Result,
};

#[derive(FromQueryResult)]
struct Row {
    number: String,
    major: i64,
    minor: i64,
    status: String,
}

impl Tx {
    /// Where these documents stand; none of one that is not there.
    pub async fn document_statuses(
        &mut self,
        keys: Vec<Key>,
    ) -> Result<BTreeMap<Key, Option<DocumentStatus>>> {
        let numbers: BTreeSet<Number> = keys.iter().map(|key| key.number.clone()).collect();
        let numbers: Vec<Number> = numbers.into_iter().collect();
        let mut statuses: BTreeMap<Key, Option<DocumentStatus>> =
            keys.into_iter().map(|key| (key, None)).collect();
        for chunk in numbers.chunks(CHUNK) {
            let select = self
                .sql("SELECT number, major, minor, status FROM documents WHERE number")
                .one_of(Type::Text, chunk.iter().map(Number::as_str))
                .done();
            for row in self.all::<Row>(select).await? {
                let status = status_of(&row.status)?;
                let key = key_of(row.number, row.major, row.minor)?;
                if let Some(known) = statuses.get_mut(&key) {
                    *known = Some(status);
                }
            }
        }
        Ok(statuses)
    }
}
