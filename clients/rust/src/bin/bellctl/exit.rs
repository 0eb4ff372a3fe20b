//! What bellctl's exit codes mean, for scripts and monitors.

use std::process::ExitCode;

use tonic::Code;
use watchbell_client::pb::{Run, RunOutcome, RunState, Severity};

/// How a command ended. `status` has its own meaning of 0 to 3, which monitors expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Good = 0,
    RunFailed = 1,
    Usage = 2,
    Unreachable = 3,
    RunCancelled = 4,
    RunPartial = 5,
    NotFound = 6,
    InvalidArgument = 7,
    Refused = 8,
    NotAllowed = 9,
    Other = 10,
    RowsRefused = 11,
    StillRunning = 124,
    Interrupted = 130,
}

/// Shown by `bellctl --help`.
pub(crate) const CODES: &str = "\
Exit codes:
  0  done; a run that was waited for succeeded
  1  a run that was waited for failed, timed out, expired or was abandoned
  2  wrong usage
  3  the server is unreachable
  4  a run that was waited for was cancelled
  5  a run that was waited for did only a part of its work
  6  not found
  7  invalid argument, or a file that is no register
  8  refused in the present state: paused, draining, changed meanwhile, there already
  9  no token, wrong token or not allowed
  10 any other error; a run that was waited for succeeded by an outcome that this bellctl does not know
  11 some rows of an import were refused
  124  the run has not ended within --timeout
  130  interrupted, or no was answered; what was half written is removed
  Whoever stops reading the output, such as `head`, changes no code: `--wait` goes on waiting. A watch then ends
  with 0, and a download, an export or a script of completions with 10.
  `bellctl status` exits as monitors expect: 0 good, 1 warning, 2 critical, 3 unknown.";

impl Exit {
    /// The code of an error that the server answered.
    pub(crate) fn of_code(code: Code) -> Self {
        match code {
            Code::Unavailable => Self::Unreachable,
            Code::NotFound => Self::NotFound,
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidArgument,
            Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => Self::Refused,
            Code::Unauthenticated | Code::PermissionDenied => Self::NotAllowed,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::Other,
        }
    }

    /// The code of a run that was waited for.
    pub(crate) fn of_run(run: &Run) -> Self {
        match run.state() {
            RunState::Succeeded => match run.outcome() {
                RunOutcome::Partial => Self::RunPartial,
                RunOutcome::Worked | RunOutcome::NothingToDo => Self::Good,
                // One that only a newer server knows: how much was done is not known here.
                RunOutcome::Unspecified => Self::Other,
            },
            RunState::Failed | RunState::TimedOut | RunState::Expired | RunState::Abandoned => {
                Self::RunFailed
            }
            RunState::Cancelled => Self::RunCancelled,
            RunState::Unspecified | RunState::Queued | RunState::Running | RunState::RetryWait => {
                Self::StillRunning
            }
        }
    }

    /// The code of `bellctl status`. UNSPECIFIED is unknown, and never good.
    pub(crate) fn of_status(overall: Severity) -> Self {
        match overall {
            Severity::Ok => Self::Good,
            Severity::Warning => Self::RunFailed,
            Severity::Critical => Self::Usage,
            Severity::Unspecified => Self::Unreachable,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: RunState, outcome: RunOutcome) -> Run {
        Run {
            state: state.into(),
            outcome: outcome.into(),
            ..Run::default()
        }
    }

    #[test]
    fn a_run_exits_with_what_it_became() {
        let code = |state, outcome| Exit::of_run(&run(state, outcome)) as u8;
        assert_eq!(code(RunState::Succeeded, RunOutcome::Worked), 0);
        assert_eq!(code(RunState::Succeeded, RunOutcome::NothingToDo), 0);
        assert_eq!(code(RunState::Succeeded, RunOutcome::Partial), 5);
        for state in [
            RunState::Failed,
            RunState::TimedOut,
            RunState::Expired,
            RunState::Abandoned,
        ] {
            assert_eq!(code(state, RunOutcome::Unspecified), 1);
        }
        assert_eq!(code(RunState::Cancelled, RunOutcome::Unspecified), 4);
        assert_eq!(code(RunState::Running, RunOutcome::Unspecified), 124);
    }

    #[test]
    fn a_state_of_a_newer_server_is_not_taken_for_success() {
        let newer = Run {
            state: 99,
            ..Run::default()
        };
        assert_ne!(Exit::of_run(&newer), Exit::Good);
        let mut run = run(RunState::Succeeded, RunOutcome::Unspecified);
        assert_eq!(Exit::of_run(&run), Exit::Other);
        run.outcome = 99;
        assert_eq!(Exit::of_run(&run), Exit::Other);
        assert_eq!(Exit::of_status(Severity::Unspecified) as u8, 3);
    }

    #[test]
    fn monitors_get_what_they_expect() {
        let codes = [Severity::Ok, Severity::Warning, Severity::Critical];
        assert_eq!(
            codes.map(|severity| Exit::of_status(severity) as u8),
            [0, 1, 2]
        );
    }

    #[test]
    fn errors_of_the_server_have_their_codes() {
        for (code, exit) in [
            (Code::Unavailable, 3),
            (Code::NotFound, 6),
            (Code::InvalidArgument, 7),
            (Code::Aborted, 8),
            (Code::AlreadyExists, 8),
            (Code::Unauthenticated, 9),
            (Code::PermissionDenied, 9),
            (Code::Internal, 10),
        ] {
            assert_eq!(Exit::of_code(code) as u8, exit);
        }
    }
}
