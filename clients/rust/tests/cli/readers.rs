//! Readers of the output that go before its end, and outputs that cannot be written.

use watchbell_client::pb::{
    Document, DocumentRow, Run, RunOutcome, RunState, Severity, Status, Task, TriggerTaskResponse,
    WaitRunResponse,
};

use crate::{fake::Script, harness::Harness};

const RUN: &str = "tasks/a/runs/01977c5e-0000-7000-8000-000000000001";

fn run(state: RunState) -> Option<Run> {
    Some(Run {
        name: RUN.into(),
        state: state.into(),
        outcome: RunOutcome::Unspecified.into(),
        ..Run::default()
    })
}

fn let_a_run_fail(harness: &Harness) {
    let mut script = harness.script();
    script.triggers.push_back(Ok(TriggerTaskResponse {
        run: run(RunState::Queued),
    }));
    script.waits = [
        Ok(WaitRunResponse {
            run: run(RunState::Running),
            done: false,
        }),
        Ok(WaitRunResponse {
            run: run(RunState::Failed),
            done: true,
        }),
    ]
    .into();
}

#[tokio::test]
async fn the_status_has_its_code_whoever_reads_it() {
    let harness = Harness::start().await;
    for (severity, code) in [
        (Severity::Ok, 0),
        (Severity::Warning, 1),
        (Severity::Critical, 2),
        (Severity::Unspecified, 3),
    ] {
        harness.script().status = Status {
            overall: severity.into(),
            ..Status::default()
        };
        for args in [["status", "-o", "table"], ["status", "-o", "json"]] {
            let done = harness.run_unread(&args).await;
            assert_eq!(done.code, code, "{args:?}: {done:?}");
            assert_eq!(done.stderr, "", "{args:?}");
        }
    }
}

#[tokio::test]
async fn a_wait_goes_on_without_its_reader() {
    let harness = Harness::start().await;
    for format in ["table", "json"] {
        let_a_run_fail(&harness);
        let trigger = ["task", "trigger", "a", "--wait", "-o", format];
        let done = harness.run_unread(&trigger).await;
        assert_eq!(done.code, 1, "{done:?}");
    }
    let waited = harness.script().waited.len();
    assert_eq!(waited, 4, "each asked until the run had ended");
}

#[tokio::test]
async fn an_error_has_its_code_whoever_reads_it() {
    let harness = Harness::start().await;
    let done = harness.run_unread(&["task", "show", "missing"]).await;
    assert_eq!(done.code, 6, "{done:?}");
    let elsewhere = ["status", "--endpoint", "127.0.0.1:1"];
    let done = harness.run_unread(&elsewhere).await;
    assert_eq!(done.code, 3, "{done:?}");
}

#[tokio::test]
async fn what_only_follows_ends_with_its_reader() {
    let harness = Harness::start().await;
    harness.script().streams_stay = true;
    for args in [
        vec!["run", "watch"],
        vec!["run", "watch", "-o", "json"],
        vec!["document", "watch"],
        vec![
            "run",
            "logs",
            "a/01977c5e-0000-7000-8000-000000000001",
            "-f",
        ],
    ] {
        // Streams on which nothing ever happens: only the reader's going can end them.
        let quiet = |script: &mut Script| {
            script.watches.push_back(Ok(Vec::new()));
            script.logs.push_back(Ok(Vec::new()));
            script.documents.watches.push_back(Ok(Vec::new()));
        };
        quiet(&mut harness.script());
        let done = harness.run_unread(&args).await;
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
        assert_eq!(done.stderr, "", "{args:?}");
    }
}

#[tokio::test]
async fn data_that_was_not_read_to_its_end_is_a_failure() {
    let harness = with_data().await;
    for args in data() {
        let done = harness.run_unread(&args).await;
        assert_eq!(done.code, 10, "{args:?}: {done:?}");
        assert!(done.stderr.contains("has gone"), "{args:?}: {done:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_a_failure() {
    let harness = with_data().await;
    harness.script().tasks = vec![Task {
        name: "tasks/a".into(),
        ..Task::default()
    }];
    let mut all = data();
    all.push(vec!["task", "list"]);
    all.push(vec!["task", "show", "a", "-o", "json"]);
    for args in all {
        let done = harness.run_full(&args).await;
        assert_eq!(done.code, 10, "{args:?}: {done:?}");
        assert!(done.stderr.contains("No space left"), "{args:?}: {done:?}");
    }
    harness.script().status.overall = Severity::Ok.into();
    let done = harness.run_full(&["status"]).await;
    assert_eq!(done.code, 3, "a monitor that read nothing knows nothing");
}

/// What writes data to standard output.
fn data() -> Vec<Vec<&'static str>> {
    vec![
        vec!["document", "export"],
        vec!["document", "export", "-", "--form", "jsonl"],
        vec!["document", "download", "SOP-1", "-"],
        vec!["completions", "bash"],
    ]
}

async fn with_data() -> Harness {
    let harness = Harness::start().await;
    let content = b"cleaning".to_vec();
    let sha256 = crate::fake_documents::sha256(&content);
    let mut script = harness.script();
    script.documents.documents = vec![Document {
        name: "documents/SOP-1@1.0".into(),
        content: Some(watchbell_client::pb::Content {
            sha256: sha256.clone(),
            size: 8,
            ..Default::default()
        }),
        ..Document::default()
    }];
    script.documents.rows = vec![DocumentRow {
        number: "SOP-1".into(),
        ..DocumentRow::default()
    }];
    script.documents.contents.insert(sha256, content);
    drop(script);
    harness
}
