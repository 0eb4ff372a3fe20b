//! How documents are shown to people.

use watchbell_client::pb::{Content, Document, DocumentHistoryEntry, DocumentStatus};

use indicatif::HumanBytes;
use jiff::{ToSpan as _, civil::Date};

use crate::{
    label::{Labelled as _, label_of},
    name::short,
    output::Tint,
    session::Session,
    table::{Field, Table},
    text::plain,
    time::{Clock, from_proto},
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

/// The same with all who have to do with it, and the name of its file.
pub(super) fn wide_table(documents: &[Document]) -> Table {
    let mut table = Table::new(&[
        "DOCUMENT",
        "STATUS",
        "TYPE",
        "AUTHOR",
        "REVIEWER",
        "APPROVER",
        "EFFECTIVE",
        "OBSOLETE",
        "FILE",
        "TITLE",
    ]);
    for document in documents {
        let file = match &document.content {
            Some(content) if content.file_name.is_empty() => "unnamed",
            Some(content) => content.file_name.as_str(),
            None => "none",
        };
        table.row([
            short(&document.name).into(),
            status(document.status),
            (&document.document_type).into(),
            (&document.author).into(),
            (&document.reviewer).into(),
            (&document.approver).into(),
            (&document.effective_date).into(),
            (&document.obsolescence_date).into(),
            file.into(),
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
    list.entry("since", clock.dated(document.status_time.as_ref()));
    list.entry("author", &document.author);
    list.entry("reviewer", &document.reviewer);
    list.entry("approver", &document.approver);
    list.entry("effective date", &document.effective_date);
    list.entry("backdated", &document.backdated_reason);
    list.entry(
        "became effective",
        clock.dated(document.activate_time.as_ref()),
    );
    list.entry("obsolescence date", &document.obsolescence_date);
    list.entry(
        "became obsolete",
        clock.dated(document.retire_time.as_ref()),
    );
    list.entry("supersedes", short(&document.supersedes));
    list.entry(
        "supersedes nothing",
        Field::tinted(&document.supersedes_nothing, Tint::Warning),
    );
    list.entry("depends on", document.depends_on.join(", "));
    if let Some(content) = &document.content {
        list.entry("content", told(content));
        list.entry("sha256", &content.sha256);
    }
    list.entry("may now", verbs(&document.legal_verbs));
    list.entry("created", clock.dated(document.create_time.as_ref()));
    list.entry("changed", clock.dated(document.update_time.as_ref()));
    list.entry("revision", document.revision.to_string());
    list.entry("etag", &document.etag);
    list
}

/// A row for each thing that happened.
pub(super) fn history(clock: &Clock, entries: &[DocumentHistoryEntry]) -> Table {
    let mut table = Table::new(&["WHEN", "WHAT", "STATUS", "BY", "COMMENT"]);
    for entry in entries {
        table.row([
            clock.date(entry.time.as_ref()).into(),
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
        DocumentStatus::ApprovedPendingEffective => ("on", document.effective_date.clone()),
        DocumentStatus::Effective => ("since", in_force_since(&session.clock, document)),
        DocumentStatus::ScheduledForObsolescence => ("on", document.obsolescence_date.clone()),
        DocumentStatus::Unspecified
        | DocumentStatus::Draft
        | DocumentStatus::PendingReview
        | DocumentStatus::UnderReview
        | DocumentStatus::Reviewed
        | DocumentStatus::PendingApproval
        | DocumentStatus::UnderApproval
        | DocumentStatus::Superseded
        | DocumentStatus::Obsolete
        | DocumentStatus::Terminated => ("", String::new()),
    };
    if let (word, day) = day
        && !day.is_empty()
    {
        line.push_str(&format!(" {word} {}", plain(&day)));
    }
    if !document.supersedes_nothing.is_empty() {
        let nothing = format!(" (supersedes nothing: {})", document.supersedes_nothing);
        line.push_str(&plain(&nothing));
    }
    if !document.title.is_empty() {
        line.push_str(&format!(": {}", plain(&document.title)));
    }
    line
}

/// Since when it is in force: since the day for which it was approved, unless it really came later. Then both are told.
fn in_force_since(clock: &Clock, document: &Document) -> String {
    let approved = &document.effective_date;
    let Some(activated) = document.activate_time.as_ref().and_then(from_proto) else {
        return approved.clone();
    };
    let activated = activated.to_zoned(clock.zone.clone()).date();
    if !document.backdated_reason.is_empty() {
        return format!("{activated}, backdated to {approved}");
    }
    // A day may have begun in the organisation's zone and not in the reader's, or the other way round.
    match approved.parse::<Date>() {
        Ok(day) if day.checked_add(1.day()).is_ok_and(|next| next < activated) => {
            format!("{activated}, approved for {approved}")
        }
        Ok(_) => approved.clone(),
        // Where it was approved for no day, as in history that was brought in.
        Err(_) if approved.is_empty() => activated.to_string(),
        Err(_) => approved.clone(),
    }
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
    fn what_is_in_force_is_told_since_when_it_really_is() {
        let clock = Clock {
            now: "2026-03-10T12:00:00Z".parse().unwrap(),
            zone: jiff::tz::TimeZone::UTC,
        };
        let of = |approved: &str, activated: &str, reason: &str| Document {
            effective_date: approved.into(),
            activate_time: activated.parse().ok().map(crate::time::to_proto),
            backdated_reason: reason.into(),
            ..Document::default()
        };
        for (document, told) in [
            (of("2026-03-02", "2026-03-02T00:00:05Z", ""), "2026-03-02"),
            (of("2026-03-02", "2026-03-01T11:00:00Z", ""), "2026-03-02"),
            (of("2026-03-02", "2026-03-03T11:00:00Z", ""), "2026-03-02"),
            (
                of("2026-03-02", "2026-03-09T11:00:00Z", ""),
                "2026-03-09, approved for 2026-03-02",
            ),
            (
                of("2026-02-27", "2026-02-28T11:00:00Z", "on paper"),
                "2026-02-28, backdated to 2026-02-27",
            ),
            (of("2026-02-27", "", ""), "2026-02-27"),
            (of("", "", ""), ""),
        ] {
            assert_eq!(in_force_since(&clock, &document), told);
        }
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
