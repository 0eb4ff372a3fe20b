//! `bellctl document`: shows documents; its other commands have files of their own.

use watchbell_client::pb::{
    DocumentHistoryEntry, GetDocumentRequest, ListDocumentHistoryRequest, ListDocumentsRequest,
};

use crate::{
    args::{DocumentArgs, DocumentCommand, Format, ListDocumentsArgs, ShowDocumentArgs},
    commands::{
        day::day, document_content, document_export, document_import, document_page,
        document_verbs, document_view, document_watch,
    },
    exit::Exit,
    failure::Failure,
    output::remark,
    session::{LARGEST_PAGE, Session, pages, tell_more, tell_none},
};

/// Does one of the commands.
pub(super) async fn run(session: &Session, args: &DocumentArgs) -> Result<Exit, Failure> {
    match &args.command {
        DocumentCommand::List(args) => list(session, args).await,
        DocumentCommand::Show(args) => show(session, args).await,
        DocumentCommand::Watch(args) => document_watch::follow(session, args).await,
        DocumentCommand::Download(args) => document_content::download(session, args).await,
        DocumentCommand::Export(args) => document_export::export(session, args).await,
        DocumentCommand::Upload(upload) => {
            document_content::upload(session, upload, actor(args)?).await
        }
        DocumentCommand::Import(import) => {
            document_import::import(session, import, actor(args)?).await
        }
        DocumentCommand::Verb(verb) => document_verbs::run(session, verb, actor(args)?).await,
    }
}

/// Who does it: a document's history has no anonymous entries.
fn actor(args: &DocumentArgs) -> Result<String, Failure> {
    args.actor().ok_or_else(|| {
        Failure::Usage(
            "who does it is not known: say it with --as NAME or WATCHBELL_ACTOR".to_owned(),
        )
    })
}

async fn list(session: &Session, args: &ListDocumentsArgs) -> Result<Exit, Failure> {
    let request = ListDocumentsRequest {
        page_size: args.page.bite(),
        page_token: String::new(),
        statuses: args.status.iter().map(|&status| status.into()).collect(),
        number: args.number.clone(),
        document_type: args.document_type.clone(),
        effective_since: day(session, &args.effective_since).await?,
        effective_before: day(session, &args.effective_before).await?,
        obsolescence_since: day(session, &args.obsolescence_since).await?,
        obsolescence_before: day(session, &args.obsolescence_before).await?,
        author: args.author.clone(),
        reviewer: args.reviewer.clone(),
        approver: args.approver.clone(),
    };
    let first = args.page.page_token.clone();
    let (documents, next) = pages(args.page.all, first, async |page_token| {
        let request = ListDocumentsRequest {
            page_token,
            ..request.clone()
        };
        let response = session
            .ask(request, async |request| {
                session.client.documents().list_documents(request).await
            })
            .await?;
        Ok((response.documents, response.next_page_token))
    })
    .await?;
    if session.output.format == Format::Json {
        session.output.json_list("documents", &documents, &next)?;
        return Ok(Exit::Good);
    }
    if session.output.format == Format::Html {
        let page = document_page::page(&session.clock, args, &documents, !next.is_empty());
        session.output.line(&page)?;
        return Ok(Exit::Good);
    }
    if documents.is_empty() {
        tell_none(session, "no documents", &next)?;
    } else {
        let table = match args.wide {
            true => document_view::wide_table(&documents),
            false => document_view::table(&documents),
        };
        session.output.table(table)?;
        tell_more(&next);
    }
    Ok(Exit::Good)
}

async fn show(session: &Session, args: &ShowDocumentArgs) -> Result<Exit, Failure> {
    let request = GetDocumentRequest {
        name: args.name.clone().into_resource(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.documents().get_document(request).await
        })
        .await?;
    let document = response.document.clone().unwrap_or_default();
    let (entries, more) = history(session, &document.name, args.history()).await?;
    if session.output.format == Format::Json {
        session
            .output
            .json_with_list(&response, "history", &entries)?;
        return Ok(Exit::Good);
    }
    session
        .output
        .table(document_view::list(&session.clock, &document))?;
    if !entries.is_empty() {
        session.output.line("")?;
        session
            .output
            .table(document_view::history(&session.clock, &entries))?;
    }
    if more && !entries.is_empty() {
        remark("there is more history: --all-history shows it");
    }
    Ok(Exit::Good)
}

/// The newest entries, at most so many, and whether there are more.
async fn history(
    session: &Session,
    name: &str,
    at_most: usize,
) -> Result<(Vec<DocumentHistoryEntry>, bool), Failure> {
    let mut entries = Vec::new();
    let mut page_token = String::new();
    while entries.len() < at_most {
        let left = at_most - entries.len();
        let request = ListDocumentHistoryRequest {
            name: name.to_owned(),
            page_size: i32::try_from(left)
                .unwrap_or(LARGEST_PAGE)
                .min(LARGEST_PAGE),
            page_token: page_token.clone(),
        };
        let response = session
            .ask(request, async |request| {
                session
                    .client
                    .documents()
                    .list_document_history(request)
                    .await
            })
            .await?;
        entries.extend(response.entries);
        let next = response.next_page_token;
        // A server that hands out the same token again would keep us here for ever.
        if next.is_empty() || next == page_token {
            return Ok((entries, false));
        }
        page_token = next;
    }
    entries.truncate(at_most);
    Ok((entries, true))
}
