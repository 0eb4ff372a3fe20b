//! How a document moves: by the table's line, by who may, and by what else it takes. Nothing else moves one.

use jiff::{Timestamp, civil::Date};

use super::{
    Document, DocumentStatus, Key, REMARK_MAX, Version,
    correction::Correction,
    guards::{approvable, is_due, no_dependants, takes_force},
    line as text_line, person,
    rules::{Dependants, separated},
    same_person,
    table::{Line, Role, Verb, legal_verbs, line_for},
};
use crate::error::{Error, Reason, Result, Wrong, all};

/// Who does what the server does by itself.
pub const SYSTEM: &str = "system";

/// A verb with what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// What it does not name stays.
    Update(Correction),
    /// Empty: the reviewer that is set.
    Submit {
        reviewer: String,
    },
    StartReview,
    PassReview {
        comment: String,
    },
    Reject {
        comment: String,
    },
    /// Empty: the approver that is set.
    RequestApproval {
        approver: String,
    },
    StartApproval,
    Approve {
        effective_date: Date,
        comment: String,
        /// Why the day is past; empty where it is not.
        backdated_reason: String,
        /// It may be without content.
        without_content: bool,
        /// Why others may be left depending on a number that goes; empty: they may not.
        strand_reason: String,
    },
    Activate,
    Withdraw {
        comment: String,
    },
    ScheduleObsolescence {
        obsolescence_date: Date,
        reason: String,
    },
    CancelObsolescence {
        reason: String,
    },
    Retire,
    Supersede {
        by: Key,
    },
    Terminate {
        reason: String,
    },
}

/// What must be known besides the document.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Of this one's number.
    pub dependants: Dependants,
    /// The version of this number that is in force.
    pub in_force: Option<Version>,
    /// Whether documents of its type have a content.
    pub takes_content: bool,
    /// Of another number, which goes with what this one supersedes.
    pub stranded: Dependants,
    /// What this one supersedes by name, where that is not in force, and where it stands; none where it is no more.
    pub not_in_force: Option<(Key, Option<DocumentStatus>)>,
}

impl Facts {
    /// What it supersedes by name without taking its place, and where that stands; empty where it takes it.
    fn supersedes_nothing(&self) -> String {
        match &self.not_in_force {
            Some((key, Some(status))) => format!("{key} is {}", status.shouted()),
            Some((key, None)) => format!("{key} is there no more"),
            None => String::new(),
        }
    }
}

impl Act {
    pub fn verb(&self) -> Verb {
        match self {
            Self::Update(_) => Verb::Update,
            Self::Submit { .. } => Verb::Submit,
            Self::StartReview => Verb::StartReview,
            Self::PassReview { .. } => Verb::PassReview,
            Self::Reject { .. } => Verb::Reject,
            Self::RequestApproval { .. } => Verb::RequestApproval,
            Self::StartApproval => Verb::StartApproval,
            Self::Approve { .. } => Verb::Approve,
            Self::Activate => Verb::Activate,
            Self::Withdraw { .. } => Verb::Withdraw,
            Self::ScheduleObsolescence { .. } => Verb::ScheduleObsolescence,
            Self::CancelObsolescence { .. } => Verb::CancelObsolescence,
            Self::Retire => Verb::Retire,
            Self::Supersede { .. } => Verb::Supersede,
            Self::Terminate { .. } => Verb::Terminate,
        }
    }

    /// Checks its texts by themselves.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field.
    pub fn check_texts(&self) -> Result<()> {
        let optional = |role: &str, name: &str| match name.trim() {
            "" => Ok(()),
            name => person(role, name).map(drop),
        };
        match self {
            Self::Update(correction) => correction.checked().map(drop),
            Self::Submit { reviewer } => optional("reviewer", reviewer),
            Self::RequestApproval { approver } => optional("approver", approver),
            Self::PassReview { comment }
            | Self::Reject { comment }
            | Self::Withdraw { comment } => remark("comment", comment, 1).map(drop),
            Self::Approve {
                comment,
                backdated_reason,
                strand_reason,
                ..
            } => all((
                remark("comment", comment, 0),
                remark("backdated_reason", backdated_reason, 0),
                remark("strand_reason", strand_reason, 0),
            ))
            .map(drop),
            Self::ScheduleObsolescence { reason, .. }
            | Self::CancelObsolescence { reason }
            | Self::Terminate { reason } => remark("reason", reason, 1).map(drop),
            Self::StartReview
            | Self::StartApproval
            | Self::Activate
            | Self::Retire
            | Self::Supersede { .. } => Ok(()),
        }
    }
}

/// The document after it. `today` is the organisation's day at `now`.
///
/// # Errors
/// [`Error::Conflict`] `ILLEGAL_TRANSITION` with the legal verbs, `NOT_DUE`, `HAS_DEPENDANTS`, `NO_CONTENT` or
/// `NEWER_IN_FORCE`; [`Error::Denied`] where someone else may; [`Error::Invalid`] naming the field.
pub fn act(
    before: &Document,
    act: &Act,
    actor: &str,
    facts: &Facts,
    (today, now): (Date, Timestamp),
) -> Result<Document> {
    let line = line_for(before.status, act.verb()).ok_or_else(|| illegal(before, act.verb()))?;
    let mut after = before.clone();
    let actor = allowed(&mut after, line, actor)?;
    let status = match act {
        Act::Update(correction) => {
            correction.checked()?.correct(&mut after);
            DocumentStatus::Draft
        }
        Act::Submit { reviewer } => {
            after.reviewer = named("reviewer", reviewer, &before.reviewer)?;
            DocumentStatus::PendingReview
        }
        Act::StartReview => DocumentStatus::UnderReview,
        Act::PassReview { comment } => {
            remark("comment", comment, 1)?;
            DocumentStatus::Reviewed
        }
        Act::Reject { comment } | Act::Withdraw { comment } => {
            remark("comment", comment, 1)?;
            match (act, line.who) {
                (Act::Withdraw { .. }, _) => {
                    after.effective_date = None;
                    after.supersedes_nothing.clear();
                }
                (_, Role::Reviewer) => after.reviewer.clear(),
                _ => {
                    after.reviewer.clear();
                    after.approver.clear();
                }
            }
            DocumentStatus::Draft
        }
        Act::RequestApproval { approver } => {
            after.approver = named("approver", approver, &before.approver)?;
            DocumentStatus::PendingApproval
        }
        Act::StartApproval => DocumentStatus::UnderApproval,
        Act::Approve {
            effective_date,
            backdated_reason,
            ..
        } => {
            act.check_texts()?;
            approvable(before, act, facts, today)?;
            after.effective_date = Some(*effective_date);
            backdated_reason
                .trim()
                .clone_into(&mut after.backdated_reason);
            after.supersedes_nothing = facts.supersedes_nothing();
            if *effective_date <= today {
                takes_force(before, facts)?;
                after.activated_at = Some(now);
                DocumentStatus::Effective
            } else {
                DocumentStatus::ApprovedPendingEffective
            }
        }
        Act::Activate => {
            // Neither a content nor dependants hinder it: that was for its approval to see to.
            is_due(before, before.effective_date, today, "effective")?;
            takes_force(before, facts)?;
            after.activated_at = Some(now);
            after.supersedes_nothing = facts.supersedes_nothing();
            DocumentStatus::Effective
        }
        Act::ScheduleObsolescence {
            obsolescence_date,
            reason,
        } => {
            let is_to_come = match *obsolescence_date <= today {
                true => {
                    let what =
                        format!("{obsolescence_date} given; expected a day after today, {today}");
                    Err(Error::invalid("obsolescence_date", what))
                }
                false => Ok(()),
            };
            all((is_to_come, remark("reason", reason, 1)))?;
            no_dependants(before, facts)?;
            after.obsolescence_date = Some(*obsolescence_date);
            DocumentStatus::ScheduledForObsolescence
        }
        Act::CancelObsolescence { reason } => {
            remark("reason", reason, 1)?;
            after.obsolescence_date = None;
            DocumentStatus::Effective
        }
        Act::Retire => {
            is_due(before, before.obsolescence_date, today, "obsolete")?;
            no_dependants(before, facts)?;
            after.retired_at = Some(now);
            DocumentStatus::Obsolete
        }
        Act::Supersede { .. } => DocumentStatus::Superseded,
        Act::Terminate { reason } => {
            remark("reason", reason, 1)?;
            DocumentStatus::Terminated
        }
    };
    debug_assert!(line.to.contains(&status), "{line:?} leads to {status}");
    let separated = separate(&after, actor);
    if let Act::Update(_) = act {
        separated.map_err(|error| error.below("document"))?;
        hands_over(before, &after, actor)?;
    } else {
        separated?;
    }
    if status != before.status {
        after.status_at = now;
    }
    after.status = status;
    after.updated_at = now;
    after.revision += 1;
    Ok(after)
}

fn illegal(document: &Document, verb: Verb) -> Error {
    let status = document.status.shouted();
    let legal: Vec<&str> = legal_verbs(document.status)
        .into_iter()
        .map(Verb::as_str)
        .collect();
    let legal = match legal.as_slice() {
        [] => "nothing leads out of it".to_owned(),
        legal => format!("legal now: {}", legal.join(", ")),
    };
    let message = format!(
        "{} is {status}, from which {verb} does not lead; {legal}",
        document.key
    );
    Error::conflict(Reason::IllegalTransition, document.resource_name(), message)
}

/// Lets the line's role act. One that nobody has, as in imported history, goes to whoever acts.
fn allowed<'a>(after: &mut Document, line: &Line, actor: &'a str) -> Result<&'a str> {
    let (role, holder) = match line.who {
        Role::System => return Ok(SYSTEM),
        Role::Author => ("author", &mut after.author),
        Role::Reviewer => ("reviewer", &mut after.reviewer),
        Role::Approver => ("approver", &mut after.approver),
    };
    if holder.is_empty() {
        actor.clone_into(holder);
    }
    if same_person(holder, actor) {
        return Ok(actor);
    }
    let message = format!("only its {role}, {holder}, may {} {}", line.verb, after.key);
    Err(Error::Denied(message))
}

/// What holds of people after it: those who are named differ, and nobody acts in two roles.
fn separate(after: &Document, actor: &str) -> Result<()> {
    let is_actor = |wrong: &Wrong| {
        let of = match wrong.field.as_str() {
            "reviewer" => &after.reviewer,
            _ => &after.approver,
        };
        same_person(of, actor)
    };
    separated(&after.author, &after.reviewer, &after.approver).map_err(|error| {
        match error.wrong().into_iter().find(is_actor) {
            // Nobody was named in this call: it is the actor who may not.
            Some(wrong) if actor != SYSTEM => Error::Denied(wrong.reason),
            _ => error,
        }
    })
}

/// Who gives a draft to another author has written it all the same, and neither reviews nor approves it.
fn hands_over(before: &Document, after: &Document, actor: &str) -> Result<()> {
    if same_person(&before.author, &after.author) {
        return Ok(());
    }
    for (role, person) in [("reviewer", &after.reviewer), ("approver", &after.approver)] {
        if same_person(person, actor) {
            let what = format!("{person} has written it until now; expected someone else");
            return Err(Error::invalid(format!("document.{role}"), what));
        }
    }
    Ok(())
}

fn named(role: &str, given: &str, set: &str) -> Result<String> {
    let name = if given.trim().is_empty() { set } else { given };
    person(role, name)
}

/// What somebody says of a move, of at least so many characters.
///
/// # Errors
/// [`Error::Invalid`] for the field.
pub fn remark(field: &str, text: &str, least: usize) -> Result<String> {
    text_line(field, text, least, REMARK_MAX)
}

#[cfg(test)]
#[path = "act_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "approval_tests.rs"]
mod approval_tests;
