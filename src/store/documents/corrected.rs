//! Writing what was corrected of drafts.

use super::{
    super::{Tx, convert},
    write::Change,
};
use crate::{domain::document::Verb, error::Result};

impl Tx {
    /// Writes what no move changes: titles, types, and what documents depend on. The rest is written with the move.
    pub(super) async fn correct(&mut self, changes: &[Change]) -> Result<()> {
        for change in changes {
            if change.entry.verb != Verb::Update {
                continue;
            }
            let document = &change.document;
            let update = self
                .sql("UPDATE documents SET title = ")
                .bind(document.title.as_str())
                .push(", document_type = ")
                .bind(document.document_type.as_str())
                .push(", depends_on = ")
                .bind(convert::json(&document.depends_on)?)
                .push(" WHERE id = ")
                .bind(document.id.0)
                .done();
            self.run(update).await?;
            let delete = self
                .sql("DELETE FROM document_dependants WHERE document_id = ")
                .bind(document.id.0)
                .done();
            self.run(delete).await?;
            self.depend(std::slice::from_ref(change)).await?;
        }
        Ok(())
    }
}
