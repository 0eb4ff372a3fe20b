//! Values that a trigger hands over to commands and requests.

use serde_json::json;
use tonic::Code;
use watchbell_client::pb;

use crate::support::{Database, Receiver, Server, Site, at, on_both, refused, violations, within};

on_both!(
    values_reach_a_command_by_its_environment_and_its_input,
    values_that_nobody_accepts_are_refused_before_anything_is_queued,
    a_secret_is_shown_nowhere,
    a_retry_and_a_backfill_have_the_values_too,
    values_reach_a_request_as_its_body_or_its_query,
    a_schedule_needs_what_its_command_needs,
);

const REPORT: &str = r#"
[commands.report]
argv = ["/bin/sh", "-c", "echo month $WATCHBELL_PARAM_MONTH how ${WATCHBELL_PARAM_HOW-unset}; cat"]
parameters_on_stdin = true
[commands.report.accepts]
month = { pattern = '\d{4}-\d\d', required = true }
how = { one_of = ["fast", "well"], default = "well" }
count = {}

[commands.login]
argv = ["/bin/sh", "-c", "echo key $WATCHBELL_PARAM_KEY; echo no $WATCHBELL_PARAM_KEY >&2; exit 1"]
accepts = { key = { secret = true } }

[commands.plain]
argv = ["/bin/true"]

[tasks.report]
kind = "command"
parameters = { command = "report", count = 7 }
[tasks.login]
kind = "command"
parameters = { command = "login" }
[tasks.plain]
kind = "command"
parameters = { command = "plain" }
"#;

fn text(value: &str) -> prost_types::Value {
    prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(value.to_owned())),
    }
}

fn with(values: &[(&str, &str)]) -> Option<prost_types::Struct> {
    let fields = values.iter();
    let fields = fields.map(|(name, value)| ((*name).to_owned(), text(value)));
    Some(prost_types::Struct {
        fields: fields.collect(),
    })
}

fn order(task: &str, values: &[(&str, &str)]) -> pb::TriggerTaskRequest {
    pb::TriggerTaskRequest {
        name: format!("tasks/{task}"),
        parameters: with(values),
        request_id: format!("{task} {values:?}"),
        ..Default::default()
    }
}

async fn triggered(server: &Server, task: &str, values: &[(&str, &str)]) -> pb::Run {
    let answer = server
        .client
        .tasks()
        .trigger_task(order(task, values))
        .await;
    answer.unwrap().into_inner().run.unwrap()
}

async fn log_of(server: &Server, run: &str) -> String {
    let request = pb::TailRunLogRequest {
        name: run.to_owned(),
        ..Default::default()
    };
    let opened = server.client.runs().tail_run_log(request).await;
    let mut log = opened.unwrap().into_inner();
    let mut lines = Vec::new();
    while let Some(message) = within("the log", log.message()).await.unwrap() {
        if let Some(pb::tail_run_log_response::Message::Chunk(chunk)) = message.message {
            lines.extend(chunk.lines.into_iter().map(|line| line.text));
        }
    }
    lines.join("\n")
}

async fn values_reach_a_command_by_its_environment_and_its_input(database: Database) {
    let site = Site::configured(database, REPORT);
    let server = site.start().await;
    let run = triggered(&server, "report", &[("month", "2026-10")]).await;
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    let log = log_of(&server, &run.name).await;
    let (line, input) = log.split_once('\n').unwrap();
    assert_eq!(line, "month 2026-10 how well");
    let input: serde_json::Value = serde_json::from_str(input).unwrap();
    let expected = json!({"month": "2026-10", "how": "well", "count": 7});
    assert_eq!(input, expected);
    server.stop().await;
}

async fn values_that_nobody_accepts_are_refused_before_anything_is_queued(database: Database) {
    let site = Site::configured(database, REPORT);
    let server = site.start().await;
    for (task, values, field) in [
        ("report", vec![], "parameters.month"),
        ("report", vec![("month", "October")], "parameters.month"),
        (
            "report",
            vec![("month", "2026-10"), ("year", "2026")],
            "parameters.year",
        ),
        (
            "report",
            vec![("month", "2026-10"), ("how", "slowly")],
            "parameters.how",
        ),
        ("plain", vec![("month", "2026-10")], "parameters.month"),
        ("login", vec![("key", "***")], "parameters.key"),
        ("prune-history", vec![("month", "x")], "parameters.month"),
    ] {
        let order = order(task, &values);
        let (code, _, status) = refused(server.client.tasks().trigger_task(order).await);
        let said = (code, violations(&status));
        assert_eq!(said, (Code::InvalidArgument, vec![field.to_owned()]));
        assert!(server.runs_of(task).await.is_empty(), "{task} {values:?}");
    }
    server.stop().await;
}

async fn a_secret_is_shown_nowhere(database: Database) {
    let site = Site::configured(database, REPORT);
    let server = site.start().await;
    let first = triggered(&server, "login", &[("key", "hunter2")]).await;
    // The answer that is kept for a repeated request.
    let again = triggered(&server, "login", &[("key", "hunter2")]).await;
    assert_eq!(first, again);
    let ended = server.ended(&first.name).await;
    assert_eq!(ended.message, "the command failed with exit code 1: no ***");
    assert_eq!(log_of(&server, &first.name).await.lines().count(), 2);
    let request = pb::ListRunsRequest {
        task: "tasks/login".to_owned(),
        ..Default::default()
    };
    let listed = server.client.runs().list_runs(request).await.unwrap();
    let log = log_of(&server, &first.name).await;
    let shown = format!("{first:?} {ended:?} {:?} {log}", listed.into_inner());
    assert!(!shown.contains("hunter2"), "{shown}");
    let parameters = first.parameters.unwrap();
    assert_eq!(parameters.fields["key"], text("***"));

    // Repeated by a person, it has the secret itself.
    let request = pb::RetryRunRequest {
        name: first.name,
        ..Default::default()
    };
    let retried = server.client.runs().retry_run(request).await.unwrap();
    let retried = retried.into_inner().run.unwrap();
    server.ended(&retried.name).await;
    let log = log_of(&server, &retried.name).await;
    assert!(log.contains("key ***"), "{log}");
    server.stop().await;
}

async fn a_retry_and_a_backfill_have_the_values_too(database: Database) {
    let toml = REPORT.replace(
        "count = 7 }",
        "count = 7, month = \"2026-01\" }\nschedule = { every = \"1h\" }\noverlap = \"allow\"",
    );
    let site = Site::configured(database, &toml);
    let server = site.start().await;
    let run = triggered(&server, "report", &[("month", "2026-10")]).await;
    let run = server.ended(&run.name).await;
    let request = pb::RetryRunRequest {
        name: run.name,
        ..Default::default()
    };
    let retried = server.client.runs().retry_run(request).await.unwrap();
    let retried = server.ended(&retried.into_inner().run.unwrap().name).await;
    let log = log_of(&server, &retried.name).await;
    assert!(log.starts_with("month 2026-10 how well"), "{log}");

    server.advance(3600);
    let mut backfill = pb::BackfillTaskRequest {
        name: "tasks/report".to_owned(),
        start_time: Some(crate::support::stamp(crate::support::noon())),
        end_time: Some(crate::support::stamp(server.now())),
        parameters: with(&[("month", "2025-12"), ("how", "fast")]),
        ..Default::default()
    };
    let asked = server.client.tasks().backfill_task(backfill.clone()).await;
    let runs = asked.unwrap().into_inner().runs;
    assert_eq!(runs.len(), 1, "of {}", at(&backfill.start_time));
    let run = server.ended(&runs[0].name).await;
    let log = log_of(&server, &run.name).await;
    assert!(log.starts_with("month 2025-12 how fast"), "{log}");

    backfill.parameters = with(&[("month", "December")]);
    let (_, _, status) = refused(server.client.tasks().backfill_task(backfill).await);
    assert_eq!(violations(&status), ["parameters.month"]);
    server.stop().await;
}

async fn values_reach_a_request_as_its_body_or_its_query(database: Database) {
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let receiver = Receiver::answering(&[good, good]).await;
    let toml = format!(
        r#"
[http_requests.post]
method = "POST"
url = "http://{address}/hook?a=b"
accepts = {{ month = {{}}, key = {{ secret = true }} }}
[http_requests.get]
url = "http://{address}/hook?a=b"
accepts = ["month"]
parameters_in = "query"
[tasks.post]
kind = "http-request"
parameters = {{ request = "post" }}
[tasks.get]
kind = "http-request"
parameters = {{ request = "get" }}
"#,
        address = receiver.address
    );
    let site = Site::configured(database, &toml);
    let server = site.start().await;
    for (task, values) in [
        ("post", vec![("month", "2026-10"), ("key", "hunter2")]),
        ("get", vec![("month", "2026 & 10")]),
    ] {
        let run = triggered(&server, task, &values).await;
        let run = server.ended(&run.name).await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    }
    let seen = receiver.seen.lock().await.clone();
    let (head, body) = seen[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?a=b "), "{head}");
    let kind = "content-type: application/json";
    assert!(head.to_lowercase().contains(kind), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({"month": "2026-10", "key": "hunter2"}));
    let get = "GET /hook?a=b&month=2026+%26+10 ";
    assert!(seen[1].starts_with(get), "{}", seen[1]);
    server.stop().await;
}

async fn a_schedule_needs_what_its_command_needs(database: Database) {
    let mut site = Site::new(database);
    for (parameters, says) in [
        ("count = 7", "parameters.month"),
        ("month = \"October\"", "parameters.month"),
        ("month = \"2026-10\", key = \"hunter2\"", "parameters.key"),
    ] {
        let toml = REPORT.replace(
            "count = 7 }",
            &format!("{parameters} }}\nschedule = {{ every = \"1h\" }}"),
        );
        let toml = toml.replace("count = {}", "count = {}\nkey = { secret = true }");
        site.configure(&toml);
        let error = format!("{:#}", site.try_start().await.unwrap_err());
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
