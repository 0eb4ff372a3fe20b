//! The kinds that ship, through the real server.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Mutex,
};
use watchbell_client::pb;

use crate::support::{Database, Server, Site, TaskExt as _, instant, on_both, until, within};

on_both!(
    a_request_carries_its_secret_and_its_key_and_its_answer_is_logged,
    a_request_is_repeated_when_the_answer_says_so,
    a_dry_run_of_a_request_sends_nothing,
    the_health_check_measures_and_raises_problems_by_its_thresholds,
    history_is_pruned_but_never_the_last_success_or_failure,
    what_hangs_on_a_deleted_task_goes_in_the_end,
);

/// An HTTP server that gives the same answers in turn, and keeps what it was sent.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn answering(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 16 << 10];
                let count = stream.read(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request[..count]).into_owned();
                kept.lock().await.push(text);
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { address, seen }
    }

    fn config(&self) -> String {
        format!(
            r#"
[secrets.hook]
env = "WATCHBELL_TEST_SECRET"

[http_requests.notify]
method = "POST"
url = "http://{}/hook"
headers = {{ "Content-Type" = "text/plain" }}
secret_headers = {{ "Authorization" = {{ secret = "hook", prefix = "Bearer " }} }}
body = "the month has ended"

[tasks.notify]
kind = "http-request"
parameters = {{ request = "notify" }}
retry = {{ max_attempts = 3, initial_backoff = "1s", max_backoff = "1s" }}
"#,
            self.address
        )
    }
}

/// The token of a service, kept in a file for the server to read.
fn with_secret(toml: &str, site: &Site) -> String {
    let file = site.data().join("hook");
    std::fs::write(&file, "s3cr3t-of-the-hook\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    toml.replace(
        "env = \"WATCHBELL_TEST_SECRET\"",
        &format!("file = {:?}", file.display().to_string()),
    )
}

async fn log_of(server: &Server, run: &str) -> String {
    let request = pb::TailRunLogRequest {
        name: run.to_owned(),
        ..Default::default()
    };
    let opened = server.client.runs().tail_run_log(request).await;
    let mut log = opened.unwrap().into_inner();
    let mut text = String::new();
    while let Some(message) = within("the log", log.message()).await.unwrap() {
        if let Some(pb::tail_run_log_response::Message::Chunk(chunk)) = message.message {
            for line in chunk.lines {
                text += &line.text;
                text.push('\n');
            }
        }
    }
    text
}

async fn a_request_carries_its_secret_and_its_key_and_its_answer_is_logged(database: Database) {
    let receiver = Receiver::answering(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\nwelcome, Bearer s3cr3t-of-the-hook\x07!\n",
    ])
    .await;
    let mut site = Site::new(database);
    let toml = with_secret(&receiver.config(), &site);
    site.configure(&toml);
    let server = site.start().await;
    let run = server.trigger("notify").await;
    let run = server.ended(&run.name).await;

    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    assert_eq!(run.counters["status"], 200);
    let sent = receiver.seen.lock().await.concat().to_lowercase();
    assert!(sent.starts_with("post /hook http/1.1"), "{sent}");
    assert!(
        sent.contains("authorization: bearer s3cr3t-of-the-hook"),
        "{sent}"
    );
    assert!(sent.ends_with("the month has ended"), "{sent}");
    let id = run.name.rsplit('/').next().unwrap();
    assert!(sent.contains(&format!("idempotency-key: {id}-1")), "{sent}");
    let log = log_of(&server, &run.name).await;
    assert!(log.contains("welcome, Bearer ***\u{fffd}!"), "{log}");
    assert!(!log.contains("s3cr3t"), "{log}");
    server.stop().await;
}

async fn a_request_is_repeated_when_the_answer_says_so(database: Database) {
    let receiver = Receiver::answering(&[
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 40\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ])
    .await;
    let mut site = Site::new(database);
    let toml = with_secret(&receiver.config(), &site);
    site.configure(&toml);
    let server = site.start().await;
    let run = server.trigger("notify").await;
    let waiting = server.reaches(&run.name, pb::RunState::RetryWait).await;
    assert_eq!(
        crate::support::at(&waiting.retry_time),
        "2026-03-02T12:00:40Z"
    );
    server.advance(40);

    // Not found will not be found by asking again: two attempts of three.
    let run = server.ended(&run.name).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::Failed, 2));
    assert!(run.message.contains("404"), "{}", run.message);
    let seen = receiver.seen.lock().await.join("\n");
    let id = run.name.rsplit('/').next().unwrap();
    for token in ["1", "2"] {
        assert!(
            seen.contains(&format!("{id}-{token}")),
            "another key for another attempt"
        );
    }
    server.stop().await;
}

async fn a_dry_run_of_a_request_sends_nothing(database: Database) {
    let receiver = Receiver::answering(&["HTTP/1.1 200 OK\r\n\r\n"]).await;
    let mut site = Site::new(database);
    let toml = with_secret(&receiver.config(), &site);
    site.configure(&toml);
    let server = site.start().await;
    let request = pb::TriggerTaskRequest {
        name: "tasks/notify".to_owned(),
        dry_run: true,
        ..Default::default()
    };
    let answer = server.client.tasks().trigger_task(request).await.unwrap();
    let run = server.ended(&answer.into_inner().run.unwrap().name).await;
    assert_eq!(run.outcome(), pb::RunOutcome::NothingToDo);
    assert!(receiver.seen.lock().await.is_empty());
    server.stop().await;
}

async fn the_health_check_measures_and_raises_problems_by_its_thresholds(database: Database) {
    // Disks are never that empty, and loads never that low.
    let strict = "[health]\ndisk_free_percent = { warning = 100.0, critical = 0.0 }\n";
    let mut site = Site::configured(database, strict);
    let server = site.start().await;
    let run = server.trigger("perform-system-health-check").await;
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    for measure in [
        "disk_free_percent",
        "memory_available_percent",
        "queue_depth",
        "late_slots",
    ] {
        assert!(
            run.counters.contains_key(measure),
            "{measure}: {:?}",
            run.counters
        );
    }
    let problem = server.problem("health.disk_free_percent").await;
    assert_eq!(problem.severity(), pb::Severity::Warning);
    assert!(problem.message.contains("below 100"), "{}", problem.message);
    server.stop().await;

    let lax = "[health]\ndisk_free_percent = { warning = 0.0, critical = 0.0 }\n";
    site.configure(lax);
    let server = site.start().await;
    let run = server.trigger("perform-system-health-check").await;
    server.ended(&run.name).await;
    until("the problem to be over", async || {
        let problems = server.status().await.problems;
        let open = |problem: &pb::Problem| problem.r#type == "health.disk_free_percent";
        (!problems.iter().any(open)).then_some(())
    })
    .await;
    server.stop().await;
}

async fn prune(server: &Server) -> pb::Run {
    let run = server.trigger("prune-history").await;
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    run
}

async fn history_is_pruned_but_never_the_last_success_or_failure(database: Database) {
    let mut stage = crate::support::Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = crate::support::scripted(&stage);
    task.history = Some(pb::HistoryPolicy {
        keep_for: Some(crate::support::seconds(3600)),
        keep_count: 2,
    });
    server.create("task", task).await;
    let mut names = Vec::new();
    // Success, failure, then four successes: the failure is old, but the last one.
    for succeeds in [true, false, true, true, true, true] {
        let run = server.trigger("task").await;
        let entered = stage.enters().await;
        entered.context.log("a line");
        if succeeds {
            entered.succeeds();
        } else {
            entered.fails();
        }
        names.push(server.ended(&run.name).await.name);
        server.advance(60);
    }

    let first = prune(&server).await;
    assert_eq!(first.counters["runs_deleted"], 3, "{}", first.message);
    let left: Vec<String> = server
        .runs_of("task")
        .await
        .into_iter()
        .map(|run| run.name)
        .collect();
    assert_eq!(left, [names[1].clone(), names[4].clone(), names[5].clone()]);
    server.advance(2 * 3600);
    prune(&server).await;
    let left: Vec<String> = server
        .runs_of("task")
        .await
        .into_iter()
        .map(|run| run.name)
        .collect();
    assert_eq!(left, [names[1].clone(), names[5].clone()]);
    let again = prune(&server).await;
    assert_eq!(again.counters["runs_deleted"], 0);
    server.stop().await;
}

async fn what_hangs_on_a_deleted_task_goes_in_the_end(database: Database) {
    let site = Site::configured(database, "[history]\nledger_keep_for = \"30d\"\n");
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    for _ in 0..3 {
        server.advance(60);
        server.decided("task", server.now()).await;
    }
    let runs = server.runs_of("task").await;
    for run in &runs {
        server.ended(&run.name).await;
    }
    let delete = pb::DeleteTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    server.client.tasks().delete_task(delete).await.unwrap();

    server.advance(400 * 24 * 3600);
    // The server's own daily run may be at it already.
    let erased = until("the task to be erased", async || {
        let request = pb::GetRunRequest {
            name: runs[0].name.clone(),
        };
        let asked = server.client.runs().get_run(request).await;
        if asked.is_err() {
            return Some(());
        }
        let request = pb::TriggerTaskRequest {
            name: "tasks/prune-history".to_owned(),
            ..Default::default()
        };
        if let Ok(answer) = server.client.tasks().trigger_task(request).await {
            server.ended(&answer.into_inner().run.unwrap().name).await;
        }
        None
    });
    erased.await;

    let fate = site.database.connect(site.data()).await;
    for table in ["runs", "slots", "task_revisions"] {
        let select = format!(
            "SELECT count(*) AS count FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = t.task_id)"
        );
        let statement = sea_orm::Statement::from_string(
            sea_orm::ConnectionTrait::get_database_backend(&fate),
            select,
        );
        let row = sea_orm::ConnectionTrait::query_one_raw(&fate, statement)
            .await
            .unwrap();
        let count: i64 = row.unwrap().try_get("", "count").unwrap();
        assert_eq!(count, 0, "{table} of no task");
    }
    server.stop().await;
}
