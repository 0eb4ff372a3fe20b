//! `WatchDocuments`.

use async_stream::try_stream;
use futures_util::Stream;
use prost::Message as _;

use super::{
    Api, Feed, Shared, convert,
    convert::time,
    deadline::Listens,
    watch::{Envelope, News, SNAPSHOT_MAX, Start, feed, too_many},
    watch_token::Tokens,
};
use crate::{
    domain::{Document, Event, document::Number},
    error::{Error, Result, Thing},
    pb,
    pb::watch_documents_response::Message,
    store::{DocumentFilter, Page, Store},
};

/// Documents of a whole snapshot that are read at once.
const PAGE: u64 = 500;

impl Envelope for pb::WatchDocumentsResponse {
    type Item = Document;

    fn snapshot(document: Document) -> Self {
        of(Message::Snapshot(convert::document_basic(&document)))
    }

    fn snapshot_end(count: i64) -> Self {
        of(Message::SnapshotEnd(pb::SnapshotEnd { count }))
    }

    fn heartbeat(heartbeat: pb::Heartbeat) -> Self {
        of(Message::Heartbeat(heartbeat))
    }

    fn end(end: pb::StreamEnd) -> Self {
        of(Message::End(end))
    }

    fn at(self, resume_token: String) -> Self {
        Self {
            resume_token,
            ..self
        }
    }
}

impl Api {
    pub(super) async fn watch_documents_feed(
        &self,
        request: pb::WatchDocumentsRequest,
        listens: Listens,
    ) -> Result<Feed<Shared<pb::WatchDocumentsResponse>>> {
        let number = match request.number.as_str() {
            "" => None,
            number => {
                let number = number.parse::<Number>()?;
                let spelt = self.engine.store().spelling(&number).await?;
                Some(spelt.unwrap_or(number))
            }
        };
        let whole = request.whole_snapshot && number.is_none();
        let mut scope = vec!["WatchDocuments", &request.number];
        scope.extend(whole.then_some("whole"));
        let tokens = Tokens::of(self, &scope);
        let start = self
            .watch_start(&tokens, &request.resume_token, request.skip_snapshot)
            .await?;
        let (first, from) = match start {
            Start::After(from) => (None, from),
            // All documents are read in pages, while they are sent.
            Start::Snapshot(from) if whole => (Some(Vec::new()), from),
            Start::Snapshot(from) => (Some(self.documents_now(number.as_ref()).await?), from),
        };
        let rest = self.engine.store().clone();
        let snapshot = first.map(|first| pages(first, whole.then_some(rest)));
        let course = self.watch_course(tokens, from, listens);
        Ok(feed(course, snapshot, None, move |event| {
            let document = event.document()?;
            let wanted = number
                .as_ref()
                .is_none_or(|number| *number == document.key.number);
            wanted.then(|| News {
                message: event.told(|| told(event, &document)),
                is_last: false,
            })
        }))
    }

    async fn documents_now(&self, number: Option<&Number>) -> Result<Vec<Document>> {
        let store = self.engine.store();
        let documents = match number {
            Some(number) => {
                let versions = store.document_versions(number, SNAPSHOT_MAX).await?;
                if versions.is_empty() {
                    return Err(Error::not_found(Thing::Document, number));
                }
                versions
            }
            None => store.documents_under_way(SNAPSHOT_MAX).await?,
        };
        if SNAPSHOT_MAX <= documents.len() as u64 {
            let advice = "watch one number, or set whole_snapshot or skip_snapshot";
            return Err(too_many("documents are under way", advice));
        }
        Ok(documents)
    }
}

/// Pages of a snapshot: what was read already, then every document of `all`. The log tells what changes meanwhile.
fn pages(
    first: Vec<Document>,
    all: Option<Store>,
) -> impl Stream<Item = Result<Vec<Document>>> + Send {
    try_stream! {
        yield first;
        let Some(store) = all else { return };
        let filter = DocumentFilter::default();
        let mut after = None;
        loop {
            let page = store.documents(&filter, &Page { size: PAGE, after }).await?;
            yield page.items;
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }
}

fn told(event: &Event, document: &Document) -> Vec<u8> {
    let told = pb::DocumentEvent {
        sequence: event.sequence,
        time: Some(time::stamp(event.at)),
        r#type: event.told_as().to_owned(),
        document: Some(convert::document_basic(document)),
    };
    of(Message::Event(told)).encode_to_vec()
}

fn of(message: Message) -> pb::WatchDocumentsResponse {
    pb::WatchDocumentsResponse {
        message: Some(message),
        resume_token: String::new(),
    }
}
