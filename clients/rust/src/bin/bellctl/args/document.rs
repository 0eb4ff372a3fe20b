//! `bellctl document`.

use std::{env, path::PathBuf};

use clap::{Args, Subcommand};
use watchbell_client::pb::DocumentStatus;

use super::{
    PageArgs,
    document_verbs::DocumentVerb,
    register::{ExportArgs, ImportArgs},
};
use crate::{label::choice, name::DocumentName};

/// Commands about documents. A document is `NUMBER@1.0`, or `NUMBER` for its newest version.
#[derive(Args, Debug)]
pub(crate) struct DocumentArgs {
    /// Who does it. Default: you, by $USER or $LOGNAME.
    #[arg(
        long = "as",
        id = "actor",
        global = true,
        env = "WATCHBELL_ACTOR",
        value_name = "NAME"
    )]
    actor: Option<String>,
    #[command(subcommand)]
    pub(crate) command: DocumentCommand,
}

/// What to do about documents.
#[derive(Debug, Subcommand)]
pub(crate) enum DocumentCommand {
    /// Lists documents by number and version, or by the date that is asked for.
    #[command(
        after_help = "Examples:\n  bellctl document list --status effective --type SOP\n  bellctl document list --number 'SOP-2026-*' --effective-since 2026-03-01 --all\n  bellctl document list --reviewer grace --status pending-review --wide\n  bellctl document list --effective-since today --effective-before today+30\n\nA DAY is one such as 2026-03-01, or today, tomorrow, yesterday, today+30 or today-7 by the organisation's calendar."
    )]
    List(ListDocumentsArgs),
    /// Shows a document, and what has happened to it.
    #[command(
        after_help = "Examples:\n  bellctl document show SOP-2026-0001\n  bellctl document show SOP-2026-0001@1.0 --all-history"
    )]
    Show(ShowDocumentArgs),
    #[command(flatten)]
    Verb(DocumentVerb),
    /// Gives a file to a draft. What broke off goes on where it stopped.
    #[command(after_help = "Example:\n  bellctl document upload SOP-2026-0001 cleaning.pdf")]
    Upload(UploadArgs),
    /// Fetches the content of a document, and checks it.
    #[command(
        after_help = "Examples:\n  bellctl document download SOP-2026-0001\n  bellctl document download SOP-2026-0001@1.0 cleaning.pdf --force\n  bellctl document download SOP-2026-0001 - | sha256sum"
    )]
    Download(DownloadArgs),
    /// Follows documents until it is interrupted.
    #[command(
        after_help = "Examples:\n  bellctl document watch\n  bellctl document watch SOP-2026-0001 --output json | jq .event.type"
    )]
    Watch(WatchDocumentsArgs),
    /// Brings a register in: good rows are kept, and bad ones told.
    #[command(
        after_help = "Examples:\n  bellctl document import register.csv --dry-run\n  bellctl document import register.csv\n  bellctl document import Register.csv --map Nummer=number --map Titel=title --date-format 31.12.2026\n\nColumns: number and title; document_type, version_major, version_minor, status, author, reviewer,\napprover, effective_date, obsolescence_date, supersedes, depends_on and content_path where wanted.\nWhat spreadsheets write is taken as it is: semicolons or tabs, Windows-1252 or UTF-16, a title above\nthe header. How a file was taken is told, and what was bent to read it.\nA content_path is relative to the folder of FILE, and stays in it. Rows that are there already change\nnothing. Exits with 11 where rows were refused, and with 7 where FILE is no register."
    )]
    Import(ImportArgs),
    /// Writes all documents as a register. To import it changes nothing.
    #[command(
        after_help = "Examples:\n  bellctl document export register.csv\n  bellctl document export backup/register.csv --content\n  bellctl document export --form jsonl | jq -r .number\n  bellctl document export register.csv --for excel"
    )]
    Export(ExportArgs),
}

/// Flags of `document list`.
#[derive(Args, Debug)]
pub(crate) struct ListDocumentsArgs {
    /// Only documents in this status. May be repeated.
    #[arg(long, value_parser = choice::<DocumentStatus>())]
    pub(crate) status: Vec<DocumentStatus>,
    /// Only this number, or with `*` at its end, numbers that begin so.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) number: String,
    /// Only documents of this type.
    #[arg(
        long = "type",
        id = "type",
        value_name = "TYPE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) document_type: String,
    /// Only documents of this author.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) author: String,
    /// Only documents of this reviewer.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) reviewer: String,
    /// Only documents of this approver.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) approver: String,
    /// Only with an effective date on this day or later, such as `2026-03-01` or `today-7`.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "DAY"
    )]
    pub(crate) effective_since: String,
    /// Only with an effective date before this day.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "DAY"
    )]
    pub(crate) effective_before: String,
    /// Only with an obsolescence date on this day or later.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "DAY"
    )]
    pub(crate) obsolescence_since: String,
    /// Only with an obsolescence date before this day.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "DAY"
    )]
    pub(crate) obsolescence_before: String,
    /// With reviewer, approver and the file's name in columns of their own.
    #[arg(long)]
    pub(crate) wide: bool,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Flags of `document show`.
#[derive(Args, Debug)]
pub(crate) struct ShowDocumentArgs {
    /// The document.
    pub(crate) name: DocumentName,
    /// How much of its history, newest first.
    #[arg(
        long,
        default_value_t = 20,
        value_name = "COUNT",
        conflicts_with = "all_history"
    )]
    history: u32,
    /// All of its history.
    #[arg(long)]
    all_history: bool,
}

/// Flags of `document upload`.
#[derive(Args, Debug)]
pub(crate) struct UploadArgs {
    /// The draft.
    pub(crate) name: DocumentName,
    /// What is in it.
    pub(crate) file: PathBuf,
}

/// Flags of `document download`.
#[derive(Args, Debug)]
pub(crate) struct DownloadArgs {
    /// The document.
    pub(crate) name: DocumentName,
    /// Where to write it; `-`: standard output. Default: here, under the name it was uploaded with, as far as that is a
    /// file's and hides none.
    pub(crate) file: Option<PathBuf>,
    /// Overwrite the file where there is one.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Flags of `document watch`.
#[derive(Args, Debug)]
pub(crate) struct WatchDocumentsArgs {
    /// Only this number, all versions.
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) number: String,
    /// Only what comes, not how things are.
    #[arg(long)]
    pub(crate) skip_snapshot: bool,
    /// First all documents, also those in force and those that are no more; not only what is under way.
    #[arg(long, conflicts_with = "skip_snapshot")]
    pub(crate) all: bool,
    /// Where to go on: `resumeToken` of a message in JSON.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TOKEN"
    )]
    pub(crate) resume_token: String,
}

impl DocumentArgs {
    /// Who does it, where that is known. A variable that is set to nothing is as if it were not there.
    pub(crate) fn actor(&self) -> Option<String> {
        let user = ["USER", "LOGNAME"]
            .into_iter()
            .map(|name| env::var(name).ok());
        let mut said = std::iter::once(self.actor.clone()).chain(user).flatten();
        said.find(|name| !name.is_empty())
    }
}

impl ShowDocumentArgs {
    /// At most so many entries of the history.
    pub(crate) fn history(&self) -> usize {
        if self.all_history {
            return usize::MAX;
        }
        self.history as usize
    }
}
