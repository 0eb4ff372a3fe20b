//! The one table of how documents move. Every path consults it: calls, tasks and imports.

use super::DocumentStatus::{self, *};
use crate::domain::text::text_enum;

text_enum! {
    /// What is done to a document.
    Verb {
        Create = "create",
        CreateVersion = "create_version",
        Import = "import",
        AttachContent = "attach_content",
        Submit = "submit",
        StartReview = "start_review",
        PassReview = "pass_review",
        Reject = "reject",
        RequestApproval = "request_approval",
        StartApproval = "start_approval",
        Approve = "approve",
        Activate = "activate",
        Withdraw = "withdraw",
        ScheduleObsolescence = "schedule_obsolescence",
        CancelObsolescence = "cancel_obsolescence",
        Retire = "retire",
        Supersede = "supersede",
        Terminate = "terminate",
        Update = "update",
    }
}

text_enum! {
    /// Who may do it.
    Role {
        Author = "author",
        Reviewer = "reviewer",
        Approver = "approver",
        /// The server itself, for a task or for another document's sake.
        System = "system",
    }
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub from: &'static [DocumentStatus],
    pub verb: Verb,
    pub who: Role,
    /// Where it leads; to which of several, the verb decides.
    pub to: &'static [DocumentStatus],
    /// What else it takes, for people.
    pub needs: &'static str,
}

const fn line(
    from: &'static [DocumentStatus],
    verb: Verb,
    who: Role,
    to: &'static [DocumentStatus],
    needs: &'static str,
) -> Line {
    Line {
        from,
        verb,
        who,
        to,
        needs,
    }
}

/// How documents move. What is not in it is illegal.
pub const TABLE: &[Line] = &[
    line(
        &[Draft],
        Verb::Update,
        Role::Author,
        &[Draft],
        "what is corrected: title, type, people, what it depends on",
    ),
    line(
        &[Draft],
        Verb::Submit,
        Role::Author,
        &[PendingReview],
        "a reviewer",
    ),
    line(
        &[PendingReview],
        Verb::StartReview,
        Role::Reviewer,
        &[UnderReview],
        "",
    ),
    line(
        &[UnderReview],
        Verb::PassReview,
        Role::Reviewer,
        &[Reviewed],
        "a comment",
    ),
    line(
        &[PendingReview, UnderReview],
        Verb::Reject,
        Role::Reviewer,
        &[Draft],
        "a comment; clears the reviewer",
    ),
    line(
        &[Reviewed],
        Verb::RequestApproval,
        Role::Author,
        &[PendingApproval],
        "an approver",
    ),
    line(
        &[PendingApproval],
        Verb::StartApproval,
        Role::Approver,
        &[UnderApproval],
        "",
    ),
    line(
        &[PendingApproval, UnderApproval],
        Verb::Approve,
        Role::Approver,
        &[Effective, ApprovedPendingEffective],
        "an effective date, today or later; a content; a reason for a day that is past, and for leaving dependants behind",
    ),
    line(
        &[PendingApproval, UnderApproval],
        Verb::Reject,
        Role::Approver,
        &[Draft],
        "a comment; clears reviewer and approver",
    ),
    line(
        &[ApprovedPendingEffective],
        Verb::Activate,
        Role::System,
        &[Effective],
        "its day; what it supersedes becomes SUPERSEDED",
    ),
    line(
        &[ApprovedPendingEffective],
        Verb::Withdraw,
        Role::Approver,
        &[Draft],
        "a comment",
    ),
    line(
        &[Effective],
        Verb::ScheduleObsolescence,
        Role::Approver,
        &[ScheduledForObsolescence],
        "a reason, a day to come, and no active dependants",
    ),
    line(
        &[ScheduledForObsolescence],
        Verb::CancelObsolescence,
        Role::Approver,
        &[Effective],
        "a reason",
    ),
    line(
        &[ScheduledForObsolescence],
        Verb::Retire,
        Role::System,
        &[Obsolete],
        "its day, and no active dependants",
    ),
    line(
        &[Effective, ScheduledForObsolescence],
        Verb::Supersede,
        Role::System,
        &[Superseded],
        "another one that supersedes it and becomes effective",
    ),
    line(
        &[
            Draft,
            PendingReview,
            UnderReview,
            Reviewed,
            PendingApproval,
            UnderApproval,
        ],
        Verb::Terminate,
        Role::Author,
        &[Terminated],
        "a reason",
    ),
];

/// Where documents begin.
pub const BEGINNINGS: &[Line] = &[
    line(&[], Verb::Create, Role::Author, &[Draft], ""),
    line(
        &[Effective],
        Verb::CreateVersion,
        Role::Author,
        &[Draft],
        "makes the next version, minor or major",
    ),
];

/// The line by which a verb leads out of a status, where there is one.
pub fn line_for(from: DocumentStatus, verb: Verb) -> Option<&'static Line> {
    TABLE
        .iter()
        .find(|line| line.verb == verb && line.from.contains(&from))
}

/// What people may do with a document in this status, a new version included.
pub fn legal_verbs(from: DocumentStatus) -> Vec<Verb> {
    let lines = TABLE.iter().chain(BEGINNINGS);
    let legal = lines.filter(|line| line.from.contains(&from) && line.who != Role::System);
    let mut verbs: Vec<Verb> = legal.map(|line| line.verb).collect();
    verbs.sort();
    verbs.dedup();
    verbs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_what_is_final_and_everything_out_of_what_is_not() {
        for status in DocumentStatus::ALL {
            let leads = TABLE.iter().any(|line| line.from.contains(status));
            assert_eq!(leads, !status.is_final(), "{status}");
        }
    }

    #[test]
    fn every_status_is_reached() {
        for status in DocumentStatus::ALL {
            let mut lines = TABLE.iter().chain(BEGINNINGS);
            assert!(lines.any(|line| line.to.contains(status)), "{status}");
        }
    }

    #[test]
    fn a_verb_leads_out_of_a_status_by_one_line() {
        for status in DocumentStatus::ALL {
            for verb in Verb::ALL {
                let lines = TABLE.iter();
                let lines = lines.filter(|line| line.verb == *verb && line.from.contains(status));
                assert!(lines.count() < 2, "{verb} from {status}");
            }
        }
    }
}
