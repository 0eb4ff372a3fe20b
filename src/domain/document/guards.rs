//! What must hold before a document moves, beside the table's line: its day, what depends on it, and what is in it.

use jiff::civil::Date;

use super::{Act, Document, Facts, Key, rules::Dependants};
use crate::error::{Error, Reason, Result};

/// Whether it may be approved so: for a day that is not past, with a content, and leaving nobody behind; or as the
/// request says that it is meant.
pub(super) fn approvable(before: &Document, act: &Act, facts: &Facts, today: Date) -> Result<()> {
    let Act::Approve {
        effective_date,
        backdated_reason,
        without_content,
        strand_reason,
        ..
    } = act
    else {
        return Ok(());
    };
    not_backdated(*effective_date, backdated_reason, today)?;
    if before.content.is_none() && facts.takes_content && !without_content {
        let message = format!(
            "{} has no file: reject it, so that its author can upload one; or approve it without_content \
             (bellctl: --without-file)",
            before.key
        );
        return Err(Error::conflict(
            Reason::NoContent,
            before.resource_name(),
            message,
        ));
    }
    if 0 < facts.stranded.count && strand_reason.trim().is_empty() {
        let gone = before.supersedes.as_ref().unwrap_or(&before.key);
        let message = format!(
            "{} takes the place of {gone}, on which {} depend: take {} from what they depend on by new versions; or \
             give a strand_reason (bellctl: --strand REASON)",
            before.key,
            named(&facts.stranded),
            gone.number
        );
        return Err(Error::conflict(
            Reason::HasDependants,
            before.resource_name(),
            message,
        ));
    }
    Ok(())
}

fn not_backdated(day: Date, reason: &str, today: Date) -> Result<()> {
    match (day < today, reason.trim().is_empty()) {
        (true, true) => {
            let what = format!(
                "{day} given, and today is {today}; expected today or a later day, or why it is past in \
                 backdated_reason (bellctl: --backdated REASON)"
            );
            Err(Error::invalid("effective_date", what))
        }
        (false, false) => {
            let what = format!("given, though {day} is not past: today is {today}; expected none");
            Err(Error::invalid("backdated_reason", what))
        }
        (true, false) | (false, true) => Ok(()),
    }
}

pub(super) fn is_due(
    document: &Document,
    day: Option<Date>,
    today: Date,
    what: &str,
) -> Result<()> {
    match day {
        Some(day) if day <= today => Ok(()),
        Some(day) => {
            let message = format!(
                "{} becomes {what} on {day}, and today is {today}",
                document.key
            );
            Err(Error::conflict(
                Reason::NotDue,
                document.resource_name(),
                message,
            ))
        }
        None => {
            let message = format!("{} has no day on which it becomes {what}", document.key);
            Err(Error::conflict(
                Reason::NotDue,
                document.resource_name(),
                message,
            ))
        }
    }
}

/// An older version takes no newer one's place.
pub(super) fn takes_force(document: &Document, facts: &Facts) -> Result<()> {
    match facts.in_force {
        Some(version) if document.key.version < version => {
            let message = format!(
                "{} cannot become effective: the newer version {version} is in force",
                document.key
            );
            Err(Error::conflict(
                Reason::NewerInForce,
                document.resource_name(),
                message,
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn no_dependants(document: &Document, facts: &Facts) -> Result<()> {
    if facts.dependants.count <= 0 {
        return Ok(());
    }
    let message = format!(
        "{} depend on {}: end them first, or take it from what they depend on by a new version",
        named(&facts.dependants),
        document.key.number
    );
    Err(Error::conflict(
        Reason::HasDependants,
        document.resource_name(),
        message,
    ))
}

/// Some of them, and how many more there are.
pub(super) fn named(dependants: &Dependants) -> String {
    let Dependants { count, named } = dependants;
    let mut names: Vec<String> = named.iter().map(Key::to_string).collect();
    let others = usize::try_from(*count)
        .unwrap_or(usize::MAX)
        .saturating_sub(names.len());
    if 0 < others {
        names.push(format!("{others} more"));
    }
    names.join(", ")
}
