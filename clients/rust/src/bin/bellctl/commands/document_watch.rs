//! `bellctl document watch`: follows documents.

use futures_util::{StreamExt as _, pin_mut};
use watchbell_client::pb::{Document, WatchDocumentsRequest, watch_documents_response::Message};

use crate::{
    args::{Format, WatchDocumentsArgs},
    commands::{document_view::one_line, watch::told_of_interruptions},
    exit::Exit,
    failure::Failure,
    output::{Tint, remark},
    session::Session,
    stdout::gone,
    text::plain,
    time::{from_proto, now},
};

/// Prints a line for each document under way and each change, until it is interrupted, or nobody reads it any more.
pub(super) async fn follow(session: &Session, args: &WatchDocumentsArgs) -> Result<Exit, Failure> {
    let filter = WatchDocumentsRequest {
        number: args.number.clone(),
        resume_token: args.resume_token.clone(),
        skip_snapshot: args.skip_snapshot,
        whole_snapshot: args.all,
    };
    let messages = session
        .client
        .watch_documents(filter, told_of_interruptions(session));
    let messages = messages.take_until(gone());
    pin_mut!(messages);
    while let Some(message) = messages.next().await {
        let message = message?;
        if session.output.format == Format::Json {
            session.output.json_line(&message)?;
            continue;
        }
        match &message.message {
            Some(Message::Snapshot(document)) => print(session, None, "is", document)?,
            Some(Message::Event(event)) => {
                let document = event.document.clone().unwrap_or_default();
                print(session, event.time.as_ref(), &event.r#type, &document)?;
            }
            Some(Message::SnapshotEnd(end)) if end.count == 0 => {
                let none = if args.all {
                    "there are no documents"
                } else {
                    "nothing is under way"
                };
                remark(&format!("{none}; waiting for the next change"));
            }
            Some(Message::SnapshotEnd(_) | Message::Heartbeat(_) | Message::End(_)) | None => {}
        }
    }
    Ok(Exit::Good)
}

fn print(
    session: &Session,
    time: Option<&prost_types::Timestamp>,
    what: &str,
    document: &Document,
) -> Result<(), Failure> {
    let time = time.and_then(from_proto).unwrap_or_else(now);
    let time = time.to_zoned(session.clock.zone.clone());
    let time = session.output.paint(
        &time.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Tint::Faint,
    );
    let line = one_line(session, document);
    session
        .output
        .line(&format!("{time} {:<21} {line}", plain(what)))
}
