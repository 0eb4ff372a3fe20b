//! Documents.

use super::time::{stamp, stamp_of};
use crate::{
    domain::{
        Document,
        document::{Content, DocumentStatus, HistoryEntry, Number, Verb, table::legal_verbs},
    },
    pb,
};

/// A document with what may be done with it.
pub(in crate::api) fn document(document: &Document) -> pb::Document {
    let verbs = legal_verbs(document.status).into_iter();
    pb::Document {
        legal_verbs: verbs.map(|verb| verb.as_str().to_owned()).collect(),
        ..document_basic(document)
    }
}

/// A document as lists and watches show it.
pub(in crate::api) fn document_basic(document: &Document) -> pb::Document {
    let day = |day: Option<jiff::civil::Date>| day.map_or_else(String::new, |day| day.to_string());
    pb::Document {
        name: document.resource_name(),
        number: document.key.number.to_string(),
        version_major: document.key.version.major,
        version_minor: document.key.version.minor,
        title: document.title.clone(),
        document_type: document.document_type.clone(),
        status: status(document.status).into(),
        author: document.author.clone(),
        reviewer: document.reviewer.clone(),
        approver: document.approver.clone(),
        effective_date: day(document.effective_date),
        activate_time: stamp_of(document.activated_at),
        obsolescence_date: day(document.obsolescence_date),
        retire_time: stamp_of(document.retired_at),
        supersedes: document
            .supersedes
            .as_ref()
            .map_or_else(String::new, |key| key.resource_name()),
        depends_on: document.depends_on.iter().map(Number::to_string).collect(),
        content: document.content.as_ref().map(content),
        create_time: Some(stamp(document.created_at)),
        update_time: Some(stamp(document.updated_at)),
        status_time: Some(stamp(document.status_at)),
        revision: document.revision,
        etag: document.etag(),
        legal_verbs: Vec::new(),
        backdated_reason: document.backdated_reason.clone(),
        supersedes_nothing: document.supersedes_nothing.clone(),
    }
}

pub(in crate::api) fn content(content: &Content) -> pb::Content {
    pb::Content {
        sha256: content.sha256.clone(),
        size: content.size,
        file_name: content.file_name.clone(),
    }
}

pub(in crate::api) fn history_entry(entry: &HistoryEntry) -> pb::DocumentHistoryEntry {
    let from = entry.from.map_or(pb::DocumentStatus::Unspecified, status);
    pb::DocumentHistoryEntry {
        revision: entry.revision,
        time: Some(stamp(entry.at)),
        verb: Verb::as_str(entry.verb).to_owned(),
        from_status: from.into(),
        to_status: status(entry.to).into(),
        actor: entry.actor.clone(),
        principal: entry.principal.clone(),
        comment: entry.comment.clone(),
        run: entry.run.clone(),
    }
}

fn status(status: DocumentStatus) -> pb::DocumentStatus {
    match status {
        DocumentStatus::Draft => pb::DocumentStatus::Draft,
        DocumentStatus::PendingReview => pb::DocumentStatus::PendingReview,
        DocumentStatus::UnderReview => pb::DocumentStatus::UnderReview,
        DocumentStatus::Reviewed => pb::DocumentStatus::Reviewed,
        DocumentStatus::PendingApproval => pb::DocumentStatus::PendingApproval,
        DocumentStatus::UnderApproval => pb::DocumentStatus::UnderApproval,
        DocumentStatus::ApprovedPendingEffective => pb::DocumentStatus::ApprovedPendingEffective,
        DocumentStatus::Effective => pb::DocumentStatus::Effective,
        DocumentStatus::ScheduledForObsolescence => pb::DocumentStatus::ScheduledForObsolescence,
        DocumentStatus::Superseded => pb::DocumentStatus::Superseded,
        DocumentStatus::Obsolete => pb::DocumentStatus::Obsolete,
        DocumentStatus::Terminated => pb::DocumentStatus::Terminated,
    }
}

/// A status from outside; none where it says nothing.
pub(in crate::api) fn document_status_from(value: i32) -> Option<DocumentStatus> {
    let wanted = pb::DocumentStatus::try_from(value).ok()?;
    DocumentStatus::ALL
        .iter()
        .copied()
        .find(|known| status(*known) == wanted)
}
