//! Logs of runs: every line once, in order, bounded.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use tonic::Streaming;
use watchbell_client::pb;

use crate::support::{
    Database, Site, Stage, TaskExt as _, on_both, on_postgresql, scripted, until, within,
};

on_both!(
    the_log_of_a_run_is_followed_and_resumed,
    a_log_without_following_gives_all_lines_there_are,
    a_long_log_keeps_both_its_ends_and_says_what_lay_between,
    empty_lines_count_too,
    the_end_of_a_long_log_is_written_before_the_end_of_its_attempt,
    an_end_is_recorded_also_where_its_log_cannot_be_written,
    a_hundred_lines_weigh_little_however_they_come,
    lines_of_earlier_versions_are_read_beside_chunks,
);
on_postgresql!(the_log_of_a_run_is_followed_at_another_replica);

async fn the_log_of_a_run_is_followed_and_resumed(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage).attempts(2)).await;
    let run = server.trigger("task").await;
    let first = stage.enters().await;
    let tail = |resume_token: &str| pb::TailRunLogRequest {
        name: run.name.clone(),
        resume_token: resume_token.to_owned(),
        follow: true,
    };
    let mut log = server
        .client
        .runs()
        .tail_run_log(tail(""))
        .await
        .unwrap()
        .into_inner();
    let mut lines = Vec::new();
    let mut token = String::new();

    first.context.log("one");
    first.context.log("two\0 with a NUL");
    while lines.len() < 2 {
        token = read_lines(&mut log, &mut lines).await.0;
    }
    drop(log);
    first.context.log("three");
    first.fails();
    server.reaches(&run.name, pb::RunState::RetryWait).await;
    server.advance(1);
    let second = stage.enters().await;
    second.context.log("four");
    second.succeeds();

    let mut log = server
        .client
        .runs()
        .tail_run_log(tail(&token))
        .await
        .unwrap()
        .into_inner();
    while let (_, None) = read_lines(&mut log, &mut lines).await {}
    let texts: Vec<(i32, i64, &str)> = lines
        .iter()
        .map(|line| (line.attempt, line.line, line.text.as_str()))
        .collect();
    assert_eq!(
        texts,
        [
            (1, 1, "one"),
            (1, 2, "two\u{fffd} with a NUL"),
            (1, 3, "three"),
            (2, 1, "four")
        ]
    );
    server.stop().await;
}

/// Reads one message of a log; gives its token, and why the stream ends where it does.
async fn read_lines(
    log: &mut Streaming<pb::TailRunLogResponse>,
    lines: &mut Vec<pb::LogLine>,
) -> (String, Option<String>) {
    use pb::tail_run_log_response::Message;
    let message = within("log lines", log.message()).await.unwrap().unwrap();
    let end = match message.message {
        Some(Message::Chunk(chunk)) => {
            lines.extend(chunk.lines);
            None
        }
        Some(Message::End(end)) => Some(end.reason),
        _ => None,
    };
    (message.resume_token, end)
}

/// Everything the server has of a run's log now.
async fn whole_log(server: &crate::support::Server, run: &str) -> Vec<pb::LogLine> {
    let request = pb::TailRunLogRequest {
        name: run.to_owned(),
        ..Default::default()
    };
    let opened = server.client.runs().tail_run_log(request).await;
    let mut log = opened.unwrap().into_inner();
    let mut lines = Vec::new();
    loop {
        if let (_, Some(reason)) = read_lines(&mut log, &mut lines).await {
            assert!(
                ["UP_TO_DATE", "RUN_ENDED"].contains(&reason.as_str()),
                "{reason}"
            );
            return lines;
        }
    }
}

async fn a_log_without_following_gives_all_lines_there_are(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let (run, entered) = stage.busy(&server, "task").await;
    // More than one chunk of 64 KiB.
    for n in 0..3000 {
        entered.context.log(format!("line {n} {}", "x".repeat(50)));
    }
    entered.succeeds();
    server.ended(&run.name).await;

    let lines = whole_log(&server, &run.name).await;

    let numbers: Vec<i64> = lines.iter().map(|line| line.line).collect();
    assert_eq!(numbers, (1..=3000).collect::<Vec<i64>>());
    server.stop().await;
}

async fn a_long_log_keeps_both_its_ends_and_says_what_lay_between(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let (run, entered) = stage.busy(&server, "task").await;
    let request = pb::TailRunLogRequest {
        name: run.name.clone(),
        follow: true,
        ..Default::default()
    };
    let opened = server.client.runs().tail_run_log(request).await;
    let mut log = opened.unwrap().into_inner();
    let mut lines = Vec::new();

    // Each line is cut at 8 KiB; half of 1 MiB is written at once.
    for number in 1..=200 {
        entered
            .context
            .log(format!("{number} {}", "ä".repeat(10_000)));
    }
    while lines.len() < 63 + 1 {
        assert_eq!(read_lines(&mut log, &mut lines).await.1, None);
    }
    assert_eq!(lines.len(), 63 + 1);
    assert!(lines[62].text.starts_with("63 ä"));
    let held = "what follows is written when the attempt ends";
    assert!(lines[63].text.contains(held), "{}", lines[63].text);

    entered.succeeds();
    while let (_, None) = read_lines(&mut log, &mut lines).await {}
    assert_eq!(lines, whole_log(&server, &run.name).await);
    let numbers: Vec<i64> = lines.iter().map(|line| line.line).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(lines[64].text, "… 74 lines left out …");
    assert!(lines[65].text.starts_with("138 ä"), "{}", lines[65].text);
    assert_eq!(lines.len(), 63 + 1 + 1 + 63);
    assert!(lines.last().unwrap().text.starts_with("200 ä"));
    assert!(lines.iter().all(|line| line.text.len() <= 8 << 10));
    server.stop().await;
}

async fn empty_lines_count_too(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let (run, entered) = stage.busy(&server, "task").await;
    for _ in 0..100_000 {
        entered.context.log("");
    }
    entered.context.log("the error");
    entered.succeeds();
    server.ended(&run.name).await;

    let lines = whole_log(&server, &run.name).await;

    assert!(lines.len() < 20_000, "{}", lines.len());
    let marked = lines.iter().filter(|line| line.text.contains("left out"));
    assert_eq!(marked.count(), 1);
    assert_eq!(lines.last().unwrap().text, "the error");
    server.stop().await;
}

async fn the_end_of_a_long_log_is_written_before_the_end_of_its_attempt(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let (run, entered) = stage.busy(&server, "task").await;
    // Whoever records the end does all of its transaction for nothing.
    site.refuse("UPDATE", "runs", "ROW.state = 'succeeded'")
        .await;
    for number in 1..=20_000 {
        entered.context.log(format!("line {number}"));
    }
    entered.succeeds();

    let lines = until("the log but for its last bite", async || {
        let lines = whole_log(&server, &run.name).await;
        let marked = lines.iter().any(|line| line.text.contains("left out"));
        (marked && 12_000 < lines.len()).then_some(lines)
    })
    .await;

    let numbers: Vec<i64> = lines.iter().map(|line| line.line).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next));
    assert_ne!(lines.last().unwrap().text, "line 20000");
    let state = server.run(&run.name).await.state();
    assert_eq!(state, pb::RunState::Running);
    server.stop().await;
}

async fn an_end_is_recorded_also_where_its_log_cannot_be_written(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    // Few lines of few letters, and the lines of a long log's end. What stands for them is one, and longer.
    let poison = "octet_length(ROW.body) < 60 OR ROW.line > 10000 AND ROW.lines > 1";
    site.refuse("INSERT", "run_log_chunks", poison).await;
    // Written with the end, and in a bite before it.
    for (count, then) in [(1, 2), (14_000, 20_000)] {
        let run = server.trigger("task").await;
        let entered = stage.enters().await;
        for number in 1..count {
            entered.context.log(format!("line {number}"));
        }
        entered.context.log("poison");
        for number in count..then {
            entered.context.log(format!("line {number}"));
        }
        entered.succeeds();

        let ended = server.ended(&run.name).await;

        assert_eq!(ended.state(), pb::RunState::Succeeded);
        let lines = whole_log(&server, &run.name).await;
        let last = &lines.last().unwrap().text;
        assert!(last.contains("lines, could not be written"), "{last}");
        assert!(lines.iter().all(|line| !line.text.contains("poison")));
    }
    server.stop().await;
}

async fn the_log_of_a_run_is_followed_at_another_replica(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let (one, other) = (site.start().await, site.start().await);
    let (run, entered) = stage.busy(&one, "task").await;
    let request = pb::TailRunLogRequest {
        name: run.name.clone(),
        follow: true,
        ..Default::default()
    };
    // One of them hosts the run.
    let mut logs = Vec::new();
    for server in [&one, &other] {
        let opened = server.client.runs().tail_run_log(request.clone()).await;
        logs.push(opened.unwrap().into_inner());
    }
    for text in ["first", "second"] {
        entered.context.log(text);
        for log in &mut logs {
            let mut lines = Vec::new();
            assert_eq!(read_lines(log, &mut lines).await.1, None);
            assert_eq!(lines[0].text, text);
        }
    }
    entered.succeeds();
    for log in &mut logs {
        let ended = read_lines(log, &mut Vec::new()).await.1;
        assert_eq!(ended.as_deref(), Some("RUN_ENDED"));
    }
    other.stop().await;
    one.stop().await;
}

/// Rows of all logs, and the bytes in them.
async fn weight(database: &DatabaseConnection) -> (i64, i64) {
    let text = "SELECT count(*) AS count, CAST(sum(octet_length(body)) AS bigint) AS bytes FROM run_log_chunks";
    let select = Statement::from_string(database.get_database_backend(), text);
    let row = database.query_one_raw(select).await.unwrap().unwrap();
    (
        row.try_get("", "count").unwrap(),
        row.try_get("", "bytes").unwrap(),
    )
}

async fn a_hundred_lines_weigh_little_however_they_come(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let (run, entered) = stage.busy(&server, "task").await;
    for number in 1..=100 {
        entered.context.log(format!(
            "2026-10-0{} INFO copied object {} of 100 to the other bucket",
            number % 9,
            number * 7919
        ));
        if number % 10 == 0 {
            until("the lines to be written", async || {
                let written = whole_log(&server, &run.name).await.len();
                (written == number).then_some(())
            })
            .await;
        }
    }
    entered.succeeds();
    server.ended(&run.name).await;

    let lines = whole_log(&server, &run.name).await;
    let numbers: Vec<i64> = lines.iter().map(|line| line.line).collect();
    assert!((1..=100).eq(numbers));
    let database = site.database.connect(site.data()).await;
    let (rows, bytes) = weight(&database).await;
    assert_eq!(rows, 1, "one chunk, written anew as it took more");
    // The rest of a row, and its place in an index, are 150 bytes at the most.
    assert!(bytes + 150 * rows <= 5000, "{bytes}");
    server.stop().await;
}

async fn lines_of_earlier_versions_are_read_beside_chunks(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let (run, entered) = stage.busy(&server, "task").await;
    entered.context.log("a line of a chunk");
    entered.succeeds();
    server.ended(&run.name).await;
    let database = site.database.connect(site.data()).await;
    database
        .execute_unprepared(
            "INSERT INTO run_log (run_id, attempt, line, at, stream, text) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL \
             SELECT i + 1 FROM n WHERE i < 1200) SELECT (SELECT id FROM runs WHERE task = 'task'), 0, i, 0, 'stderr', \
             'an old line' FROM n",
        )
        .await
        .unwrap();

    let lines = whole_log(&server, &run.name).await;

    assert_eq!(lines.len(), 1201);
    let numbers: Vec<(i32, i64)> = lines.iter().map(|line| (line.attempt, line.line)).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next));
    assert_eq!(lines[0].stream(), pb::LogStream::Stderr);
    assert_eq!(lines[1200].text, "a line of a chunk");
    server.stop().await;
}
