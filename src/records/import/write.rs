//! Writing the rows of an import that are good: a transaction for each batch.

use std::collections::{BTreeMap, HashMap};

use super::{
    course::{Course, not_stored},
    index::{Over, Place, State},
    tell::{BadRow, flawed},
};
use crate::{
    domain::{
        Document, DocumentId,
        document::{Content, HistoryEntry, Key, Verb, row::Row},
    },
    error::{Error, Result},
    store::Change,
};

impl Course {
    /// Writes what is good of a batch, or only counts it. Returns what is bad of it.
    pub(super) async fn write(&mut self, batch: usize, validate_only: bool) -> Result<Vec<BadRow>> {
        let rows = self.rows(batch, |entry| {
            matches!(entry.state, State::New | State::Bad(_))
        });
        let mut bad = Vec::new();
        let mut good = Vec::new();
        for (place, row) in rows.await? {
            if let State::Bad(flaw) = self.index.entry(place).state {
                bad.push(flawed(&self.index, &self.circles, (place, &row), flaw));
            } else {
                good.push((place, row));
            }
        }
        self.summary.bad += bad.len() as i64;
        if validate_only {
            self.summary.created += good.len() as i64;
        } else if !good.is_empty() {
            bad.extend(self.write_rows(good).await?);
        }
        Ok(bad)
    }

    async fn write_rows(&mut self, rows: Vec<(Place, Row)>) -> Result<Vec<BadRow>> {
        let mut bad = Vec::new();
        let mut lost = false;
        let mut tx = self.documents.store().begin().await?;
        let contents: Vec<String> = rows
            .iter()
            .filter_map(|(_, row)| row.content_sha256.clone())
            .collect();
        let contents = match contents.as_slice() {
            [] => BTreeMap::new(),
            contents => self.documents.hold_contents(&mut tx, contents).await?,
        };
        let (rows, circles) = self.without_circles(&mut tx, rows).await?;
        lost |= !circles.is_empty();
        bad.extend(circles);
        let mut changes = Vec::with_capacity(rows.len());
        let mut fingerprints = Vec::with_capacity(rows.len());
        let mut written: HashMap<Key, (Place, Row)> = HashMap::with_capacity(rows.len());
        for (place, row) in rows {
            let content = match &row.content_sha256 {
                None => None,
                Some(sha256) => match contents.get(sha256) {
                    Some(size) => Some(Content {
                        sha256: sha256.clone(),
                        size: *size,
                        file_name: row.content_file_name.clone(),
                    }),
                    None => {
                        bad.push(self.told(place, &row, not_stored())?);
                        lost = true;
                        continue;
                    }
                },
            };
            changes.push(self.change(place, &row, content, tx.now())?);
            fingerprints.push(row.fingerprint.clone());
            written.insert(row.key.clone(), (place, row));
        }
        let refused = tx.documents_insert(changes, &fingerprints).await?;
        tx.commit().await?;
        let refused: Vec<(Place, Row)> = refused
            .iter()
            .filter_map(|key| written.remove(key))
            .collect();
        self.summary.created += written.len() as i64;
        for (place, _) in written.into_values() {
            self.index.entry_mut(place).state = State::Kept;
        }
        if !refused.is_empty() {
            // Someone was quicker, perhaps with the same.
            bad.extend(self.compare(refused.clone()).await?);
            for (place, row) in refused {
                if self.index.is_new(place) {
                    let error = self.in_force_meanwhile(&row).await?;
                    bad.push(self.told(place, &row, error)?);
                    lost = true;
                }
            }
        }
        if lost {
            // What refers to them, and is still to be written, falls with them.
            self.with_index(|index| index.spread()).await?;
        }
        Ok(bad)
    }

    fn change(
        &self,
        place: Place,
        row: &Row,
        content: Option<Content>,
        now: jiff::Timestamp,
    ) -> Result<Change> {
        let document = Document {
            id: DocumentId::new(),
            key: row.key.clone(),
            title: row.title.clone(),
            document_type: row.document_type.clone(),
            status: row.status,
            author: row.author.clone(),
            reviewer: row.reviewer.clone(),
            approver: row.approver.clone(),
            effective_date: row.effective_date,
            // History does not tell when that really was.
            activated_at: None,
            obsolescence_date: row.obsolescence_date,
            retired_at: None,
            supersedes: self.superseded(place)?,
            depends_on: row.depends_on.clone(),
            content,
            backdated_reason: String::new(),
            supersedes_nothing: String::new(),
            created_at: now,
            updated_at: now,
            status_at: now,
            revision: 1,
        };
        let entry = HistoryEntry {
            revision: document.revision,
            at: now,
            verb: Verb::Import,
            from: None,
            to: document.status,
            actor: self.reading.actor.clone(),
            principal: self.who.principal.clone(),
            comment: format!("line {}", row.line),
            run: String::new(),
        };
        Ok(Change { document, entry })
    }

    fn superseded(&self, place: Place) -> Result<Option<Key>> {
        let (number, version) = match self.index.entry(place).supersedes {
            Over::Nothing => return Ok(None),
            Over::Registered(number, version) => (number, version),
            Over::Row(other) => {
                let other = self.index.entry(other);
                (other.number, other.version)
            }
            Over::NewestLower | Over::Newest(_) | Over::Version(..) => {
                return Err(Error::internal(
                    "a row is written before what it supersedes is found",
                ));
            }
        };
        Ok(Some(Key {
            number: self.index.names.get(number).parse()?,
            version,
        }))
    }

    /// Why a document is not there although it was written: nothing else refuses one.
    async fn in_force_meanwhile(&self, row: &Row) -> Result<Error> {
        let store = self.documents.store();
        let what = match store.document_in_force(&row.key.number).await? {
            Some(other) => format!("{} came into force meanwhile", other.key),
            None => "another version was in force meanwhile; send the file again".to_owned(),
        };
        Ok(Error::invalid("status", what))
    }
}
