//! Writing documents: many at once, with their history and their events.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait as _, FromQueryResult, SqlErr};

use super::{
    super::{
        Id, Tx,
        convert::micros,
        rows::{CHUNK, Column, Type, column, inserts},
    },
    rows::{ALL, COLUMNS, IN_FORCE, Known, KnownRow, documents, key_of, row_of},
};
use crate::{
    domain::{
        Document, DocumentId, EventKind, NewEvent,
        document::{
            HistoryEntry, Key, Number, Verb,
            key::Named,
            rules::{Dependants, NAMED_AT_MOST},
        },
    },
    error::{Error, Reason, Result},
};

/// Another was quicker between the look and the write: the same again will do.
pub const CHANGED: Reason = Reason::ChangedMeanwhile;

/// That another version came into force meanwhile.
pub fn changed() -> Error {
    Error::Aborted {
        reason: CHANGED,
        message: "another version came into force meanwhile: send it again".to_owned(),
    }
}

/// A document as it is now, and how it came to be so.
#[derive(Clone, Debug)]
pub struct Change {
    pub document: Document,
    pub entry: HistoryEntry,
}

/// What is written besides where people have moved a document.
const OF_PEOPLE: &str = ", author = v.author, reviewer = v.reviewer, approver = v.approver, \
     content_sha256 = v.content_sha256, content_size = v.content_size, content_name = v.content_name";

#[derive(FromQueryResult)]
struct Dependant {
    on_number: String,
    total: i64,
    number: String,
    major: i64,
    minor: i64,
}

impl Tx {
    /// Documents by id, locked in the one order until this write is over; those that there are.
    pub async fn documents_locked(&mut self, ids: &[DocumentId]) -> Result<Vec<Document>> {
        let mut ids = ids.to_vec();
        ids.sort();
        ids.dedup();
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let select = self
                .sql("SELECT ")
                .push(ALL)
                .push(" FROM documents WHERE id")
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                .push(" ORDER BY id")
                .postgres(" FOR UPDATE")
                .done();
            found.extend(documents(self.all(select).await?)?);
        }
        Ok(found)
    }

    /// The versions in force of these numbers.
    pub async fn documents_in_force(&mut self, numbers: &[Number]) -> Result<Vec<Known>> {
        let mut known = Vec::new();
        for chunk in numbers.chunks(CHUNK) {
            let select = self
                .sql("SELECT id, number, major, minor FROM documents WHERE ")
                .push(IN_FORCE)
                .push(" AND number")
                .one_of(Type::Text, chunk.iter().map(Number::as_str))
                .done();
            for row in self.all::<KnownRow>(select).await? {
                known.push(row.try_into()?);
            }
        }
        Ok(known)
    }

    /// The numbers of what these documents supersede.
    pub async fn documents_superseded_by(&mut self, ids: &[DocumentId]) -> Result<Vec<Number>> {
        #[derive(FromQueryResult)]
        struct Superseded {
            supersedes: String,
        }
        let mut numbers = Vec::new();
        for chunk in ids.chunks(CHUNK) {
            let select = self
                .sql("SELECT supersedes FROM documents WHERE supersedes IS NOT NULL AND id")
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                .done();
            for row in self.all::<Superseded>(select).await? {
                numbers.push(Named::read("supersedes", &row.supersedes)?.number);
            }
        }
        Ok(numbers)
    }

    /// Documents that are not final and depend on these numbers, by number; of many, how many and some.
    pub async fn dependants(&mut self, numbers: &[Number]) -> Result<BTreeMap<Number, Dependants>> {
        let mut found: BTreeMap<Number, Dependants> = BTreeMap::new();
        for chunk in numbers.chunks(CHUNK) {
            let select = self
                .sql(
                    "SELECT n.on_number, n.total, d.number AS number, d.major AS major, d.minor AS minor FROM \
                     (SELECT number AS on_number, document_id, count(*) OVER (PARTITION BY number) AS total, \
                     row_number() OVER (PARTITION BY number ORDER BY document_id) AS place \
                     FROM document_dependants WHERE number",
                )
                .one_of(Type::Text, chunk.iter().map(Number::as_str))
                .push(") AS n JOIN documents d ON d.id = n.document_id WHERE n.place <= ")
                .bind(NAMED_AT_MOST as i64)
                .push(" ORDER BY n.on_number, d.number, d.major, d.minor")
                .done();
            for row in self.all::<Dependant>(select).await? {
                let of = found.entry(row.on_number.parse()?).or_default();
                of.count = row.total;
                of.named.push(key_of(row.number, row.major, row.minor)?);
            }
        }
        Ok(found)
    }

    /// Adds documents, their first entries and whom they depend on, and tells of them. Returns those that could
    /// not be added, as their key is taken, another version of the number is in force, or another spelling of it came
    /// meanwhile.
    pub async fn documents_insert(
        &mut self,
        new: Vec<Change>,
        import_hashes: &[String],
    ) -> Result<Vec<Key>> {
        let hash = |index: usize| import_hashes.get(index).cloned();
        let rows = new
            .iter()
            .enumerate()
            .map(|(index, change)| row_of(&change.document, hash(index)))
            .collect::<Result<Vec<_>>>()?;
        let mut added = BTreeSet::new();
        let backend = self.backend();
        let tail = " ON CONFLICT DO NOTHING RETURNING id";
        for insert in inserts(backend, "documents", COLUMNS, &[], rows, tail) {
            let ids: Vec<Id> = self.all(insert).await?;
            added.extend(ids.into_iter().map(|row| row.id));
        }
        let (added, mut refused): (Vec<Change>, Vec<Change>) = new
            .into_iter()
            .partition(|change| added.contains(&change.document.id.0));
        let (added, misspelt) = self.take_back_misspelt(added).await?;
        refused.extend(misspelt);
        self.depend(&added).await?;
        self.note(&added).await?;
        Ok(refused
            .into_iter()
            .map(|change| change.document.key)
            .collect())
    }

    /// Writes documents as they are after the last of their changes, notes what happened, and tells of it. The
    /// caller holds their locks. What leaves force goes first: of each number, one version is in force.
    pub async fn documents_update(&mut self, changes: Vec<Change>) -> Result<()> {
        let last: BTreeMap<DocumentId, &Document> = changes
            .iter()
            .map(|change| (change.document.id, &change.document))
            .collect();
        let (in_force, not): (Vec<&Document>, Vec<&Document>) = last
            .into_values()
            .partition(|document| document.status.is_in_force());
        // What the server moves by itself keeps its people and its content, and the indexes of those.
        let by_itself = changes.iter().all(|change| {
            matches!(
                change.entry.verb,
                Verb::Activate | Verb::Retire | Verb::Supersede
            )
        });
        let own = if by_itself { "" } else { OF_PEOPLE };
        for part in [&not, &in_force] {
            for chunk in part.chunks(CHUNK) {
                let rows = chunk
                    .iter()
                    .map(|document| row_of(document, None))
                    .collect::<Result<Vec<_>>>()?;
                let update = self
                    .sql("")
                    .with_values(COLUMNS, rows)
                    .push(
                        "UPDATE documents SET status = v.status, effective_date = v.effective_date, \
                         activated_at = v.activated_at, obsolescence_date = v.obsolescence_date, \
                         retired_at = v.retired_at, updated_at = v.updated_at, status_at = v.status_at, \
                         revision = v.revision, backdated_reason = v.backdated_reason, \
                         supersedes_nothing = v.supersedes_nothing",
                    )
                    .push(own)
                    .push(" FROM v WHERE documents.id = v.id")
                    .done();
                let done = self.open()?.execute_raw(update).await;
                if let Err(error) = &done
                    && matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
                {
                    // Where nothing was in force before, there was nothing for the two to wait for.
                    self.failed = true;
                    return Err(changed());
                }
                let written = self.check(done)?.rows_affected();
                if written != chunk.len() as u64 {
                    self.failed = true;
                    return Err(Error::internal(
                        "a locked document was not there to be written",
                    ));
                }
                let ended = chunk
                    .iter()
                    .filter(|document| document.status.is_final())
                    .map(|document| document.id.0);
                let delete = self
                    .sql("DELETE FROM document_dependants WHERE document_id")
                    .one_of(Type::Uuid, ended)
                    .done();
                self.run(delete).await?;
            }
        }
        self.mark_dead(&not, &in_force).await?;
        self.correct(&changes).await?;
        self.note(&changes).await
    }

    pub(super) async fn depend(&mut self, added: &[Change]) -> Result<()> {
        const COLUMNS: &[Column] = &[
            column("number", Type::Text),
            column("document_id", Type::Uuid),
        ];
        let active = added
            .iter()
            .map(|change| &change.document)
            .filter(|document| !document.status.is_final());
        let rows = active.flat_map(|document| {
            let row = |number: &Number| vec![number.as_str().into(), document.id.0.into()];
            document.depends_on.iter().map(row)
        });
        self.insert("document_dependants", COLUMNS, &[], rows.collect(), "")
            .await?;
        self.mark_added(added).await
    }

    /// Keeps the entries, and tells the events.
    async fn note(&mut self, changes: &[Change]) -> Result<()> {
        const COLUMNS: &[Column] = &[
            column("document_id", Type::Uuid),
            column("revision", Type::Big),
            column("at", Type::Big),
            column("verb", Type::Text),
            column("from_status", Type::Text).or_null(),
            column("to_status", Type::Text),
            column("actor", Type::Text),
            column("principal", Type::Text),
            column("comment", Type::Text),
            column("run", Type::Text),
        ];
        let rows = changes.iter().map(|Change { document, entry }| {
            vec![
                document.id.0.into(),
                entry.revision.into(),
                micros(entry.at).into(),
                entry.verb.as_str().into(),
                entry.from.map(|from| from.as_str().to_owned()).into(),
                entry.to.as_str().into(),
                entry.actor.clone().into(),
                entry.principal.clone().into(),
                entry.comment.clone().into(),
                entry.run.clone().into(),
            ]
        });
        self.insert("document_history", COLUMNS, &[], rows.collect(), "")
            .await?;
        for Change { document, entry } in changes {
            let (kind, subject) = (told_of(entry.verb), document.resource_name());
            self.tell(NewEvent::new(kind, None, subject, document));
        }
        Ok(())
    }
}

fn told_of(verb: Verb) -> EventKind {
    match verb {
        Verb::Create | Verb::CreateVersion => EventKind::DocumentCreated,
        Verb::Import => EventKind::DocumentImported,
        Verb::AttachContent => EventKind::DocumentContentAttached,
        Verb::Update => EventKind::DocumentUpdated,
        Verb::Submit => EventKind::DocumentSubmitted,
        Verb::StartReview => EventKind::DocumentReviewStarted,
        Verb::PassReview => EventKind::DocumentReviewed,
        Verb::Reject => EventKind::DocumentRejected,
        Verb::RequestApproval => EventKind::DocumentApprovalRequested,
        Verb::StartApproval => EventKind::DocumentApprovalStarted,
        Verb::Approve => EventKind::DocumentApproved,
        Verb::Activate => EventKind::DocumentActivated,
        Verb::Withdraw => EventKind::DocumentWithdrawn,
        Verb::ScheduleObsolescence => EventKind::DocumentObsolescenceScheduled,
        Verb::CancelObsolescence => EventKind::DocumentObsolescenceCancelled,
        Verb::Retire => EventKind::DocumentRetired,
        Verb::Supersede => EventKind::DocumentSuperseded,
        Verb::Terminate => EventKind::DocumentTerminated,
    }
}
