//! How documents are shown to people.

use watchbell_client::pb::{Content, Document, DocumentHistoryEntry, DocumentStatus};

use indicatif::HumanBytes;

use crate::{
    label::{Labelled as _, label_of},
    name::short,
    output::Tint,
    session::Session,
    table::{Field, Table},
    text::plain,
    time::Clock,
};

/// A row for each document.
pub(super) fn table(documents: &[Document]) -> Table {
    let mut table = Table::new(&[
        "DOCUMENT",
        "STATUS",
        "TYPE",
        "AUTHOR",
        "EFFECTIVE",
        "OBSOLETE",
        "TITLE",
    ]);
    for document in documents {
        table.row([
            short(&document.name).into(),
            status(document.status),
            (&document.document_type).into(),
            (&document.author).into(),
            (&document.effective_date).into(),
            (&document.obsolescence_date).into(),
            (&document.title).into(),
        ]);
    }
    table
}

/// All of a document.
pub(super) fn list(clock: &Clock, document: &Document) -> Table {
    let mut list = Table::list();
    list.entry("document", &document.name);
    list.entry("title", &document.title);
    list.entry("type", &document.document_type);
    list.entry("status", status(document.status));
    list.entry("since", clock.show(document.status_time.as_ref()));
    list.entry("author", &document.author);
    list.entry("reviewer", &document.reviewer);
    list.entry("approver", &document.approver);
    list.entry("effective date", &document.effective_date);
    list.entry(
        "became effective",
        clock.show(document.activate_time.as_ref()),
    );
    list.entry("obsolescence date", &document.obsolescence_date);
    list.entry("became obsolete", clock.show(document.retire_time.as_ref()));
    list.entry("supersedes", short(&document.supersedes));
    list.entry("depends on", document.depends_on.join(", "));
    if let Some(content) = &document.content {
        list.entry("content", told(content));
        list.entry("sha256", &content.sha256);
    }
    list.entry("may now", verbs(&document.legal_verbs));
    list.entry("created", clock.show(document.create_time.as_ref()));
    list.entry("changed", clock.show(document.update_time.as_ref()));
    list.entry("revision", document.revision.to_string());
    list.entry("etag", &document.etag);
    list
}

/// A row for each thing that happened.
pub(super) fn history(clock: &Clock, entries: &[DocumentHistoryEntry]) -> Table {
    let mut table = Table::new(&["WHEN", "WHAT", "STATUS", "BY", "COMMENT"]);
    for entry in entries {
        table.row([
            clock.show(entry.time.as_ref()).into(),
            entry.verb.replace('_', "-").into(),
            moved(entry).into(),
            by(entry).into(),
            (&entry.comment).into(),
        ]);
    }
    table
}

/// Such as `SOP-2026-0001@1.0 effective since 2026-03-01: Cleaning of vessels`.
pub(super) fn one_line(session: &Session, document: &Document) -> String {
    let status = status(document.status);
    let mut line = format!(
        "{} {}",
        plain(short(&document.name)),
        session.output.paint(status.text(), status.tint())
    );
    let day = match document.status() {
        DocumentStatus::ApprovedPendingEffective => ("on", &document.effective_date),
        DocumentStatus::Effective => ("since", &document.effective_date),
        DocumentStatus::ScheduledForObsolescence => ("on", &document.obsolescence_date),
        DocumentStatus::Unspecified
        | DocumentStatus::Draft
        | DocumentStatus::PendingReview
        | DocumentStatus::UnderReview
        | DocumentStatus::Reviewed
        | DocumentStatus::PendingApproval
        | DocumentStatus::UnderApproval
        | DocumentStatus::Superseded
        | DocumentStatus::Obsolete
        | DocumentStatus::Terminated => ("", &String::new()),
    };
    if let (word, day) = day
        && !day.is_empty()
    {
        line.push_str(&format!(" {word} {}", plain(day)));
    }
    if !document.title.is_empty() {
        line.push_str(&format!(": {}", plain(&document.title)));
    }
    line
}

/// Such as `cleaning.pdf, 1.20 MiB`.
pub(super) fn told(content: &Content) -> String {
    let size = HumanBytes(u64::try_from(content.size).unwrap_or_default());
    if content.file_name.is_empty() {
        return size.to_string();
    }
    format!("{}, {size}", content.file_name)
}

/// A status that this build does not know is not taken for another.
fn status(number: i32) -> Field {
    let tint = match DocumentStatus::try_from(number) {
        Ok(DocumentStatus::Effective) => Tint::Good,
        Ok(DocumentStatus::ApprovedPendingEffective | DocumentStatus::ScheduledForObsolescence) => {
            Tint::Warning
        }
        Ok(DocumentStatus::Superseded | DocumentStatus::Obsolete | DocumentStatus::Terminated) => {
            Tint::Faint
        }
        Ok(
            DocumentStatus::Unspecified
            | DocumentStatus::Draft
            | DocumentStatus::PendingReview
            | DocumentStatus::UnderReview
            | DocumentStatus::Reviewed
            | DocumentStatus::PendingApproval
            | DocumentStatus::UnderApproval,
        )
        | Err(_) => Tint::Plain,
    };
    Field::tinted(label_of::<DocumentStatus>(number), tint)
}

/// As the commands are called.
fn verbs(legal: &[String]) -> String {
    legal.join(", ").replace('_', "-")
}

fn moved(entry: &DocumentHistoryEntry) -> String {
    let to = label_of::<DocumentStatus>(entry.to_status);
    if entry.from_status == entry.to_status || entry.from_status() == DocumentStatus::Unspecified {
        return to.to_owned();
    }
    format!("{} → {to}", entry.from_status().label())
}

/// Who did it, and for a run, which.
fn by(entry: &DocumentHistoryEntry) -> String {
    if entry.run.is_empty() {
        return entry.actor.clone();
    }
    format!("{} ({})", entry.actor, crate::name::short_run(&entry.run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_tells_moves_and_what_left_the_status_alone() {
        let mut entry = DocumentHistoryEntry {
            from_status: DocumentStatus::Draft.into(),
            to_status: DocumentStatus::PendingReview.into(),
            ..DocumentHistoryEntry::default()
        };
        assert_eq!(moved(&entry), "draft → pending-review");
        entry.to_status = DocumentStatus::Draft.into();
        assert_eq!(moved(&entry), "draft");
        entry.from_status = 0;
        assert_eq!(moved(&entry), "draft");
    }

    #[test]
    fn a_content_is_told_by_name_and_size() {
        let mut content = Content {
            size: 2048,
            file_name: "a.pdf".into(),
            ..Content::default()
        };
        assert_eq!(told(&content), "a.pdf, 2.00 KiB");
        content.file_name.clear();
        assert_eq!(told(&content), "2.00 KiB");
    }
}
