//! The commands, a file for each noun. A command asks, and shows the answer; what it needs to decide
//! stands in functions without a server, which tests call.

mod agenda;
mod backup;
mod backup_evidence;
mod backup_files;
mod backup_keep;
mod backup_losses;
mod backup_policy;
mod backup_restore;
mod backup_show;
mod clock;
mod completions;
mod day;
mod document;
mod document_content;
mod document_export;
mod document_feed;
mod document_import;
mod document_page;
mod document_rows;
mod document_sheet;
mod document_update;
mod document_verbs;
mod document_view;
mod document_watch;
mod logs;
mod pause;
mod run;
mod run_view;
mod schedule;
mod server;
mod status;
mod status_watch;
mod task;
mod task_edit;
mod task_flags;
mod task_history;
mod task_spec;
mod task_view;
mod wait;
mod watch;

use crate::{
    args::{Cli, Command, DocumentCommand, Format},
    exit::Exit,
    failure::Failure,
    session::Session,
};

/// Does what the command line says.
pub(crate) async fn run(cli: &Cli) -> Result<Exit, Failure> {
    if let Command::Completions { shell } = cli.command {
        return completions::print(shell);
    }
    if cli.globals.output == Format::Html && !is_list_of_documents(&cli.command) {
        let what = "--output html is a page to print, of `document list` alone";
        return Err(Failure::Usage(what.to_owned()));
    }
    let session = Session::open(&cli.globals).await?;
    match &cli.command {
        Command::Status { watch: true } => status_watch::follow(&session).await,
        Command::Status { watch: false } => status::show(&session).await,
        Command::Info => server::info(&session).await,
        Command::Replicas => server::replicas(&session).await,
        Command::Drift(drift) => server::drift(&session, drift).await,
        Command::Agenda(agenda) => agenda::list(&session, agenda).await,
        Command::Task(command) => task::run(&session, command).await,
        Command::Schedule(command) => schedule::run(&session, command).await,
        Command::Run(command) => run::run(&session, command).await,
        Command::Document(args) => document::run(&session, args).await,
        Command::Backup(command) => backup::run(&session, command).await,
        Command::Pause(pause) => pause::pause_all(&session, pause).await,
        Command::Resume => pause::resume_all(&session).await,
        Command::Clock(command) => clock::run(&session, command).await,
        Command::Completions { shell } => completions::print(*shell),
    }
}

fn is_list_of_documents(command: &Command) -> bool {
    match command {
        Command::Document(args) => matches!(args.command, DocumentCommand::List(_)),
        _ => false,
    }
}

/// Whether monitors run the command, by its output and exit code.
pub(crate) fn is_monitored(command: &Command) -> bool {
    matches!(command, Command::Status { .. })
}

/// The exit code of a failure; a monitor that asked for the status must hear "unknown".
pub(crate) fn exit_of(failure: &Failure, command: &Command) -> Exit {
    if is_monitored(command) {
        return Exit::Unreachable;
    }
    failure.exit()
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn a_monitor_hears_unknown_whatever_went_wrong() {
        let refused = Failure::from(Status::unauthenticated("wrong token"));
        assert_eq!(
            exit_of(&refused, &Command::Status { watch: false }) as u8,
            3
        );
        assert_eq!(exit_of(&refused, &Command::Info) as u8, 9);
    }
}
