//! A desk at which registers are brought in and taken out.

use std::collections::BTreeMap;

use tonic::{Status, Streaming};
use watchbell_client::{client::Client, pb};

use crate::support::within;

/// Rows in one message.
const ROWS: usize = 700;

/// What an import told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// By line.
    pub(crate) bad: BTreeMap<i64, pb::BadRow>,
    pub(crate) notes: Vec<pb::RowNote>,
    pub(crate) progress: Vec<pb::ImportProgress>,
    pub(crate) summary: pb::ImportSummary,
}

impl Told {
    /// Lines and fields of what is bad.
    pub(crate) fn fields(&self) -> Vec<(i64, &str)> {
        let bad = self.bad.iter();
        bad.map(|(line, row)| (*line, row.field.as_str())).collect()
    }

    /// Created, unchanged, bad.
    pub(crate) fn counts(&self) -> (i64, i64, i64) {
        let summary = &self.summary;
        (
            summary.created_count,
            summary.unchanged_count,
            summary.bad_count,
        )
    }

    pub(crate) fn reason(&self, line: i64) -> &str {
        &self.bad[&line].reason
    }
}

/// A row with what every row needs.
pub(crate) fn row(number: &str) -> pb::DocumentRow {
    pb::DocumentRow {
        number: number.to_owned(),
        title: format!("About {number}"),
        ..Default::default()
    }
}

/// `SOP-1@2.0` in a status.
pub(crate) fn version(key: &str, status: &str) -> pb::DocumentRow {
    let (number, version) = key.split_once('@').unwrap();
    let (major, minor) = version.split_once('.').unwrap();
    pb::DocumentRow {
        version_major: major.to_owned(),
        version_minor: minor.to_owned(),
        status: status.to_owned(),
        ..row(number)
    }
}

/// The lines of a file with a header: from 2 on.
pub(crate) fn lined(rows: Vec<pb::DocumentRow>) -> Vec<pb::DocumentRow> {
    let rows = (2..).zip(rows);
    rows.map(|(line, row)| pb::DocumentRow { line, ..row })
        .collect()
}

pub(crate) fn header(actor: &str, validate_only: bool) -> pb::ImportDocumentsRequest {
    begun(pb::ImportHeader {
        actor: actor.to_owned(),
        validate_only,
        ..Default::default()
    })
}

pub(crate) fn begun(header: pb::ImportHeader) -> pb::ImportDocumentsRequest {
    pb::ImportDocumentsRequest {
        message: Some(pb::import_documents_request::Message::Header(header)),
    }
}

pub(crate) fn message(rows: &[pb::DocumentRow]) -> pb::ImportDocumentsRequest {
    let rows = pb::ImportRows {
        rows: rows.to_vec(),
    };
    pb::ImportDocumentsRequest {
        message: Some(pb::import_documents_request::Message::Rows(rows)),
    }
}

pub(crate) async fn import(client: &Client, rows: Vec<pb::DocumentRow>) -> Told {
    send(client, "ann", false, rows).await.unwrap()
}

/// Rows that write days as the sample is written.
pub(crate) async fn import_dated(
    client: &Client,
    sample: &str,
    rows: Vec<pb::DocumentRow>,
) -> Result<Told, Status> {
    let header = pb::ImportHeader {
        actor: "ann".to_owned(),
        date_format: sample.to_owned(),
        ..Default::default()
    };
    let mut messages = vec![begun(header)];
    messages.extend(rows.chunks(ROWS).map(message));
    say(client, messages).await
}

pub(crate) async fn send(
    client: &Client,
    actor: &str,
    validate_only: bool,
    rows: Vec<pb::DocumentRow>,
) -> Result<Told, Status> {
    let mut messages = vec![header(actor, validate_only)];
    messages.extend(rows.chunks(ROWS).map(message));
    say(client, messages).await
}

/// Whatever messages there are to say.
pub(crate) async fn say(
    client: &Client,
    messages: Vec<pb::ImportDocumentsRequest>,
) -> Result<Told, Status> {
    let said = tokio_stream::iter(messages);
    let answers = client.documents().import_documents(said).await?;
    within("the end of an import", hear(answers.into_inner())).await
}

/// Hears an import out, and looks that what it tells agrees with itself.
pub(crate) async fn hear(
    mut answers: Streaming<pb::ImportDocumentsResponse>,
) -> Result<Told, Status> {
    use pb::import_documents_response::Message;
    let mut told = Told::default();
    let mut is_over = false;
    while let Some(answer) = answers.message().await? {
        assert!(!is_over, "something after the summary");
        match answer.message.unwrap() {
            Message::BadRow(row) => {
                let line = row.line;
                let before = told.bad.insert(line, row);
                assert_eq!(before, None, "line {line} was told twice");
            }
            Message::Note(note) => told.notes.push(note),
            Message::Progress(progress) => told.progress.push(progress),
            Message::Summary(summary) => {
                told.summary = summary;
                is_over = true;
            }
        }
    }
    assert!(is_over, "no summary");
    let summary = &told.summary;
    assert_eq!(summary.bad_count, told.bad.len() as i64);
    assert!(told.notes.len() as i64 <= summary.note_count);
    assert_eq!(
        summary.row_count,
        summary.created_count + summary.unchanged_count + summary.bad_count
    );
    assert!(
        told.progress
            .is_sorted_by_key(|progress| progress.received_count)
    );
    assert!(
        told.progress
            .is_sorted_by_key(|progress| progress.done_count)
    );
    if let Some(last) = told.progress.last() {
        assert_eq!(last.done_count, summary.row_count);
    }
    Ok(told)
}

/// All that there is, as rows.
pub(crate) async fn export(client: &Client) -> Vec<pb::DocumentRow> {
    let mut documents = client.documents();
    let answers = documents.export_documents(pb::ExportDocumentsRequest {});
    let mut answers = answers.await.unwrap().into_inner();
    let mut rows = Vec::new();
    while let Some(answer) = within("more of an export", answers.message())
        .await
        .unwrap()
    {
        assert!(prost::Message::encoded_len(&answer) < 1 << 20);
        rows.extend(answer.rows);
    }
    rows
}

/// Keys and statuses of all that there is.
pub(crate) async fn kept(client: &Client) -> Vec<(String, String)> {
    let rows = export(client).await.into_iter();
    rows.map(|row| {
        let key = format!("{}@{}.{}", row.number, row.version_major, row.version_minor);
        (key, row.status)
    })
    .collect()
}
