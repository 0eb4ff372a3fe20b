//! Requests that tasks send, against a little server that answers as it is told, rightly or not.

use watchbell_client::pb;

use crate::support::{Database, Receiver, Server, Site, Then, at, on_both, within};

on_both!(
    a_request_carries_its_secret_and_its_key_and_its_answer_is_logged,
    a_request_is_repeated_when_the_answer_says_so,
    a_date_to_retry_after_is_heeded,
    a_receiver_that_asks_for_no_wait_does_not_defeat_the_backoff,
    a_dry_run_of_a_request_sends_nothing,
    an_answer_is_read_to_its_end,
    an_answer_that_ends_before_its_end_is_a_failure,
    an_answer_that_does_not_say_where_it_ends_is_partial,
    an_answer_larger_than_its_bound_is_a_failure,
    an_answer_that_stalls_is_a_failure_and_says_how_far_it_came,
    an_encoded_answer_is_not_shown,
    a_redirect_that_would_not_do_the_work_is_not_followed,
);

/// The configuration of a task `notify` with these further settings of its request.
fn config(receiver: &Receiver, more: &str) -> String {
    format!(
        r#"
[secrets.hook]
env = "WATCHBELL_TEST_SECRET"

[http_requests.notify]
method = "POST"
url = "http://{}/hook"
headers = {{ "Content-Type" = "text/plain" }}
body = "the month has ended"
{more}

[tasks.notify]
kind = "http-request"
parameters = {{ request = "notify" }}
retry = {{ max_attempts = 3, initial_backoff = "1s", max_backoff = "1s" }}
"#,
        receiver.address
    )
}

const WITH_SECRET: &str =
    r#"secret_headers = { "Authorization" = { secret = "hook", prefix = "Bearer " } }"#;

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

/// What a run of `notify` comes to, with one attempt.
async fn comes_to(site: &mut Site, receiver: &Receiver, more: &str) -> (pb::Run, String) {
    let mut toml = config(receiver, more).replace("max_attempts = 3", "max_attempts = 1");
    if more.starts_with("method") {
        toml = toml.replace("method = \"POST\"\n", "");
    }
    let toml = with_secret(&toml, site);
    site.configure(&toml);
    let server = site.start().await;
    let run = server.trigger("notify").await;
    let run = server.ended(&run.name).await;
    let log = log_of(&server, &run.name).await;
    server.stop().await;
    (run, log)
}

async fn a_request_carries_its_secret_and_its_key_and_its_answer_is_logged(database: Database) {
    let mut site = Site::new(database);
    let receiver = Receiver::answering(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\nwelcome, Bearer s3cr3t-of-the-hook\x07!\n",
    ])
    .await;
    let (run, log) = comes_to(&mut site, &receiver, WITH_SECRET).await;

    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    assert_eq!(run.message, "answer 200, 37 bytes");
    assert_eq!((run.counters["status"], run.counters["bytes"]), (200, 37));
    let sent = receiver.seen.lock().await.concat().to_lowercase();
    assert!(sent.starts_with("post /hook http/1.1"), "{sent}");
    assert!(
        sent.contains("authorization: bearer s3cr3t-of-the-hook"),
        "{sent}"
    );
    assert!(sent.ends_with("the month has ended"), "{sent}");
    let id = run.name.rsplit('/').next().unwrap();
    assert!(
        sent.contains(&format!("idempotency-key: {id}\r\n")),
        "{sent}"
    );
    assert!(sent.contains("watchbell-attempt: 1\r\n"), "{sent}");
    assert!(log.contains("welcome, Bearer ***\u{fffd}!"), "{log}");
    assert!(!log.contains("s3cr3t"), "{log}");
}

async fn a_request_is_repeated_when_the_answer_says_so(database: Database) {
    let receiver = Receiver::answering(&[
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 40\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ])
    .await;
    let site = Site::configured(database, &config(&receiver, ""));
    let server = site.start().await;
    let run = server.trigger("notify").await;
    let waiting = server.reaches(&run.name, pb::RunState::RetryWait).await;
    assert_eq!(at(&waiting.retry_time), "2026-03-02T12:00:40Z");
    server.advance(40);

    // Not found will not be found by asking again: two attempts of three.
    let run = server.ended(&run.name).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::Failed, 2));
    assert!(run.message.contains("404"), "{}", run.message);
    let seen = receiver.seen.lock().await.clone();
    let id = run.name.rsplit('/').next().unwrap();
    for (sent, attempt) in seen.iter().zip(1..=2) {
        let sent = sent.to_lowercase();
        let key = format!("idempotency-key: {id}\r\n");
        assert!(sent.contains(&key), "the work is the same: {sent}");
        let number = format!("watchbell-attempt: {attempt}\r\n");
        assert!(sent.contains(&number), "{sent}");
    }
    assert_eq!(seen.len(), 2);
    server.stop().await;
}

/// When the second attempt is made after this answer, with this configuration; it is noon.
async fn retried_at(site: &mut Site, retry_after: &str, backoff: &str) -> String {
    let answer =
        format!("HTTP/1.1 503 Busy\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n");
    let receiver = Receiver::answering(&[&answer]).await;
    let toml = config(&receiver, "").replace("\"1s\"", backoff);
    site.configure(&toml);
    let server = site.start().await;
    let run = server.trigger("notify").await;
    let waiting = server.reaches(&run.name, pb::RunState::RetryWait).await;
    let request = pb::CancelRunRequest {
        name: run.name.clone(),
        ..Default::default()
    };
    server.client.runs().cancel_run(request).await.unwrap();
    server.stop().await;
    at(&waiting.retry_time)
}

async fn a_date_to_retry_after_is_heeded(database: Database) {
    let mut site = Site::new(database);
    let time = retried_at(&mut site, "Mon, 02 Mar 2026 12:00:40 GMT", "\"1s\"").await;
    assert_eq!(time, "2026-03-02T12:00:40Z");
}

async fn a_receiver_that_asks_for_no_wait_does_not_defeat_the_backoff(database: Database) {
    let mut site = Site::new(database);
    // Drawn from the whole of a day: no second of it is likely to be the first.
    for retry_after in ["0", "Mon, 02 Mar 2026 11:00:00 GMT"] {
        let time = retried_at(&mut site, retry_after, "\"1d\"").await;
        assert!("2026-03-02T12:00:01Z" < time.as_str(), "{time}");
    }
}

async fn a_dry_run_of_a_request_sends_nothing(database: Database) {
    let receiver = Receiver::answering(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).await;
    let site = Site::configured(database, &config(&receiver, ""));
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

/// A chunked answer of a job that tells of its steps; the last chunk is left to the caller.
fn steps(count: usize) -> (String, usize) {
    let mut text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let mut bytes = 0;
    for step in 1..=count {
        let line = format!("step {step} of {count} {}\n", "·".repeat(5000));
        text += &format!("{:x}\r\n{line}\r\n", line.len());
        bytes += line.len();
    }
    (text, bytes)
}

async fn an_answer_is_read_to_its_end(database: Database) {
    let mut site = Site::new(database);
    // More than all the buffers on the way hold.
    let (text, bytes) = steps(1000);
    let receiver = Receiver::giving([(format!("{text}0\r\n\r\n"), Then::Close)]).await;
    let (run, log) = comes_to(&mut site, &receiver, "").await;

    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    assert_eq!(run.message, format!("answer 200, {bytes} bytes"));
    assert_eq!(*receiver.written.lock().await, 1, "it was read to its end");
    assert!(log.contains("step 1 of 1000"), "{log}");
    assert!(log.contains("bytes left out …"), "{log}");
    assert!(log.trim_end().ends_with("····"), "{log}");
}

async fn an_answer_that_ends_before_its_end_is_a_failure(database: Database) {
    let mut site = Site::new(database);
    let (text, _) = steps(5);
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nstep 5 of 10\n".to_owned();
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n500\r\nstep".to_owned();
    for answer in [short, text, half] {
        let receiver = Receiver::giving([(answer, Then::Close)]).await;
        let (run, log) = comes_to(&mut site, &receiver, "").await;
        let (state, reason) = (run.state(), run.reason.as_str());
        assert_eq!(
            (state, reason),
            (pb::RunState::Failed, "ANSWER_BROKEN_OFF"),
            "{}",
            run.message
        );
        let said = "the answer 200 broke off after ";
        assert!(run.message.starts_with(said), "{}", run.message);
        assert!(log.contains("step"), "as far as it came: {log}");
    }
}

async fn an_answer_that_does_not_say_where_it_ends_is_partial(database: Database) {
    let mut site = Site::new(database);
    let take = "end_may_be_unannounced = true";
    let head = "method = \"HEAD\"";
    for (answer, more, partial) in [
        ("HTTP/1.0 200 OK\r\n\r\nstep 5 of 10\n", "", true),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nstep 5 of 10\n",
            "",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nstep",
            "",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", "nothing_to_do = [\"200\"]", true),
        ("HTTP/1.0 200 OK\r\n\r\nstep 5 of 10\n", take, false),
        ("HTTP/1.1 204 No Content\r\n\r\n", "", false),
        ("HTTP/1.0 200 OK\r\n\r\n", head, false),
    ] {
        let receiver = Receiver::answering(&[answer]).await;
        let (run, _) = comes_to(&mut site, &receiver, more).await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{answer}: {run:?}");
        let outcome = run.outcome() == pb::RunOutcome::Partial;
        assert_eq!(outcome, partial, "{answer}: {}", run.message);
        let reason = if partial { "ANSWER_END_UNKNOWN" } else { "" };
        assert_eq!(run.reason, reason, "{answer}");
        assert_eq!(run.message.contains("end_may_be_unannounced"), partial);
    }
}

async fn an_answer_larger_than_its_bound_is_a_failure(database: Database) {
    let mut site = Site::new(database);
    for (length, succeeds) in [(2048, true), (2049, false)] {
        let body = "x".repeat(length);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        let receiver = Receiver::answering(&[&answer]).await;
        let (run, _) = comes_to(&mut site, &receiver, "max_answer_bytes = 2048").await;
        assert_eq!(run.state() == pb::RunState::Succeeded, succeeds, "{run:?}");
        if !succeeds {
            assert_eq!(run.reason, "ANSWER_TOO_LARGE", "{}", run.message);
            let told = run.message.contains("max_answer_bytes = 2048");
            assert!(told, "{}", run.message);
        }
    }
}

async fn an_answer_that_stalls_is_a_failure_and_says_how_far_it_came(database: Database) {
    let mut site = Site::new(database);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nstep 5 of 10".to_owned();
    for (answer, said) in [
        (answer, "within 2s: 12 bytes of 500 came"),
        (String::new(), "/hook within 2s"),
    ] {
        let receiver = Receiver::giving([(answer, Then::Stall)]).await;
        let (run, _) = comes_to(&mut site, &receiver, "timeout = \"2s\"").await;
        let (state, reason) = (run.state(), run.reason.as_str());
        assert_eq!((state, reason), (pb::RunState::Failed, "ANSWER_TIMEOUT"));
        assert!(run.message.contains(said), "{}", run.message);
    }
}

async fn an_encoded_answer_is_not_shown(database: Database) {
    let mut site = Site::new(database);
    let receiver = Receiver::answering(&[
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nsqueak",
    ])
    .await;
    let (run, log) = comes_to(&mut site, &receiver, WITH_SECRET).await;
    assert_eq!(run.message, "answer 200, 6 bytes");
    assert!(
        log.contains("encoded (gzip)") && !log.contains("squeak"),
        "{log}"
    );
    let sent = receiver.seen.lock().await.concat().to_lowercase();
    assert!(!sent.contains("accept-encoding"), "{sent}");
}

async fn a_redirect_that_would_not_do_the_work_is_not_followed(database: Database) {
    let mut site = Site::new(database);
    let to = |status: &str| {
        let location = "Connection: close\r\nLocation: http://{receiver}/there";
        format!("HTTP/1.1 {status} There\r\n{location}\r\nContent-Length: 0\r\n\r\n")
    };
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned();
    for (follow, status, second) in [
        (false, "307", None),
        // By the rules of 1996 it would be asked for by GET, and nothing would be posted.
        (true, "302", None),
        (true, "307", Some("POST /there")),
        (true, "303", Some("GET /there")),
    ] {
        let answers = [to(status), good.clone()].map(|answer| (answer, Then::Close));
        let receiver = Receiver::giving(answers).await;
        let more = format!("follow_redirects = {follow}");
        let (run, _) = comes_to(&mut site, &receiver, &more).await;
        let seen = receiver.seen.lock().await.clone();
        assert_eq!(seen.len(), 1 + usize::from(second.is_some()), "{seen:?}");
        match second {
            Some(second) => {
                assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
                assert!(seen[1].starts_with(second), "{}", seen[1]);
                let body = seen[1].ends_with("the month has ended");
                assert_eq!(body, second.starts_with("POST"), "{}", seen[1]);
            }
            None => {
                assert_eq!(run.state(), pb::RunState::Failed, "{}", run.message);
                assert!(run.message.contains(status), "{}", run.message);
            }
        }
    }
}
