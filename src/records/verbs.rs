//! What people do with documents: begin one, begin its next version, and move it.

use super::{
    Documents,
    correct::expect_etag,
    moves::By,
    new::{NewDocument, NextVersion, Texts, draft, version_after},
    numbers::{as_named, exists},
};
use crate::{
    domain::{
        Caller, Document,
        document::{
            Act, HistoryEntry, Key, TITLE_MAX, Verb, key::Named, line, person, table::legal_verbs,
        },
    },
    error::{Error, Reason, Result, all},
    store::{CHANGED, Change, Known, Remember, Tx},
};

/// A write that another was quicker than is tried again so often.
const ATTEMPTS: u32 = 5;
/// Versions of a number that are looked at for the next one.
const VERSIONS_READ: u64 = 10_000;

impl Documents {
    /// Begins a document, as a DRAFT of `actor`.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]; [`Error::Invalid`] naming the field.
    pub async fn create(
        &self,
        who: &Caller,
        actor: &str,
        new: NewDocument,
        validate_only: bool,
        remember: Option<Remember<'_, Document>>,
    ) -> Result<Document> {
        let new = self.spelt_new(new).await?;
        let texts = Texts::read(
            actor,
            &new.title,
            &new.document_type,
            &new.reviewer,
            &new.approver,
        );
        let supersedes = self.superseded(&new.key, new.supersedes.as_ref()).await;
        let mut tx = self.store().begin().await?;
        let depends = self
            .depend_soundly(&mut tx, &new.key.number, &new.depends_on, None)
            .await;
        let (supersedes, texts, depends) = all((supersedes, texts, depends))?;
        let Texts {
            author,
            title,
            document_type,
            reviewer,
            approver,
        } = texts;
        let document = Document {
            title,
            document_type,
            reviewer,
            approver,
            supersedes,
            depends_on: depends.numbers,
            ..draft(new.key, author, tx.now())
        };
        if validate_only {
            return match self.store().document(&as_named(&document.key)).await {
                Ok(_) => Err(exists(&document.key)),
                Err(Error::NotFound { .. }) => Ok(document),
                Err(error) => Err(error),
            };
        }
        self.begin_draft(&mut tx, who, &document, Verb::Create, String::new())
            .await?;
        tx.keep(who, remember, &document).await?;
        tx.commit().await?;
        Ok(document)
    }

    /// Begins the next version of a document that is EFFECTIVE, as a DRAFT of `actor`.
    ///
    /// # Errors
    /// [`Error::Conflict`] `ILLEGAL_TRANSITION` or `VERSION_OPEN`.
    pub async fn create_version(
        &self,
        who: &Caller,
        named: &Named,
        actor: &str,
        next: NextVersion,
        remember: Option<Remember<'_, Document>>,
    ) -> Result<Document> {
        let title = match next.title.trim() {
            "" => Ok(None),
            title => line("title", title, 1, TITLE_MAX).map(Some),
        };
        let (author, title) = all((person("actor", actor), title))?;
        let base = match named.version {
            Some(_) => self.store().document(named).await?,
            None => match self.store().document_in_force(&named.number).await? {
                Some(in_force) => in_force,
                None => self.store().document(named).await?,
            },
        };
        let mut tx = self.store().begin().await?;
        // Of two who begin the next version, one waits here, and then sees the other's.
        let locked = tx.documents_locked(&[base.id]).await?;
        let base = locked.into_iter().next().unwrap_or(base);
        if !legal_verbs(base.status).contains(&Verb::CreateVersion) {
            let message = format!(
                "{} is {}; a new version is made of one that is EFFECTIVE",
                base.key,
                base.status.shouted()
            );
            return Err(Error::conflict(
                Reason::IllegalTransition,
                base.resource_name(),
                message,
            ));
        }
        let versions = self
            .store()
            .document_versions(&base.key.number, VERSIONS_READ)
            .await?;
        let newer = |document: &&Document| base.key.version < document.key.version;
        if let Some(open) = versions
            .iter()
            .filter(newer)
            .find(|document| !document.status.is_final())
        {
            let message = format!(
                "{} is {} already: end it first, by approval or by terminating it",
                open.key,
                open.status.shouted()
            );
            return Err(Error::conflict(
                Reason::VersionOpen,
                open.resource_name(),
                message,
            ));
        }
        let version = version_after(
            base.key.version,
            versions.iter().map(|document| document.key.version),
            next.major,
        )?;
        let title = title.unwrap_or_else(|| base.title.clone());
        let key = Key {
            number: base.key.number.clone(),
            version,
        };
        let document = Document {
            title,
            document_type: base.document_type.clone(),
            supersedes: Some(base.key.clone()),
            depends_on: base.depends_on.clone(),
            ..draft(key, author, tx.now())
        };
        self.begin_draft(&mut tx, who, &document, Verb::CreateVersion, next.reason)
            .await?;
        tx.keep(who, remember, &document).await?;
        tx.commit().await?;
        Ok(document)
    }

    /// Moves a document; without a version, the newest. What it takes the place of moves with it.
    ///
    /// # Errors
    /// As the table says: see [`crate::domain::document::act::act`]. [`Error::Aborted`] where it is no longer as
    /// `etag` says.
    pub async fn act(
        &self,
        who: &Caller,
        named: &Named,
        actor: &str,
        verb: Act,
        etag: &str,
        mut remember: Option<Remember<'_, Document>>,
    ) -> Result<Document> {
        let by = By {
            actor: person("actor", actor)?,
            principal: who.principal.clone(),
            run: String::new(),
        };
        let mut attempt = 1;
        loop {
            let found = self.store().document(named).await?;
            let known = Known {
                id: found.id,
                key: found.key,
            };
            let mut tx = self.store().begin().await?;
            let mut locked = match self.lock(&mut tx, std::slice::from_ref(&known)).await {
                Err(Error::Aborted {
                    reason: CHANGED, ..
                }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    continue;
                }
                locked => locked?,
            };
            let now = tx.now();
            if let Some(document) = locked.document(known.id) {
                expect_etag(document, etag)?;
            }
            if verb.verb() == Verb::ScheduleObsolescence {
                let numbers = [known.key.number.clone()];
                locked.read_dependants(&mut tx, &numbers).await?;
            }
            if verb.verb() == Verb::Approve {
                let wanted = std::slice::from_ref(&known);
                locked.read_stranded(&mut tx, wanted).await?;
            }
            let changes = locked.moved(self, known.id, &verb, &by, now)?;
            let Some(after) = changes.last().map(|change| change.document.clone()) else {
                return Err(Error::internal("a move without a change"));
            };
            match tx.documents_update(changes).await {
                Err(Error::Aborted {
                    reason: CHANGED, ..
                }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    continue;
                }
                written => written?,
            }
            tx.keep(who, remember.take(), &after).await?;
            tx.commit().await?;
            return Ok(after);
        }
    }

    async fn begin_draft(
        &self,
        tx: &mut Tx,
        who: &Caller,
        document: &Document,
        verb: Verb,
        comment: String,
    ) -> Result<()> {
        let entry = HistoryEntry {
            revision: document.revision,
            at: document.created_at,
            verb,
            from: None,
            to: document.status,
            actor: document.author.clone(),
            principal: who.principal.clone(),
            comment,
            run: String::new(),
        };
        let new = Change {
            document: document.clone(),
            entry,
        };
        match tx.documents_insert(vec![new], &[]).await?.as_slice() {
            [] => Ok(()),
            _ => Err(self.taken(&document.key).await?),
        }
    }

    /// The version that a new document supersedes: the one that is named, or the newest lower one.
    async fn superseded(&self, key: &Key, named: Option<&Named>) -> Result<Option<Key>> {
        let field = "document.supersedes";
        if let Some(named) = named {
            let found = self
                .store()
                .document(named)
                .await
                .map_err(|error| match error {
                    Error::NotFound { .. } => Error::invalid(field, format!("{error}")),
                    other => other,
                })?;
            if found.key.number == key.number && key.version <= found.key.version {
                let what = format!("{} is no lower version than {key}", found.key);
                return Err(Error::invalid(field, what));
            }
            return Ok(Some(found.key));
        }
        let versions = self
            .store()
            .document_versions(&key.number, VERSIONS_READ)
            .await?;
        let lower = versions.into_iter().map(|document| document.key);
        Ok(lower.filter(|other| other.version < key.version).max())
    }
}
