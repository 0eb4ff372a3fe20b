//! The verbs that create, correct and move documents. Days are as they were typed: the server knows
//! the organisation's calendar.

use clap::{Args, Subcommand};

use crate::name::{DocumentName, DocumentVersion};

/// What creates or moves a document.
#[derive(Debug, Subcommand)]
pub(crate) enum DocumentVerb {
    /// Creates a document.
    #[command(
        after_help = "Examples:\n  bellctl document create SOP-2026-0001 --title 'Cleaning of vessels' --type SOP --reviewer grace\n  bellctl document create SOP-2026-0001 --title 'Cleaning of vessels' --version 2.0 --validate-only"
    )]
    Create(CreateDocumentArgs),
    /// Creates the next version of an effective document.
    #[command(
        after_help = "Example:\n  bellctl document new-version SOP-2026-0001 --major --reason 'new vessels'"
    )]
    NewVersion(NewVersionArgs),
    /// Corrects a draft: its title, type, people and what it depends on. The author's.
    #[command(
        after_help = "Examples:\n  bellctl document update SOP-2026-0001 --title 'Cleaning of vessels' --reviewer grace\n  bellctl document update SOP-2026-0001 --approver '' --depends-on POL-1 --depends-on POL-2\n\nWhat is not named stays. An empty name takes reviewer, approver or type away."
    )]
    Update(UpdateDocumentArgs),
    /// Hands a draft in for review. The author's.
    #[command(after_help = "Example:\n  bellctl document submit SOP-2026-0001 --reviewer grace")]
    Submit(SubmitArgs),
    /// Begins a review. The reviewer's.
    #[command(after_help = "Example:\n  bellctl document start-review SOP-2026-0001 --as grace")]
    StartReview(VerbArgs),
    /// Ends a review well. The reviewer's.
    #[command(
        after_help = "Example:\n  bellctl document pass-review SOP-2026-0001 --comment 'complete and clear'"
    )]
    PassReview(CommentedArgs),
    /// Sends a document back to its author. The reviewer's, later the approver's.
    #[command(
        after_help = "Example:\n  bellctl document reject SOP-2026-0001 --comment 'step 4 is missing'"
    )]
    Reject(CommentedArgs),
    /// Asks for approval of what was reviewed. The author's.
    #[command(
        after_help = "Example:\n  bellctl document request-approval SOP-2026-0001 --approver alan"
    )]
    RequestApproval(RequestApprovalArgs),
    /// Begins an approval. The approver's.
    #[command(after_help = "Example:\n  bellctl document start-approval SOP-2026-0001 --as alan")]
    StartApproval(VerbArgs),
    /// Approves a document; it becomes effective on its day. The approver's.
    #[command(
        after_help = "Example:\n  bellctl document approve SOP-2026-0001 --effective 2026-03-01\n  bellctl document approve SOP-2026-0001 --effective today+30\n  bellctl document approve SOP-2026-0001 --effective 2026-02-27 --backdated 'signed on paper that day'"
    )]
    Approve(ApproveArgs),
    /// Takes an approval back before its day. The approver's.
    #[command(
        after_help = "Example:\n  bellctl document withdraw SOP-2026-0001 --comment 'the vessels came late'"
    )]
    Withdraw(CommentedArgs),
    /// Says when an effective document becomes obsolete. The approver's.
    #[command(
        after_help = "Example:\n  bellctl document schedule-obsolescence SOP-2026-0001 --on 2026-12-31 --reason 'no such vessels'"
    )]
    ScheduleObsolescence(ScheduleArgs),
    /// Takes that back. The approver's.
    #[command(
        after_help = "Example:\n  bellctl document cancel-obsolescence SOP-2026-0001 --reason 'still needed'"
    )]
    CancelObsolescence(ReasonedArgs),
    /// Ends work on a document that was not approved. The author's.
    #[command(
        after_help = "Example:\n  bellctl document terminate SOP-2026-0001 --reason 'not needed'"
    )]
    Terminate(ReasonedArgs),
}

/// A document, and how sure the caller is of it.
#[derive(Args, Debug)]
pub(crate) struct VerbArgs {
    /// The document.
    pub(crate) name: DocumentName,
    /// Only if the document is still the one with this etag.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) etag: String,
}

/// Flags of `document create`.
#[derive(Args, Debug)]
pub(crate) struct CreateDocumentArgs {
    /// Its number, such as SOP-2026-0001.
    pub(crate) number: String,
    /// Its title.
    #[arg(long)]
    pub(crate) title: String,
    /// Such as SOP or Policy.
    #[arg(
        long = "type",
        id = "type",
        value_name = "TYPE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) document_type: String,
    /// Its version. Default: 1.0.
    #[arg(long)]
    pub(crate) version: Option<DocumentVersion>,
    /// Who is to review it.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) reviewer: String,
    /// Who is to approve it.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) approver: String,
    /// The version that it supersedes once it is effective. Default: the newest lower one of its number.
    #[arg(long, value_name = "DOCUMENT")]
    pub(crate) supersedes: Option<DocumentName>,
    /// The number of a document that it depends on. May be repeated.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) depends_on: Vec<String>,
    /// Check, and change nothing.
    #[arg(long)]
    pub(crate) validate_only: bool,
}

/// Flags of `document new-version`.
#[derive(Args, Debug)]
pub(crate) struct NewVersionArgs {
    /// The document that it follows.
    pub(crate) name: DocumentName,
    /// Count up the major version instead of the minor one.
    #[arg(long)]
    pub(crate) major: bool,
    /// Its title. Default: that of the version before.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) title: String,
    /// Why, for the history.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Flags of `document update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateDocumentArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// Its title.
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Such as SOP or Policy.
    #[arg(long = "type", id = "type", value_name = "TYPE")]
    pub(crate) document_type: Option<String>,
    /// The author from now on.
    #[arg(long, value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// The reviewer.
    #[arg(long, value_name = "NAME")]
    pub(crate) reviewer: Option<String>,
    /// The approver.
    #[arg(long, value_name = "NAME")]
    pub(crate) approver: Option<String>,
    /// The number of a document that it depends on, and on no others but those that are named so. May be repeated.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) depends_on: Vec<String>,
    /// It depends on nothing.
    #[arg(long, conflicts_with = "depends_on")]
    pub(crate) depends_on_nothing: bool,
    /// Check, and change nothing.
    #[arg(long)]
    pub(crate) validate_only: bool,
}

/// Flags of `document submit`.
#[derive(Args, Debug)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// Who is to review it, where nobody is named yet.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) reviewer: String,
}

/// Flags of `document request-approval`.
#[derive(Args, Debug)]
pub(crate) struct RequestApprovalArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// Who is to approve it, where nobody is named yet.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) approver: String,
}

/// Flags of verbs that something must be said to.
#[derive(Args, Debug)]
pub(crate) struct CommentedArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// What there is to say, for the history.
    #[arg(long)]
    pub(crate) comment: String,
}

/// Flags of verbs that need a reason.
#[derive(Args, Debug)]
pub(crate) struct ReasonedArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// Why, for the history.
    #[arg(long)]
    pub(crate) reason: String,
}

/// Flags of `document approve`.
#[derive(Args, Debug)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// The day on which it becomes effective, such as `2026-03-01`, `today` or `today+30`.
    #[arg(long, value_name = "DAY")]
    pub(crate) effective: String,
    /// Why that day is past. It becomes effective now all the same, and both are kept.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "REASON"
    )]
    pub(crate) backdated: String,
    /// It has no file, and is approved all the same.
    #[arg(long)]
    pub(crate) without_file: bool,
    /// Why others may be left depending on another number, whose place it takes.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "REASON"
    )]
    pub(crate) strand: String,
    /// What there is to say, for the history.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) comment: String,
}

/// Flags of `document schedule-obsolescence`.
#[derive(Args, Debug)]
pub(crate) struct ScheduleArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// The day on which it becomes obsolete, such as `2026-12-31` or `today+90`.
    #[arg(long, value_name = "DAY")]
    pub(crate) on: String,
    /// Why, for the history.
    #[arg(long)]
    pub(crate) reason: String,
}
