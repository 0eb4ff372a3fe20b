//! `bellctl document update`: corrects a draft.

use watchbell_client::{
    call::request_id,
    pb::{Document, UpdateDocumentRequest},
};

use crate::{
    args::UpdateDocumentArgs, commands::document_verbs::told, exit::Exit, failure::Failure,
    session::Session,
};

/// Corrects what the flags name, and leaves all else.
pub(super) async fn update(
    session: &Session,
    args: &UpdateDocumentArgs,
    actor: String,
) -> Result<Exit, Failure> {
    let paths = paths(args);
    if paths.is_empty() {
        return Err(Failure::Usage(
            "nothing is to be changed: say what by --title, --type, --author, --reviewer, --approver or --depends-on"
                .to_owned(),
        ));
    }
    let text = |given: &Option<String>| given.clone().unwrap_or_default();
    let document = Document {
        name: args.verb.name.clone().into_resource(),
        title: text(&args.title),
        document_type: text(&args.document_type),
        author: text(&args.author),
        reviewer: text(&args.reviewer),
        approver: text(&args.approver),
        depends_on: args.depends_on.clone(),
        etag: args.verb.etag.clone(),
        ..Document::default()
    };
    let request = UpdateDocumentRequest {
        document: Some(document),
        update_mask: Some(prost_types::FieldMask { paths }),
        actor,
        request_id: request_id(),
        validate_only: args.validate_only,
    };
    let response = session
        .ask(request, async |request| {
            session.client.documents().update_document(request).await
        })
        .await?;
    let done = if args.validate_only {
        "valid, not changed: "
    } else {
        "updated "
    };
    told(session, done, &response, response.document.as_ref())
}

/// What the flags name.
fn paths(args: &UpdateDocumentArgs) -> Vec<String> {
    let named = [
        ("title", args.title.is_some()),
        ("document_type", args.document_type.is_some()),
        ("author", args.author.is_some()),
        ("reviewer", args.reviewer.is_some()),
        ("approver", args.approver.is_some()),
        (
            "depends_on",
            !args.depends_on.is_empty() || args.depends_on_nothing,
        ),
    ];
    let named = named.into_iter().filter(|(_, is_named)| *is_named);
    named.map(|(path, _)| path.to_owned()).collect()
}
