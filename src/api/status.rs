//! How an [`Error`] looks to a client. The only place that says so.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::error;

use super::{shortened, task_fields::pb_path};
use crate::{
    domain::span,
    door::Kind,
    error::{Error, Reason, Wrong},
};

const DOMAIN: &str = "watchbell";
/// Bytes of fields and reasons of one error, where more than one is wrong: it travels three times, and clients take some
/// 8 KiB of it.
const SEVERAL_MAX: usize = 1500;
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let error = shortened(error);
        let mut message = error.to_string();
        let mut details = ErrorDetails::new();
        let info = |details: &mut ErrorDetails, reason: Reason, metadata: &[(&str, &str)]| {
            let metadata: HashMap<String, String> = metadata
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            details.set_error_info(reason.as_str(), DOMAIN, metadata);
        };
        let code = match &error {
            Error::NotFound { what, id, near } => {
                let near = near.join(", ");
                let metadata: &[(&str, &str)] = match near.as_str() {
                    "" => &[("name", id)],
                    near => &[("name", id), ("near_names", near)],
                };
                info(&mut details, what.not_found(), metadata);
                details.set_resource_info(what.name(), id.as_str(), "", "not found");
                Code::NotFound
            }
            Error::AlreadyExists { what, id } => {
                info(&mut details, what.exists(), &[("name", id)]);
                details.set_resource_info(what.name(), id.as_str(), "", "already exists");
                Code::AlreadyExists
            }
            Error::Invalid { field, reason } => {
                let field = pb_path(field);
                message = format!("invalid {field}: {reason}");
                info(&mut details, Reason::InvalidField, &[("field", &field)]);
                details.add_bad_request_violation(field, reason.as_str());
                Code::InvalidArgument
            }
            Error::Several(wrong) => {
                let (mut told, mut bytes, mut left_out) = (Vec::new(), 0, 0);
                for Wrong { field, reason } in wrong {
                    bytes += field.len() + reason.len();
                    if SEVERAL_MAX < bytes && !told.is_empty() {
                        left_out += 1;
                        continue;
                    }
                    let field = pb_path(field);
                    told.push(format!("{field}: {reason}"));
                    details.add_bad_request_violation(field, reason.as_str());
                }
                if 0 < left_out {
                    told.push(format!("and {left_out} more"));
                }
                message = format!("invalid {}", told.join("; "));
                // The violations name the fields.
                info(&mut details, Reason::InvalidField, &[]);
                Code::InvalidArgument
            }
            Error::Conflict {
                reason,
                subject,
                message,
            } => {
                info(&mut details, *reason, &[("subject", subject)]);
                details.add_precondition_failure_violation(
                    reason.as_str(),
                    subject.as_str(),
                    message.as_str(),
                );
                Code::FailedPrecondition
            }
            Error::Aborted { reason, .. } => {
                info(&mut details, *reason, &[]);
                Code::Aborted
            }
            Error::Unauthenticated { reason, .. } => {
                info(&mut details, *reason, &[]);
                Code::Unauthenticated
            }
            Error::Denied(_) => {
                info(&mut details, Reason::Denied, &[]);
                Code::PermissionDenied
            }
            Error::Exhausted(_) => {
                info(&mut details, Reason::Exhausted, &[]);
                Code::ResourceExhausted
            }
            Error::Busy(_) => {
                info(&mut details, Reason::Busy, &[]);
                details.set_retry_info(Some(RETRY_AFTER));
                Code::ResourceExhausted
            }
            Error::OutOfRange { oldest, .. } => {
                info(&mut details, Reason::OutOfRange, &[("oldest", oldest)]);
                Code::OutOfRange
            }
            Error::Unavailable { what, .. } => {
                info(&mut details, Reason::Unavailable, &[("what", what)]);
                details.set_retry_info(Some(RETRY_AFTER));
                Code::Unavailable
            }
            Error::Internal(cause) => {
                // The client gets no detail of ours; the log gets all of it.
                error!(
                    cause = &**cause as &dyn std::error::Error,
                    "internal error: {cause}"
                );
                message = "internal error: the server's log has the cause".to_owned();
                info(&mut details, Reason::Internal, &[]);
                Code::Internal
            }
        };
        Self::with_error_details(code, shortened::sentence(&message), details)
    }
}

/// Shortens what the details of an error repeat; its message is shortened as a whole.
fn shortened(error: Error) -> Error {
    let given = |text: String| shortened::given(&text).into_owned();
    let sentence = |text: String| shortened::sentence(&text).into_owned();
    match error {
        Error::NotFound { what, id, near } => Error::NotFound {
            what,
            id: given(id),
            near: near.into_iter().map(given).collect(),
        },
        Error::AlreadyExists { what, id } => Error::AlreadyExists {
            what,
            id: given(id),
        },
        Error::Invalid { field, reason } => Error::Invalid {
            field: given(field),
            reason: sentence(reason),
        },
        Error::Several(wrong) => Error::Several(
            wrong
                .into_iter()
                .map(|Wrong { field, reason }| Wrong {
                    field: given(field),
                    reason: sentence(reason),
                })
                .collect(),
        ),
        Error::Conflict {
            reason,
            subject,
            message,
        } => Error::Conflict {
            reason,
            subject: given(subject),
            message: sentence(message),
        },
        Error::OutOfRange { message, oldest } => Error::OutOfRange {
            message,
            oldest: given(oldest),
        },
        Error::Aborted { .. }
        | Error::Unauthenticated { .. }
        | Error::Denied(_)
        | Error::Exhausted(_)
        | Error::Busy(_)
        | Error::Unavailable { .. }
        | Error::Internal(_) => error,
    }
}

/// As many calls are under way on the connection as may be.
pub(super) fn too_many_calls(kind: Kind, bound: usize) -> Status {
    let message = match kind {
        Kind::Short => format!(
            "{bound} calls are under way on this connection, as many as may be: send this one again when one of them has \
             been answered, or open another connection"
        ),
        Kind::Watch | Kind::Transfer => format!(
            "{bound} streams and waits are under way on this connection, as many as may be: end one that nobody reads, or \
             open another connection"
        ),
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(Reason::TooManyCalls.as_str(), DOMAIN, HashMap::new());
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// A call has taken as long as it may.
pub(super) fn deadline_exceeded(limit: Duration) -> Status {
    too_slow(format!(
        "no answer within {}; the call may have been carried out: send it again with the same request_id",
        span::format(limit)
    ))
}

/// A download has taken as long as its caller listens.
pub(super) fn download_over(limit: Duration) -> Status {
    too_slow(format!(
        "not all was sent within {}: go on with it by `offset`",
        span::format(limit)
    ))
}

/// A call or its caller has taken too long.
pub(super) fn too_slow(message: String) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(Reason::Deadline.as_str(), DOMAIN, HashMap::new());
    Status::with_error_details(Code::DeadlineExceeded, message, details)
}
