//! What people read when something goes wrong.

use std::collections::HashMap;

use super::*;

const ENDPOINT: &str = "http://127.0.0.1:7420";

fn answer(code: Code, message: &str, details: ErrorDetails) -> Failure {
    Status::with_error_details(code, message, details).into()
}

#[test]
fn each_bad_field_is_named() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("schedule.cron", "expected 5 fields, such as `0 2 * * *`");
    let failure = answer(Code::InvalidArgument, "the task is not valid", details);
    assert_eq!(
        failure.report(ENDPOINT),
        "error: the task is not valid\n  schedule.cron: expected 5 fields, such as `0 2 * * *`"
    );
    assert_eq!(failure.exit() as u8, 7);
}

#[test]
fn nothing_is_said_twice() {
    let mut details = ErrorDetails::new();
    details.add_precondition_failure_violation("PAUSED", "tasks/a", "tasks/a is paused");
    let metadata = HashMap::from([("subject".to_owned(), "tasks/a".to_owned())]);
    details.set_error_info("PAUSED", "watchbell", metadata);
    let failure = answer(Code::FailedPrecondition, "tasks/a is paused", details);
    let report = failure.report(ENDPOINT);
    assert_eq!(report.matches("tasks/a").count(), 1, "{report}");
    assert!(report.contains("--ignore-pause"), "{report}");
}

#[test]
fn near_names_are_offered() {
    let near = HashMap::from([("near_names".to_owned(), "backup-daily".to_owned())]);
    let details = ErrorDetails::with_error_info("TASK_NOT_FOUND", "watchbell", near);
    let failure = answer(Code::NotFound, "no task `bakup`", details);
    assert_eq!(
        failure.report(ENDPOINT),
        "error: no task `bakup`\n  did you mean: backup-daily"
    );
}

#[test]
fn a_missing_token_file_says_which_and_what_to_do() {
    let failure = Failure::Token {
        path: "./watchbell-data/token".into(),
        source: io::Error::from(io::ErrorKind::NotFound),
    };
    let report = failure.report(ENDPOINT);
    for part in [
        "./watchbell-data/token",
        "--token-file",
        "WATCHBELL_TOKEN_FILE",
    ] {
        assert!(report.contains(part), "{report}");
    }
    assert_eq!(failure.exit() as u8, 9);
}

#[test]
fn a_server_that_is_down_is_named_with_its_command() {
    let failure = Failure::from(Status::unavailable("connection refused"));
    let report = failure.report(ENDPOINT);
    assert!(report.contains("`watchbell serve`"), "{report}");
    assert!(report.contains(ENDPOINT), "{report}");
    assert_eq!(failure.exit() as u8, 3);
}

#[test]
fn a_hostile_message_cannot_reach_the_terminal() {
    let failure = Failure::from(Status::internal("\u{1b}[2J"));
    assert!(!failure.report(ENDPOINT).contains('\u{1b}'));
}

#[test]
fn data_whose_reader_went_away_is_told_as_cut_off() {
    let gone = Failure::Output(io::ErrorKind::BrokenPipe.into());
    assert_eq!(gone.exit(), Exit::Other);
    assert!(gone.report("").contains("has not got all of it"));
    let full = Failure::Output(io::ErrorKind::StorageFull.into());
    assert!(!full.report("").contains("hint"));
}

#[test]
fn a_file_that_is_no_register_is_told_with_its_line() {
    let failure = Failure::Register {
        path: "a.csv".into(),
        source: RegisterError::Refused {
            line: 1,
            reason: "unknown column `titel`".into(),
        },
    };
    assert_eq!(
        failure.report(ENDPOINT),
        "error: a.csv: line 1: unknown column `titel`"
    );
    assert_eq!(failure.exit() as u8, 7);
}

#[test]
fn a_stream_that_breaks_says_how_to_go_on_and_a_refusal_does_not() {
    let broken = Failure::of_stream(Status::unavailable("gone"), "run it again");
    assert_eq!(
        broken.report(ENDPOINT),
        "error: the connection broke off: gone\nhint: run it again"
    );
    assert_eq!(broken.exit() as u8, 3);
    let refused = Failure::of_stream(Status::internal("a fault"), "run it again");
    assert_eq!(refused.exit() as u8, 10);
    assert!(!refused.report(ENDPOINT).contains("run it again"));
}
