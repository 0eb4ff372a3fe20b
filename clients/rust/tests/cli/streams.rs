//! Streams that break and go on.

use tonic::Status;
use watchbell_client::pb::{
    LogChunk, LogLine, Problem, Run, RunEvent, Severity, StreamEnd, TailRunLogResponse,
    WatchRunsResponse, WatchStatusResponse, tail_run_log_response, watch_runs_response,
};

use crate::harness::Harness;

fn message(
    token: &str,
    message: watch_runs_response::Message,
) -> Result<WatchRunsResponse, Status> {
    Ok(WatchRunsResponse {
        message: Some(message),
        resume_token: token.into(),
    })
}

fn event(token: &str, version: i64) -> Result<WatchRunsResponse, Status> {
    let event = RunEvent {
        r#type: "run.started".into(),
        run: Some(Run {
            name: "tasks/a/runs/01977c5e-0000-7000-8000-000000000001".into(),
            version,
            ..Run::default()
        }),
        ..RunEvent::default()
    };
    message(token, watch_runs_response::Message::Event(event))
}

fn ended() -> StreamEnd {
    StreamEnd {
        reason: "RUN_ENDED".into(),
        retry_after: None,
    }
}

#[tokio::test]
async fn a_watch_resumes_without_gap_or_repetition() {
    let harness = Harness::start().await;
    let end = message("t4", watch_runs_response::Message::End(ended()));
    harness.script().watches = [
        Ok(vec![
            event("t1", 1),
            event("t2", 2),
            Err(Status::unavailable("gone")),
        ]),
        Err(Status::unavailable("restarting")),
        Ok(vec![event("t2", 2), event("t3", 3), end]),
    ]
    .into();
    let done = harness
        .run(&["run", "watch", "--task", "a", "--output", "json"])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let versions: Vec<_> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["event"]["run"]["version"].clone())
        .collect();
    assert_eq!(versions, ["1", "2", "3"]);
    let script = harness.script();
    let tokens: Vec<_> = script
        .watched
        .iter()
        .map(|watched| watched.resume_token.as_str())
        .collect();
    assert_eq!(tokens, ["", "t2", "t2"]);
    assert!(done.stderr.contains("next try in"), "{done:?}");
}

#[tokio::test]
async fn a_resume_token_that_is_too_old_ends_the_watch() {
    let harness = Harness::start().await;
    harness.script().watches = [Err(Status::out_of_range("the token is too old"))].into();
    let done = harness
        .run(&["run", "watch", "--resume-token", "old"])
        .await;
    assert_eq!(done.code, 7, "{done:?}");
    assert!(done.stderr.contains("too old"), "{done:?}");
}

#[tokio::test]
async fn a_log_is_printed_line_by_line_and_made_safe() {
    let harness = Harness::start().await;
    let line = |line, text: &str| LogLine {
        attempt: 1,
        line,
        text: text.into(),
        ..LogLine::default()
    };
    let chunk = LogChunk {
        lines: vec![line(1, "one\ttab"), line(2, "\u{1b}[2Jtwo")],
    };
    let message = |message| {
        Ok(TailRunLogResponse {
            message: Some(message),
            resume_token: "t".into(),
            log_drop_time: None,
        })
    };
    harness.script().logs = [Ok(vec![
        message(tail_run_log_response::Message::Chunk(chunk)),
        message(tail_run_log_response::Message::End(ended())),
    ])]
    .into();
    let done = harness
        .run(&[
            "run",
            "logs",
            "a/01977c5e-0000-7000-8000-000000000001",
            "-f",
            "--color",
            "never",
        ])
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.stdout, "one\ttab\n\\u{1b}[2Jtwo\n");
}

fn status(problems: &[&str]) -> Result<WatchStatusResponse, Status> {
    let problem = |subject: &&str| Problem {
        severity: Severity::Critical.into(),
        subject: (*subject).to_owned(),
        message: "its last run has failed".to_owned(),
        ..Problem::default()
    };
    let overall = match problems {
        [] => Severity::Ok,
        _ => Severity::Critical,
    };
    Ok(WatchStatusResponse {
        status: Some(watchbell_client::pb::Status {
            overall: overall.into(),
            problems: problems.iter().map(problem).collect(),
            ..Default::default()
        }),
        end: None,
    })
}

#[tokio::test]
async fn a_watched_status_tells_changes_and_is_unknown_while_the_server_is_away() {
    let harness = Harness::start().await;
    let goodbye = StreamEnd {
        reason: "DRAINING".into(),
        retry_after: None,
    };
    harness.script().statuses = [
        Ok(vec![
            status(&[]),
            status(&[]),
            status(&["tasks/a"]),
            Ok(WatchStatusResponse {
                status: None,
                end: Some(goodbye),
            }),
        ]),
        Err(Status::unavailable("restarting")),
        Ok(vec![
            status(&["tasks/a"]),
            status(&["tasks/b"]),
            Err(Status::unavailable("gone")),
        ]),
        Err(Status::unauthenticated("another token")),
    ]
    .into();
    let done = harness.run(&["status", "--watch"]).await;
    assert_eq!(done.code, 3, "{done:?}");
    let told: Vec<String> = done
        .stdout
        .lines()
        .map(|line| {
            let line = line.get(9..).unwrap_or(line).replace("; checked -", "");
            line.trim().to_owned()
        })
        .collect();
    assert_eq!(
        told,
        [
            "OK: no problems",
            "CRITICAL: tasks/a: its last run has failed",
            "new:  critical tasks/a: its last run has failed",
            "UNKNOWN: the server ended the stream: DRAINING",
            "CRITICAL: tasks/a: its last run has failed",
            "new:  critical tasks/a: its last run has failed",
            "CRITICAL: tasks/b: its last run has failed",
            "new:  critical tasks/b: its last run has failed",
            "gone: critical tasks/a: its last run has failed",
            "UNKNOWN: The service is currently unavailable: gone",
            "another token",
        ]
    );
}

#[tokio::test]
async fn programs_that_watch_the_status_are_told_when_it_is_not_known() {
    let harness = Harness::start().await;
    harness.script().statuses = [
        Ok(vec![status(&[]), Err(Status::unavailable("gone"))]),
        Err(Status::unauthenticated("another token")),
    ]
    .into();
    let done = harness.run(&["status", "--watch", "-o", "json"]).await;
    assert_eq!(done.code, 3, "{done:?}");
    let told: Vec<serde_json::Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0]["status"]["overall"], "SEVERITY_OK");
    let unknown = &told[1]["status"];
    assert_eq!(unknown["overall"], serde_json::Value::Null, "UNSPECIFIED");
    let why = unknown["problems"][0]["message"].as_str().unwrap();
    assert!(why.contains("gone"), "{why}");
}
