//! What a document's history says of a move.

use super::{Act, Document, Facts, guards::named};

impl Act {
    /// What the history says of it, once it has led from `before` to `after`.
    pub fn said(&self, before: &Document, after: &Document, facts: &Facts) -> String {
        match self {
            Self::Update(_) => super::correction::differences(before, after).join("; "),
            Self::PassReview { comment }
            | Self::Reject { comment }
            | Self::Withdraw { comment } => comment.trim().to_owned(),
            Self::CancelObsolescence { reason } | Self::Terminate { reason } => {
                reason.trim().to_owned()
            }
            Self::Approve {
                effective_date,
                comment,
                backdated_reason,
                strand_reason,
                ..
            } => {
                let mut what = vec![format!("effective on {effective_date}")];
                if !backdated_reason.trim().is_empty() {
                    what.push(format!("backdated ({})", backdated_reason.trim()));
                }
                if before.content.is_none() {
                    what.push("without a file".to_owned());
                }
                what.extend(left_behind(before, facts, strand_reason.trim()));
                what.extend(nothing(after));
                with(what.join(", "), comment)
            }
            Self::Activate => {
                let what: Vec<String> = left_behind(before, facts, "")
                    .into_iter()
                    .chain(nothing(after))
                    .collect();
                what.join(", ")
            }
            Self::ScheduleObsolescence {
                obsolescence_date,
                reason,
            } => with(format!("obsolete on {obsolescence_date}"), reason),
            Self::Supersede { by } => format!("by {by}"),
            Self::Submit { .. }
            | Self::StartReview
            | Self::RequestApproval { .. }
            | Self::StartApproval
            | Self::Retire => String::new(),
        }
    }
}

fn with(what: String, comment: &str) -> String {
    match comment.trim() {
        "" => what,
        comment => format!("{what}: {comment}"),
    }
}

/// Who is left depending on a number that goes.
fn left_behind(before: &Document, facts: &Facts, reason: &str) -> Option<String> {
    let gone = before.supersedes.as_ref()?;
    if facts.stranded.count <= 0 {
        return None;
    }
    let left = format!("leaves {} without {}", named(&facts.stranded), gone.number);
    Some(match reason {
        "" => left,
        reason => format!("{left} ({reason})"),
    })
}

fn nothing(after: &Document) -> Option<String> {
    match after.supersedes_nothing.as_str() {
        "" => None,
        what => Some(format!("supersedes nothing: {what}")),
    }
}
