//! How refusals are read.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a call that must fail said: its code, and the reason of its one `ErrorInfo`.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, Status) {
    let status = answer.expect_err("a refusal");
    let details = status.get_error_details();
    let info = details.error_info();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "watchbell");
    (status.code(), info.reason.clone(), status)
}

/// The fields that a refusal names.
pub(crate) fn violations(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let bad = details.bad_request();
    bad.map(|bad| {
        let fields = bad.field_violations.iter();
        fields.map(|violation| violation.field.clone()).collect()
    })
    .unwrap_or_default()
}
