//! UpdateDocument: from a document message and a mask to what is corrected of a draft.

use prost::Message as _;
use tonic::{Request, Response};

use super::{Api, Reply, convert, mask, request::Asked};
use crate::{
    domain::{
        Document,
        document::{Correction, Number, key::Named, person},
    },
    error::{Error, Result, all, each},
    pb,
};

/// Fields that an update may name.
const FIELDS: [&str; 6] = [
    "title",
    "document_type",
    "author",
    "reviewer",
    "approver",
    "depends_on",
];

impl Api {
    pub(super) async fn answer_update_document(
        &self,
        request: Request<pb::UpdateDocumentRequest>,
    ) -> Reply<pb::UpdateDocumentResponse> {
        let asked = Asked::new("UpdateDocument", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let Some(given) = &body.document else {
            return Err(Error::invalid("document", "expected a document").into());
        };
        let (named, actor, correction) = all((
            Named::resource("document.name", &given.name),
            person("actor", &body.actor),
            changed(given, body.update_mask.as_ref()).and_then(|fields| correction(given, &fields)),
        ))?;
        let answer = |document: &Document| pb::UpdateDocumentResponse {
            document: Some(convert::document(document)),
        };
        let encode = |document: &Document| answer(document).encode_to_vec();
        let done = self
            .documents
            .correct(
                &asked.who,
                &named,
                &actor,
                correction,
                (&given.etag, body.validate_only),
                asked.remember(&encode),
            )
            .await;
        asked.reply(self, done, answer).await
    }
}

/// Names of the fields that an update changes.
fn changed(
    given: &pb::Document,
    mask: Option<&prost_types::FieldMask>,
) -> Result<Vec<&'static str>> {
    if let Some(fields) = mask::meant(mask, FIELDS)? {
        return Ok(fields);
    }
    let is_there = |field: &&str| match *field {
        "title" => !given.title.is_empty(),
        "document_type" => !given.document_type.is_empty(),
        "author" => !given.author.is_empty(),
        "reviewer" => !given.reviewer.is_empty(),
        "approver" => !given.approver.is_empty(),
        _ => !given.depends_on.is_empty(),
    };
    let fields: Vec<&str> = FIELDS.into_iter().filter(is_there).collect();
    if fields.is_empty() {
        let what = format!(
            "nothing is to be changed; expected some of {}",
            FIELDS.join(", ")
        );
        return Err(Error::invalid("update_mask", what));
    }
    Ok(fields)
}

/// What is corrected, of these fields.
fn correction(given: &pb::Document, fields: &[&str]) -> Result<Correction> {
    let text = |field: &str, value: &String| fields.contains(&field).then(|| value.clone());
    let depends_on = fields.contains(&"depends_on").then(|| {
        each(given.depends_on.iter().map(|number| {
            let read: Result<Number> = number.parse();
            read.map_err(|error| error.of_field("document.depends_on"))
        }))
    });
    let correction = Correction {
        title: text("title", &given.title),
        document_type: text("document_type", &given.document_type),
        author: text("author", &given.author),
        reviewer: text("reviewer", &given.reviewer),
        approver: text("approver", &given.approver),
        depends_on: None,
    };
    let (correction, depends_on) = all((correction.checked(), depends_on.transpose()))?;
    Ok(Correction {
        depends_on,
        ..correction
    })
}
