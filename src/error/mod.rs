//! The error every room returns.
//!
//! A small, closed set: one variant for each thing a caller can do about it. Nothing here knows of
//! gRPC; `api::status` turns these into a gRPC status as the last step of a request.

mod faults;
mod reason;

use std::error::Error as StdError;

pub use self::{
    faults::{Checks, Faults, Wrong, all, each},
    reason::{Reason, Thing},
};

/// The cause behind an error, kept for the log.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What went wrong, seen from the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such thing; the caller named it wrong or it is gone. `near` lists names that are close.
    #[error("{} {id:?} not found{}", what.name(), did_you_mean(near))]
    NotFound {
        what: Thing,
        id: String,
        near: Vec<String>,
    },
    /// The name or key is taken.
    #[error("{} {id:?} already exists", what.name())]
    AlreadyExists { what: Thing, id: String },
    /// The request can never succeed as it stands. `field` is the path of the request's field.
    #[error("invalid {field}: {reason}")]
    Invalid { field: String, reason: String },
    /// As [`Error::Invalid`], of two fields or more.
    #[error("invalid {}", faults::sentence(.0))]
    Several(Vec<Wrong>),
    /// The request was sound, but not in the present state.
    #[error("{message}")]
    Conflict {
        reason: Reason,
        subject: String,
        message: String,
    },
    /// Another caller was quicker: read again, then decide again.
    #[error("{message}")]
    Aborted { reason: Reason, message: String },
    /// Who calls is not known.
    #[error("{message}")]
    Unauthenticated { reason: Reason, message: String },
    /// Who calls is known, and may not.
    #[error("{0}")]
    Denied(String),
    /// A bound was reached.
    #[error("{0}")]
    Exhausted(String),
    /// As many are under way as may be at once; the same call may succeed later.
    #[error("{0}")]
    Busy(String),
    /// A position that is no longer, or not yet, there. `oldest` is the oldest one that is.
    #[error("{message}")]
    OutOfRange { message: String, oldest: String },
    /// A dependency is away; the same call may succeed later.
    #[error("{what} is unavailable: {source}")]
    Unavailable {
        what: &'static str,
        #[source]
        source: Cause,
    },
    /// A bug, or a broken invariant.
    #[error("internal error: {0}")]
    Internal(#[source] Cause),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn not_found(what: Thing, id: impl ToString) -> Self {
        Self::NotFound {
            what,
            id: id.to_string(),
            near: Vec::new(),
        }
    }

    pub fn invalid(field: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid {
            field: field.into(),
            reason: reason.to_string(),
        }
    }

    /// The same of fields below `path`, where that is where its fields are in the request.
    #[must_use]
    pub fn below(self, path: &str) -> Self {
        self.named(|field| format!("{path}.{field}"))
    }

    /// The same of this one field, where that is where all of it stands in the request.
    #[must_use]
    pub fn of_field(self, field: &str) -> Self {
        self.named(|_| field.to_owned())
    }

    fn named(self, name: impl Fn(String) -> String) -> Self {
        let named = |Wrong { field, reason }| Wrong {
            field: name(field),
            reason,
        };
        match self {
            Self::Invalid { field, reason } => Self::Invalid {
                field: name(field),
                reason,
            },
            Self::Several(wrong) => Self::Several(wrong.into_iter().map(named).collect()),
            other => other,
        }
    }

    /// Fields that are wrong, be it one or several; none of another kind of error.
    pub fn wrong(&self) -> Vec<Wrong> {
        match self {
            Self::Invalid { field, reason } => vec![Wrong {
                field: field.clone(),
                reason: reason.clone(),
            }],
            Self::Several(wrong) => wrong.clone(),
            _ => Vec::new(),
        }
    }

    /// Description of which fields are wrong and why, as `field: reason; field: reason`; none of another kind of error.
    pub fn wrong_fields(&self) -> Option<String> {
        let wrong = self.wrong();
        (!wrong.is_empty()).then(|| faults::sentence(&wrong))
    }

    pub fn conflict(reason: Reason, subject: impl ToString, message: impl Into<String>) -> Self {
        Self::Conflict {
            reason,
            subject: subject.to_string(),
            message: message.into(),
        }
    }

    pub fn internal(source: impl Into<Cause>) -> Self {
        Self::Internal(source.into())
    }

    pub fn unavailable(what: &'static str, source: impl Into<Cause>) -> Self {
        Self::Unavailable {
            what,
            source: source.into(),
        }
    }

    /// Whether the same request may succeed later without anyone changing it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Busy(_))
    }
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    format!("; did you mean {}?", near.join(", "))
}

/// Whether something is there: an error that is not about that is no answer.
///
/// # Errors
/// Where nobody can say.
pub fn is_there<T>(found: Result<T>) -> Result<bool> {
    match found {
        Ok(_) => Ok(true),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_wrong_fields_are_taken_like_one() {
        let wrong = |field| Err::<(), _>(Error::invalid(field, "no"));
        let two = || all((wrong("a"), wrong("b"))).unwrap_err();
        assert_eq!(two().wrong().len(), 2);
        assert_eq!(Error::invalid("a", "no").wrong().len(), 1);
        assert!(Error::internal("else").wrong_fields().is_none());
        let told = |error: Error| error.wrong_fields().unwrap();
        assert_eq!(told(two().below("x")), "x.a: no; x.b: no");
        assert_eq!(told(two().of_field("x")), "x: no; x: no");
        assert_eq!(told(Error::invalid("a", "no").of_field("x")), "x: no");
    }

    #[test]
    fn what_nobody_can_say_is_not_taken_for_what_is_not_there() {
        assert!(is_there(Ok(())).unwrap());
        let unknown = Error::not_found(Thing::RestorePoint, "1");
        assert!(!is_there::<()>(Err(unknown)).unwrap());
        let away = Error::unavailable("the database", "it went away");
        assert!(is_there::<()>(Err(away)).is_err());
    }
}
