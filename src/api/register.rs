//! Registers on the wire: imports, and exports.

use std::{pin::pin, time::Duration};

use async_stream::{stream, try_stream};
use futures_util::{Stream, StreamExt as _};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{Api, Feed, Reply, caller, deadline, status};
use crate::{
    domain::{
        Document,
        document::{bend::BendKind, row::RawRow},
        span,
    },
    error::{Error, Result},
    pb::{
        self, import_documents_request::Message as Sent,
        import_documents_response::Message as Answer,
    },
    records::{BadRow, Header, Progress, RowNote, Told},
    store::{DocumentFilter, Page},
};

/// How long an import waits for its client to send something.
const SILENT_AT_MOST: Duration = Duration::from_secs(60);
/// Rows between two words on how far it is.
const TOLD_EVERY: i64 = 500;
/// Documents that an export reads at once.
const PAGE: u64 = 500;
/// Of a message of an export, so that the whole stays below 1 MiB.
const ROWS_BYTES_MAX: usize = 1000 << 10;

impl Api {
    pub(super) async fn answer_import(
        &self,
        request: Request<Streaming<pb::ImportDocumentsRequest>>,
    ) -> Reply<Feed<pb::ImportDocumentsResponse>> {
        let who = caller(&request)?;
        let listens = deadline::for_stream(request.metadata().as_ref());
        let documents = self.documents.clone();
        let mut sent = request.into_inner();
        // Driven by whoever reads the answers: a client that does not, is not read from either.
        let feed = try_stream! {
            let Some(Sent::Header(header)) = next(&mut sent).await? else {
                Err(Error::invalid("header", "expected a header as the first message"))?;
                return;
            };
            let header = Header {
                actor: &header.actor,
                validate_only: header.validate_only,
                date_format: &header.date_format,
            };
            let mut import = documents.import(who, header).await?;
            let mut told = 0;
            while let Some(message) = next(&mut sent).await? {
                let Sent::Rows(rows) = message else {
                    Err(Error::invalid("header", "expected rows; the header comes first, and once"))?;
                    return;
                };
                let rows = rows.rows.into_iter().map(raw_row).collect();
                let taken = import.take(rows).await?;
                for note in taken.notes {
                    yield answer(Answer::Note(row_note(note)));
                }
                for row in taken.bad {
                    yield answer(Answer::BadRow(bad_row(row)));
                }
                let progress = import.progress();
                if told + TOLD_EVERY <= progress.received {
                    told = progress.received;
                    yield answer(Answer::Progress(how_far(progress)));
                }
            }
            let mut course = pin!(import.finish());
            while let Some(told) = course.next().await {
                yield answer(match told? {
                    Told::Bad(row) => Answer::BadRow(bad_row(row)),
                    Told::Progress(progress) => Answer::Progress(how_far(progress)),
                    Told::Summary(summary) => Answer::Summary(pb::ImportSummary {
                        row_count: summary.rows,
                        created_count: summary.created,
                        unchanged_count: summary.unchanged,
                        bad_count: summary.bad,
                        note_count: summary.notes,
                    }),
                });
            }
        };
        let advice = "send the file again: rows that are there already change nothing";
        Ok(Response::new(bounded(
            feed,
            self.stop.clone(),
            listens,
            advice,
        )))
    }

    pub(super) async fn answer_export(
        &self,
        request: Request<pb::ExportDocumentsRequest>,
    ) -> Reply<Feed<pb::ExportDocumentsResponse>> {
        let listens = deadline::for_stream(request.metadata().as_ref());
        let store = self.documents.store().clone();
        let feed = try_stream! {
            let filter = DocumentFilter::default();
            let mut page = Page { size: PAGE, after: None };
            loop {
                let found = store.documents(&filter, &page).await?;
                let mut rows = Vec::new();
                let mut bytes = 0;
                for row in found.items.iter().map(row_of) {
                    let size = row.encoded_len() + 8;
                    if ROWS_BYTES_MAX < bytes + size {
                        bytes = 0;
                        let rows = std::mem::take(&mut rows);
                        yield pb::ExportDocumentsResponse { rows };
                    }
                    bytes += size;
                    rows.push(row);
                }
                if !rows.is_empty() {
                    yield pb::ExportDocumentsResponse { rows };
                }
                match found.next {
                    Some(next) => page.after = Some(next),
                    None => return,
                }
            }
        };
        Ok(Response::new(bounded(
            feed,
            self.stop.clone(),
            listens,
            "send it again",
        )))
    }
}

/// A stream that ends when the server stops, or its caller has waited for as long as it would. What it was at is
/// given up then.
fn bounded<T: Send + 'static>(
    feed: impl Stream<Item = Result<T, Status>> + Send + 'static,
    stop: CancellationToken,
    listens: Duration,
    advice: &'static str,
) -> Feed<T> {
    Box::pin(stream! {
        let mut feed = pin!(feed);
        let mut over = pin!(tokio::time::sleep(listens));
        loop {
            let next = tokio::select! {
                next = feed.next() => next,
                () = stop.cancelled() => {
                    let why = format!("it is draining; {advice}");
                    Some(Err(Error::unavailable("the server", why).into()))
                }
                () = &mut over => {
                    let limit = span::format(listens);
                    Some(Err(status::too_slow(format!("not done within {limit}; {advice}"))))
                }
            };
            let Some(next) = next else { return };
            let is_last = next.is_err();
            yield next;
            if is_last {
                return;
            }
        }
    })
}

/// What an import's client sends next; none where it has sent all.
async fn next(sent: &mut Streaming<pb::ImportDocumentsRequest>) -> Result<Option<Sent>, Status> {
    let Ok(message) = tokio::time::timeout(SILENT_AT_MOST, sent.message()).await else {
        let silent = span::format(SILENT_AT_MOST);
        return Err(status::too_slow(format!("nothing came for {silent}")));
    };
    let message = message.map_err(|status| match status.code() {
        // As tonic says it of a message that is too long, and of one that is none.
        Code::OutOfRange => Error::Exhausted(format!(
            "a message of more than {} MiB; send its rows in several",
            super::REQUEST_BYTES_MAX >> 20
        ))
        .into(),
        Code::Internal => {
            Error::invalid("rows", "a message that cannot be read; text is UTF-8").into()
        }
        _ => status,
    })?;
    match message {
        None => Ok(None),
        Some(message) => message
            .message
            .map(Some)
            .ok_or_else(|| Error::invalid("message", "expected a header or rows").into()),
    }
}

fn answer(message: Answer) -> pb::ImportDocumentsResponse {
    pb::ImportDocumentsResponse {
        message: Some(message),
    }
}

fn how_far(progress: Progress) -> pb::ImportProgress {
    pb::ImportProgress {
        received_count: progress.received,
        done_count: progress.done,
    }
}

fn bad_row(row: BadRow) -> pb::BadRow {
    pb::BadRow {
        line: row.line,
        number: row.number,
        field: row.field,
        reason: row.reason,
    }
}

fn row_note(note: RowNote) -> pb::RowNote {
    let kind = match note.bend.kind {
        BendKind::Blanks => pb::RowNoteKind::Blanks,
        BendKind::Characters => pb::RowNoteKind::Characters,
        BendKind::Day => pb::RowNoteKind::Day,
    };
    pb::RowNote {
        line: note.line,
        number: note.number,
        field: note.bend.field.to_owned(),
        kind: kind.into(),
        note: note.bend.note,
    }
}

fn raw_row(row: pb::DocumentRow) -> RawRow {
    RawRow {
        line: row.line,
        number: row.number,
        title: row.title,
        document_type: row.document_type,
        version_major: row.version_major,
        version_minor: row.version_minor,
        status: row.status,
        author: row.author,
        reviewer: row.reviewer,
        approver: row.approver,
        effective_date: row.effective_date,
        obsolescence_date: row.obsolescence_date,
        supersedes: row.supersedes,
        depends_on: row.depends_on,
        content_sha256: row.content_sha256,
        content_file_name: row.content_file_name,
    }
}

fn row_of(document: &Document) -> pb::DocumentRow {
    let row = RawRow::of(document);
    pb::DocumentRow {
        line: row.line,
        number: row.number,
        title: row.title,
        document_type: row.document_type,
        version_major: row.version_major,
        version_minor: row.version_minor,
        status: row.status,
        author: row.author,
        reviewer: row.reviewer,
        approver: row.approver,
        effective_date: row.effective_date,
        obsolescence_date: row.obsolescence_date,
        supersedes: row.supersedes,
        depends_on: row.depends_on,
        content_sha256: row.content_sha256,
        content_file_name: row.content_file_name,
    }
}
