//! `bellctl document import`: brings a register in.
//!
//! Three things run side by side: a thread reads the file ([`super::document_rows`]), the stream to the server
//! is made of its rows and their contents ([`super::document_feed`]), and what the server answers is shown here.
//! What lies between them is bounded, so memory stays flat however long the file is.

use std::{collections::HashMap, future::Future};

use async_stream::stream;
use futures_util::{Stream, StreamExt as _, pin_mut};
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tonic::Status;
use watchbell_client::{
    client::Client,
    pb::{
        BadRow, ImportDocumentsRequest, ImportDocumentsResponse, ImportSummary, RowNote,
        import_documents_response::Message,
    },
    register::{Folder, Form},
};

use crate::{
    args::{FormName, Format, ImportArgs},
    commands::{
        document_feed::{Event, Feed},
        document_rows::read_ahead,
        document_sheet::{self, ROWS_SHOWN},
    },
    exit::Exit,
    failure::Failure,
    output::remark,
    progress::rows_bar,
    session::Session,
};

/// What the feed may be ahead of what is shown.
const EVENTS: usize = 64;

/// Messages that wait to be sent.
const BATCHES: usize = 2;

/// Notes of each kind that people are told, and programs.
const NOTES: i64 = 20;
const NOTES_OF_JSON: i64 = 100;

const RUN_AGAIN: &str = "run it again: rows that are there already change nothing";

/// Sends a register, and tells each row that is not kept.
pub(super) async fn import(
    session: &Session,
    args: &ImportArgs,
    actor: String,
) -> Result<Exit, Failure> {
    let path = &args.file;
    let unreadable = |source| Failure::File {
        path: path.clone(),
        source,
    };
    let form = match args
        .form
        .map(FormName::form)
        .or_else(|| Form::of_path(path))
    {
        Some(form) => form,
        None => {
            return Err(Failure::Usage(format!(
                "the suffix of {} does not tell its form: say --form csv or --form jsonl",
                path.display()
            )));
        }
    };
    let folder = Folder::of(path).map_err(unreadable)?;
    // Before anything is sent.
    let mut reader = document_sheet::open(path, form, args.hints())?;
    let file = path.display().to_string();
    if args.dry_run && session.output.format != Format::Json || !reader.dialect().is_plain() {
        document_sheet::tell(&file, reader.dialect(), &args.date_format);
    }
    let first: Vec<_> = reader.by_ref().take(ROWS_SHOWN).collect();
    if args.dry_run && session.output.format != Format::Json {
        document_sheet::show(&file, &first);
    }
    let (told, events) = mpsc::channel(EVENTS);
    let (requests, to_send) = mpsc::channel(BATCHES);
    let mut feed = Feed {
        client: session.client.clone(),
        actor,
        path: path.clone(),
        folder,
        dry_run: args.dry_run,
        date_format: args.date_format.clone(),
        events: told,
        requests: Some(requests),
        known: HashMap::new(),
    };
    let mut showing = Showing {
        session,
        bar: rows_bar(&file),
        file,
        own_bad: 0,
        own_notes: 0,
        told_notes: HashMap::new(),
        summary: None,
    };
    let answers = answers(session.client.clone(), to_send);
    let feeding = feed.run(read_ahead(first.into_iter().chain(reader)));
    showing.follow(answers, feeding, events).await?;
    showing.sum_up(args.dry_run)
}

/// What the server says. The call is a part of the stream, for a server may answer late.
fn answers(
    client: Client,
    mut requests: mpsc::Receiver<ImportDocumentsRequest>,
) -> impl Stream<Item = Result<ImportDocumentsResponse, Status>> {
    let requests = stream! {
        while let Some(request) = requests.recv().await {
            yield request;
        }
    };
    stream! {
        let mut answers = match client.documents().import_documents(requests).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                yield Err(status);
                return;
            }
        };
        while let Some(answer) = answers.next().await {
            yield answer;
        }
    }
}

/// What has been heard of an import.
struct Showing<'a> {
    session: &'a Session,
    file: String,
    bar: ProgressBar,
    /// Rows that were not even sent.
    own_bad: i64,
    /// Notes on what was read here.
    own_notes: i64,
    /// Notes that were told, of each kind.
    told_notes: HashMap<i32, i64>,
    summary: Option<ImportSummary>,
}

impl Showing<'_> {
    async fn follow(
        &mut self,
        answers: impl Stream<Item = Result<ImportDocumentsResponse, Status>>,
        feeding: impl Future<Output = Result<(), Failure>>,
        mut events: mpsc::Receiver<Event>,
    ) -> Result<(), Failure> {
        pin_mut!(answers, feeding);
        let mut fed = false;
        loop {
            tokio::select! {
                done = &mut feeding, if !fed => {
                    done?;
                    fed = true;
                }
                Some(event) = events.recv() => self.hear(event)?,
                answer = answers.next() => match answer {
                    Some(Ok(answer)) => self.answered(answer)?,
                    Some(Err(status)) => return Err(Failure::of_stream(status, RUN_AGAIN)),
                    None => break,
                },
            }
        }
        while let Ok(event) = events.try_recv() {
            self.hear(event)?;
        }
        Ok(())
    }

    fn sum_up(self, dry_run: bool) -> Result<Exit, Failure> {
        self.bar.finish_and_clear();
        let Some(summary) = self.summary else {
            let status = Status::unavailable("the server ended the import without a summary");
            return Err(Failure::of_stream(status, RUN_AGAIN));
        };
        let summary = ImportSummary {
            row_count: summary.row_count + self.own_bad,
            bad_count: summary.bad_count + self.own_bad,
            note_count: summary.note_count + self.own_notes,
            ..summary
        };
        if self.session.output.format == Format::Json {
            self.session.output.json_line(&ImportDocumentsResponse {
                message: Some(Message::Summary(summary)),
            })?;
        } else {
            let more = summary.note_count - self.told_notes.values().sum::<i64>();
            if more > 0 {
                let were = if more == 1 {
                    "field was"
                } else {
                    "fields were"
                };
                let line = format!(
                    "{}: {more} more {were} bent like these to be read",
                    self.file
                );
                remark(&line);
            }
            self.session.output.line(&sentence(&summary, dry_run))?;
        }
        if summary.bad_count > 0 {
            return Ok(Exit::RowsRefused);
        }
        Ok(Exit::Good)
    }

    fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Bad(bad) => {
                self.own_bad += 1;
                self.bad(bad)
            }
            Event::Note(note) => {
                self.own_notes += 1;
                self.note(note)
            }
            Event::Sent(rows) => {
                self.bar.inc_length(rows);
                Ok(())
            }
        }
    }

    fn answered(&mut self, answer: ImportDocumentsResponse) -> Result<(), Failure> {
        match answer.message {
            Some(Message::Progress(progress)) => {
                let done = u64::try_from(progress.done_count).unwrap_or_default();
                self.bar.set_position(done);
            }
            Some(Message::BadRow(bad)) => self.bad(bad)?,
            Some(Message::Note(note)) => self.note(note)?,
            Some(Message::Summary(summary)) => self.summary = Some(summary),
            None => {}
        }
        Ok(())
    }

    /// Tells what was bent of a row: of each kind so much that what else there is can still be seen.
    fn note(&mut self, note: RowNote) -> Result<(), Failure> {
        let is_json = self.session.output.format == Format::Json;
        let most = if is_json { NOTES_OF_JSON } else { NOTES };
        let told = self.told_notes.entry(note.kind).or_default();
        if *told == most {
            return Ok(());
        }
        *told += 1;
        if is_json {
            return self.session.output.json_line(&ImportDocumentsResponse {
                message: Some(Message::Note(note)),
            });
        }
        let line = format!(
            "{}:{}: {}: read {}",
            self.file, note.line, note.field, note.note
        );
        self.bar.suspend(|| remark(&line));
        Ok(())
    }

    fn bad(&self, bad: BadRow) -> Result<(), Failure> {
        if self.session.output.format == Format::Json {
            return self.session.output.json_line(&ImportDocumentsResponse {
                message: Some(Message::BadRow(bad)),
            });
        }
        let field = match bad.field.as_str() {
            "" => String::new(),
            field => format!("{field}: "),
        };
        let line = format!("{}:{}: {field}{}", self.file, bad.line, bad.reason);
        self.bar.suspend(|| remark(&line));
        Ok(())
    }
}

/// Such as `created 120, unchanged 3, bad 2 of 125 rows`.
fn sentence(summary: &ImportSummary, dry_run: bool) -> String {
    let created = if dry_run { "would create" } else { "created" };
    format!(
        "{created} {}, unchanged {}, bad {} of {} rows",
        summary.created_count, summary.unchanged_count, summary.bad_count, summary.row_count
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_claims_nothing() {
        let summary = ImportSummary {
            row_count: 125,
            created_count: 120,
            unchanged_count: 3,
            bad_count: 2,
            note_count: 0,
        };
        assert_eq!(
            sentence(&summary, false),
            "created 120, unchanged 3, bad 2 of 125 rows"
        );
        assert!(sentence(&summary, true).starts_with("would create 120,"));
    }
}
