//! What `DocumentService` shows: documents, and what happened to them.

use tonic::Response;

use super::{Api, Reply, convert, names, page, request::each_once};
use crate::{
    domain::document::{TYPE_MAX, days::any_day, key::Named, line, person},
    error::{Error, Result, all},
    pb,
    store::{Days, DocumentFilter, ListPlace, Numbers, Page, PageOf, People},
};

impl Api {
    pub(super) async fn answer_list_documents(
        &self,
        request: pb::ListDocumentsRequest,
    ) -> Reply<pb::ListDocumentsResponse> {
        let size = page::default_size(request.page_size)?;
        let scope = page::scope(&[
            "ListDocuments",
            &format!("{:?}", request.statuses),
            &request.number,
            &request.document_type,
            &request.effective_since,
            &request.effective_before,
            &request.obsolescence_since,
            &request.obsolescence_before,
            &request.author,
            &request.reviewer,
            &request.approver,
        ]);
        let filter = filter(&request)?;
        let after = match page::key(&scope, &request.page_token)? {
            Some(key) => Some(read_place(&key)?),
            None => None,
        };
        let wanted = Page { size, after };
        let PageOf { items, next } = self.documents.store().documents(&filter, &wanted).await?;
        let mut documents: Vec<pb::Document> = items.iter().map(convert::document_basic).collect();
        let kept = page::fit(&documents);
        let next = match items.get(kept.saturating_sub(1)) {
            Some(last) if kept < documents.len() => Some(filter.place_of(last)),
            _ => next,
        };
        documents.truncate(kept);
        let token = next.map(|place| page::token(&scope, &write_place(&place)));
        Ok(Response::new(pb::ListDocumentsResponse {
            documents,
            next_page_token: token.unwrap_or_default(),
        }))
    }

    pub(super) async fn answer_get_document(
        &self,
        request: pb::GetDocumentRequest,
    ) -> Reply<pb::GetDocumentResponse> {
        let named = Named::resource("name", &request.name)?;
        let document = self.documents.store().document(&named).await?;
        Ok(Response::new(pb::GetDocumentResponse {
            document: Some(convert::document(&document)),
        }))
    }

    pub(super) async fn answer_list_document_history(
        &self,
        request: pb::ListDocumentHistoryRequest,
    ) -> Reply<pb::ListDocumentHistoryResponse> {
        let named = Named::resource("name", &request.name)?;
        let size = page::default_size(request.page_size)?;
        let store = self.documents.store();
        let document = store.document(&named).await?;
        // Of the version that was read: a newer one may come between two pages.
        let scope = page::scope(&[
            "ListDocumentHistory",
            &request.name,
            &document.id.to_string(),
        ]);
        let after = match page::key(&scope, &request.page_token)? {
            Some(key) => Some(page::read(&key)?),
            None => None,
        };
        let wanted = Page { size, after };
        let PageOf { items, next } = store.document_history(document.id, &wanted).await?;
        let mut entries: Vec<_> = items.iter().map(convert::history_entry).collect();
        let kept = page::fit(&entries);
        let next = match items.get(kept.saturating_sub(1)) {
            Some(last) if kept < entries.len() => Some(last.revision),
            _ => next,
        };
        entries.truncate(kept);
        let token = next.map(|revision| page::token(&scope, &revision.to_string()));
        Ok(Response::new(pb::ListDocumentHistoryResponse {
            entries,
            next_page_token: token.unwrap_or_default(),
        }))
    }
}

fn numbers(given: &str) -> Result<Numbers> {
    names::without_nul("number", given)?;
    Ok(match given.strip_suffix('*') {
        Some("") => Numbers::All,
        Some(prefix) => {
            // What a number begins with is itself one, but for its last letter.
            let whole = format!("{prefix}0");
            let read: Result<crate::domain::document::Number> = whole.parse();
            read.map_err(|_| {
                let what = format!("{given:?} given; expected a number, or its beginning and a *");
                Error::invalid("number", what)
            })?;
            Numbers::Prefix(prefix.to_owned())
        }
        None if given.is_empty() => Numbers::All,
        None => Numbers::One(given.parse()?),
    })
}

fn filter(request: &pb::ListDocumentsRequest) -> Result<DocumentFilter> {
    let document_type = match request.document_type.as_str() {
        "" => Ok(None),
        of => line("document_type", of, 1, TYPE_MAX).map(Some),
    };
    let days = |prefix: &str, since: &str, before: &str| {
        let read = |field: &str, text: &str| match text {
            "" => Ok(None),
            text => any_day(&format!("{prefix}_{field}"), text).map(Some),
        };
        let (since, before) = all((read("since", since), read("before", before)))?;
        let days = Days { since, before };
        match (days.since, days.before) {
            (Some(since), Some(before)) if before <= since => {
                let what = format!("expected a day after {prefix}_since, {since}");
                Err(Error::invalid(format!("{prefix}_before"), what))
            }
            _ => Ok(days),
        }
    };
    let name = |field: &str, name: &str| match name {
        "" => Ok(None),
        name => person(field, name).map(Some),
    };
    let people = all((
        name("author", &request.author),
        name("reviewer", &request.reviewer),
        name("approver", &request.approver),
    ));
    let people = people.map(|(author, reviewer, approver)| People {
        author,
        reviewer,
        approver,
    });
    let (statuses, numbers, document_type, effective, obsolescence, people) = all((
        each_once("statuses", &request.statuses, convert::document_status_from),
        numbers(&request.number),
        document_type,
        days(
            "effective",
            &request.effective_since,
            &request.effective_before,
        ),
        days(
            "obsolescence",
            &request.obsolescence_since,
            &request.obsolescence_before,
        ),
        people,
    ))?;
    Ok(DocumentFilter {
        statuses,
        numbers,
        document_type,
        people,
        effective,
        obsolescence,
    })
}

fn write_place(place: &ListPlace) -> String {
    let day = place.day.map_or_else(String::new, |day| day.to_string());
    format!("{day} {}", place.key)
}

fn read_place(text: &str) -> Result<ListPlace> {
    let (day, key) = text.split_once(' ').ok_or_else(page::damaged)?;
    let day = match day {
        "" => None,
        day => Some(page::read(day)?),
    };
    let named = Named::read("page_token", key).map_err(|_| page::damaged())?;
    let version = named.version.ok_or_else(page::damaged)?;
    let key = crate::domain::document::Key {
        number: named.number,
        version,
    };
    let place = ListPlace { day, key };
    // A day can be spelt in more ways than the one in which it was given.
    if write_place(&place) != text {
        return Err(page::damaged());
    }
    Ok(place)
}
