//! What an import sends: rows in batches, each behind the contents that it names.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use prost::Message as _;
use tokio::sync::mpsc;
use watchbell_client::{
    client::Client,
    pb::{
        BadRow, DocumentRow, ImportDocumentsRequest, ImportHeader, ImportRows, RowNote,
        import_documents_request::Message,
    },
    register::{Column, FileRow, Folder},
    transfer::{Digest, TransferError, Upload, digest},
};

use crate::{
    commands::{document_content::file_name, document_rows::Rows},
    failure::Failure,
};

/// Rows in a message.
const BATCH_ROWS: usize = 500;
/// Bytes in a message: half of what a server takes at least, for a row may come on top.
const BATCH_BYTES: usize = 1024 * 1024;
/// Files that are remembered as uploaded. One that falls out is asked for again, and not sent again.
const MOST_KNOWN: usize = 10_000;

/// What there is to tell of the feed.
pub(super) enum Event {
    /// A row that is not sent.
    Bad(BadRow),
    /// What was bent of a row to read it.
    Note(RowNote),
    /// So many rows are sent.
    Sent(u64),
}

/// Makes messages of rows.
pub(super) struct Feed {
    pub(super) client: Client,
    pub(super) actor: String,
    /// The register.
    pub(super) path: PathBuf,
    pub(super) folder: Folder,
    pub(super) dry_run: bool,
    /// How rows write days.
    pub(super) date_format: String,
    pub(super) events: mpsc::Sender<Event>,
    /// None once all is sent.
    pub(super) requests: Option<mpsc::Sender<ImportDocumentsRequest>>,
    /// What was uploaded, by its path. None: it is not, and that is right, in a dry run.
    pub(super) known: HashMap<PathBuf, Option<Digest>>,
}

/// Rows that wait for more to go with.
#[derive(Default)]
struct Batch {
    rows: Vec<DocumentRow>,
    bytes: usize,
}

impl Feed {
    /// Sends the header, then the rows. Where this fails the stream is not ended, for an end says that this
    /// was all: the call must be dropped before the feed is.
    pub(super) async fn run(
        &mut self,
        mut rows: mpsc::Receiver<io::Result<Rows>>,
    ) -> Result<(), Failure> {
        let header = ImportHeader {
            actor: self.actor.clone(),
            validate_only: self.dry_run,
            date_format: self.date_format.clone(),
        };
        self.send(Message::Header(header)).await;
        let mut batch = Batch::default();
        while let Some(read) = rows.recv().await {
            let read = read.map_err(|source| Failure::File {
                path: self.path.clone(),
                source,
            })?;
            for row in read {
                let row = match row {
                    Ok(mut row) => {
                        for note in std::mem::take(&mut row.notes) {
                            self.tell(Event::Note(note)).await;
                        }
                        self.with_content(row).await?
                    }
                    Err(bad) => Err(bad),
                };
                match row {
                    Ok(row) => {
                        if let Some(full) = batch.push(row) {
                            self.send_rows(full).await;
                        }
                    }
                    Err(bad) => self.tell(Event::Bad(bad)).await,
                }
            }
        }
        if !batch.rows.is_empty() {
            self.send_rows(batch.rows).await;
        }
        self.requests = None;
        Ok(())
    }

    async fn send_rows(&self, rows: Vec<DocumentRow>) {
        self.tell(Event::Sent(rows.len() as u64)).await;
        self.send(Message::Rows(ImportRows { rows })).await;
    }

    async fn send(&self, message: Message) {
        let message = Some(message);
        if let Some(requests) = &self.requests {
            // Nobody takes it where the server has ended the call, and that says why.
            let _ = requests.send(ImportDocumentsRequest { message }).await;
        }
    }

    async fn tell(&self, event: Event) {
        // Whoever would hear of it has gone, and the import with it.
        let _ = self.events.send(event).await;
    }

    /// The row once the server has the content that it names; a bad row where there is none to be had.
    async fn with_content(
        &mut self,
        file_row: FileRow,
    ) -> Result<Result<DocumentRow, BadRow>, Failure> {
        if file_row.content_path.is_empty() {
            return Ok(Ok(file_row.row));
        }
        let path = match self.folder.resolve(&file_row.content_path) {
            Ok(path) => path,
            Err(reason) => return Ok(Err(without_content(&file_row, reason))),
        };
        let digest = match self.uploaded(&path).await {
            Ok(digest) => digest,
            Err(error @ (TransferError::File { .. } | TransferError::Refused(_))) => {
                return Ok(Err(without_content(&file_row, told(error))));
            }
            Err(error) => return Err(Failure::from(error)),
        };
        let mut row = file_row.row;
        if let Some(digest) = digest {
            row.content_file_name = exported_name(&file_name(&path), &digest.sha256).to_owned();
            row.content_sha256 = digest.sha256;
        }
        Ok(Ok(row))
    }

    /// What the file is, once the server has it. None where a dry run leaves it out.
    async fn uploaded(&mut self, path: &Path) -> Result<Option<Digest>, TransferError> {
        if let Some(known) = self.known.get(path) {
            return Ok(known.clone());
        }
        let digest = digest(path).await?;
        let stored = self.client.known_upload(&digest).await?.complete;
        let mut known = Some(digest.clone());
        if !stored && self.dry_run {
            known = None;
        } else if !stored {
            let upload = Upload {
                path: path.to_owned(),
                file_name: exported_name(&file_name(path), &digest.sha256).to_owned(),
                digest,
                document: String::new(),
                actor: self.actor.clone(),
            };
            self.client.upload_content(&upload, &()).await?;
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(path.to_owned(), known.clone());
        Ok(known)
    }
}

impl Batch {
    /// Adds a row, and hands out those before it where they are enough.
    fn push(&mut self, row: DocumentRow) -> Option<Vec<DocumentRow>> {
        // With its tag and its length.
        let bytes = row.encoded_len() + 8;
        let full = self.rows.len() >= BATCH_ROWS || self.bytes + bytes > BATCH_BYTES;
        let out = (full && !self.rows.is_empty()).then(|| {
            self.bytes = 0;
            std::mem::take(&mut self.rows)
        });
        self.bytes += bytes;
        self.rows.push(row);
        out
    }
}

fn without_content(row: &FileRow, reason: String) -> BadRow {
    row.bad(Some(Column::ContentPath), reason)
}

/// Why a content cannot be had, with its cause.
fn told(error: TransferError) -> String {
    match error {
        TransferError::File { source, .. } => format!("cannot read it: {source}"),
        other => Failure::from(other).to_string(),
    }
}

/// The name that a content had before it was exported: an export puts the beginning of its hash before it.
fn exported_name<'a>(name: &'a str, sha256: &str) -> &'a str {
    let hash = sha256.get(..16).unwrap_or_default();
    let behind = name
        .strip_prefix(hash)
        .and_then(|rest| rest.strip_prefix('-'));
    behind.filter(|rest| !rest.is_empty()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(title: usize) -> DocumentRow {
        DocumentRow {
            title: "x".repeat(title),
            ..DocumentRow::default()
        }
    }

    #[test]
    fn batches_are_bounded_in_rows_and_in_bytes() {
        let mut batch = Batch::default();
        for _ in 0..BATCH_ROWS {
            assert_eq!(batch.push(row(1)), None);
        }
        assert_eq!(batch.push(row(1)).unwrap().len(), BATCH_ROWS);
        let mut sizes = Vec::new();
        for _ in 0..20 {
            if let Some(rows) = batch.push(row(256 * 1024)) {
                sizes.push(ImportRows { rows }.encoded_len());
            }
        }
        assert!(sizes.len() >= 5, "{sizes:?}");
        assert!(sizes.iter().all(|&size| size <= BATCH_BYTES), "{sizes:?}");
    }

    #[test]
    fn an_exported_content_gets_its_name_back() {
        let hash = "0123456789abcdef0123";
        assert_eq!(exported_name("0123456789abcdef-a.pdf", hash), "a.pdf");
        assert_eq!(
            exported_name("0123456789abcdee-a.pdf", hash),
            "0123456789abcdee-a.pdf"
        );
        assert_eq!(exported_name("a.pdf", hash), "a.pdf");
    }
}
