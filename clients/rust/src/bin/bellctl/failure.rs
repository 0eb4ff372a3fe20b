//! What can go wrong, what to tell the person, and how to exit.

use std::{error::Error, fmt::Write as _, io, path::PathBuf};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use watchbell_client::{
    call::broke_off, client::ConnectError, json::JsonError, register::RegisterError,
    transfer::TransferError, watch::WatchError,
};

use crate::{exit::Exit, text::plain, time::exact_length};

/// Why a command could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("cannot read the file {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot write the file {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: {source}", .path.display())]
    Register {
        path: PathBuf,
        source: RegisterError,
    },
    #[error("cannot read the token file {}", .path.display())]
    Token { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", summary(.0))]
    Answer(#[source] Box<Status>),
    #[error("{0}")]
    GaveUp(String),
    #[error("the connection broke off: {}", .status.message())]
    BrokeOff {
        status: Box<Status>,
        hint: &'static str,
    },
    /// What was sent or fetched is not what was promised.
    #[error(transparent)]
    Transfer(TransferError),
    #[error("interrupted")]
    Interrupted,
    #[error("cannot show the answer as JSON")]
    Json(#[from] JsonError),
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

impl Failure {
    /// Of a stream that is not resumed; `hint` says how to go on.
    pub(crate) fn of_stream(status: Status, hint: &'static str) -> Self {
        if broke_off(&status) {
            let status = Box::new(status);
            return Self::BrokeOff { status, hint };
        }
        Self::from(status)
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_)
            | Self::File { .. }
            | Self::Register {
                source: RegisterError::Read(_),
                ..
            }
            | Self::Connect(ConnectError::Endpoint { .. } | ConnectError::Scheme { .. }) => {
                Exit::Usage
            }
            Self::Token { .. } | Self::Connect(ConnectError::Token) => Exit::NotAllowed,
            Self::Connect(ConnectError::Unreachable { .. })
            | Self::GaveUp(_)
            | Self::BrokeOff { .. } => Exit::Unreachable,
            Self::Register {
                source: RegisterError::Refused { .. },
                ..
            } => Exit::InvalidArgument,
            Self::Interrupted => Exit::Interrupted,
            Self::Answer(status) if timed_out(status) => Exit::Unreachable,
            Self::Answer(status) => Exit::of_code(status.code()),
            Self::Json(_) | Self::Output(_) | Self::Write { .. } | Self::Transfer(_) => Exit::Other,
        }
    }

    /// All there is to tell, over several lines: what happened, the details, and what to do.
    pub(crate) fn report(&self, endpoint: &str) -> String {
        let mut report = format!("error: {}", plain(&self.to_string()));
        match self {
            Self::Answer(status) => details(&mut report, &status.get_error_details()),
            Self::Usage(_)
            | Self::GaveUp(_)
            | Self::BrokeOff { .. }
            | Self::Transfer(_)
            | Self::Interrupted
            | Self::Register {
                source: RegisterError::Refused { .. },
                ..
            } => {}
            Self::File { .. }
            | Self::Write { .. }
            | Self::Register { .. }
            | Self::Token { .. }
            | Self::Connect(_)
            | Self::Json(_)
            | Self::Output(_) => {
                if let Some(cause) = root_cause(self) {
                    add(&mut report, &format!("cause: {}", plain(&cause)));
                }
            }
        }
        if let Some(hint) = self.hint(endpoint) {
            report.push_str("\nhint: ");
            report.push_str(&hint);
        }
        report
    }

    fn hint(&self, endpoint: &str) -> Option<String> {
        let hint = match self {
            Self::Token { .. } => {
                "the server writes its token into <data directory>/token at its first start; say \
                 where that is with --token-file or WATCHBELL_TOKEN_FILE"
            }
            Self::Connect(ConnectError::Unreachable { endpoint, .. }) => {
                return Some(unreachable_hint(endpoint));
            }
            Self::GaveUp(_) => return Some(unreachable_hint(endpoint)),
            Self::Connect(ConnectError::Endpoint { .. }) => {
                "see --endpoint and WATCHBELL_ENDPOINT; the default is http://127.0.0.1:7420"
            }
            Self::Connect(ConnectError::Scheme { .. }) => {
                "bellctl speaks plain HTTP/2 until there is TLS: use http://, through a tunnel where it must be safe"
            }
            Self::Connect(ConnectError::Token) => "is --token-file the file that the server wrote?",
            Self::Answer(status) => return answer_hint(status, endpoint),
            Self::BrokeOff { hint, .. } => hint,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                "whoever reads it has gone, and has not got all of it"
            }
            Self::Usage(_)
            | Self::File { .. }
            | Self::Write { .. }
            | Self::Register { .. }
            | Self::Transfer(_)
            | Self::Interrupted
            | Self::Json(_)
            | Self::Output(_) => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Answer(Box::new(status))
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Refused(status) => Self::Answer(status),
            WatchError::GaveUp { .. } => Self::GaveUp(error.to_string()),
        }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::File { path, source } => Self::File { path, source },
            TransferError::Refused(status) => Self::Answer(status),
            TransferError::BrokeOff(status) => Self::BrokeOff {
                status,
                hint: "run it again; an upload goes on where it stopped",
            },
            TransferError::Damaged { .. } | TransferError::Changed => Self::Transfer(error),
        }
    }
}

fn unreachable_hint(endpoint: &str) -> String {
    if endpoint.starts_with("https:") {
        return "bellctl speaks plain HTTP/2: use http://, through a tunnel where it must be safe"
            .to_owned();
    }
    format!(
        "is `watchbell serve` running at {}? another place is said with --endpoint or \
         WATCHBELL_ENDPOINT",
        plain(endpoint)
    )
}

fn answer_hint(status: &Status, endpoint: &str) -> Option<String> {
    if timed_out(status) {
        return Some(format!("{} is there but busy; try again", plain(endpoint)));
    }
    match status.code() {
        // The server itself has said why, and when to come back.
        Code::Unavailable if status.get_details_error_info().is_some() => None,
        Code::Unavailable => Some(unreachable_hint(endpoint)),
        Code::Unauthenticated => Some(
            "the token was refused; --token-file or WATCHBELL_TOKEN_FILE must name the file that \
             this server wrote"
                .to_owned(),
        ),
        Code::FailedPrecondition if reason_of(status) == "PAUSED" => Some(
            "`bellctl task resume NAME` or `bellctl resume` ends the pause; --ignore-pause runs all the same"
                .to_owned(),
        ),
        Code::Aborted => Some("it was changed meanwhile; read it again and repeat".to_owned()),
        Code::Unimplemented => Some("the server is older than this bellctl".to_owned()),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => None,
    }
}

fn reason_of(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

/// tonic answers CANCELLED where its own deadline is over.
fn timed_out(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.source().is_some()
        || status.code() == Code::DeadlineExceeded
}

fn summary(status: &Status) -> String {
    if timed_out(status) {
        return "the server did not answer in time".to_owned();
    }
    if status.message().is_empty() {
        return status.code().description().to_owned();
    }
    status.message().to_owned()
}

fn details(report: &mut String, details: &ErrorDetails) {
    if let Some(bad_request) = details.bad_request() {
        for violation in &bad_request.field_violations {
            let (field, description) = (&violation.field, &violation.description);
            tell(report, &format!("{}: {}", plain(field), plain(description)));
        }
    }
    if let Some(failure) = details.precondition_failure() {
        for violation in &failure.violations {
            let (subject, description) = (&violation.subject, &violation.description);
            tell(
                report,
                &format!("{}: {}", plain(subject), plain(description)),
            );
        }
    }
    if let Some(info) = details.error_info() {
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        metadata.sort();
        for (key, value) in metadata {
            let label = if key.contains("near") || key.contains("similar") {
                "did you mean".to_owned()
            } else {
                plain(key).replace('_', " ")
            };
            tell(report, &format!("{label}: {}", plain(value)));
        }
    }
    if let Some(resource) = details.resource_info()
        && !resource.description.is_empty()
    {
        let (name, description) = (&resource.resource_name, &resource.description);
        tell(report, &format!("{}: {}", plain(name), plain(description)));
    }
    if let Some(wait) = details.retry_info().and_then(|info| info.retry_delay) {
        add(report, &format!("try again in {}", exact_length(wait)));
    }
}

/// Adds a line of details, unless all that it says has been said.
fn tell(report: &mut String, line: &str) {
    let (_, said) = line.split_once(": ").unwrap_or(("", line));
    let known = |part: &str| report.contains(part.trim());
    if !said.split(", ").all(known) {
        add(report, line);
    }
}

fn add(report: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = write!(report, "\n  {line}");
}

fn root_cause(error: &dyn Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
