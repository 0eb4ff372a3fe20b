//! `prune-history`: what goes, what stays, and that it holds nobody up.

mod ended;

use std::sync::Arc;

use sea_orm::{ConnectionTrait as _, Statement};
use watchbell::{domain::RunId, store::Store};
use watchbell_client::pb;

use crate::{
    catalogue::update,
    support::{
        Database, Server, Site, TaskExt as _, instant, on_both, on_postgresql, scripted, until,
    },
};

on_both!(
    history_is_pruned_but_never_the_last_success_or_failure,
    what_cannot_be_pruned_keeps_nothing_else_from_being_pruned,
    a_log_is_dropped_in_portions_and_then_its_run,
    a_task_with_very_much_to_prune_holds_up_no_other,
    revisions_go_that_no_row_of_the_ledger_was_decided_by,
    a_log_goes_before_its_run_and_the_run_says_so,
);

on_postgresql!(what_is_cancelled_in_its_midst_is_not_said_to_be_done);

fn kept(task: pb::Task, count: i32) -> pb::Task {
    pb::Task {
        history: Some(pb::HistoryPolicy {
            keep_for: Some(crate::support::seconds(3600)),
            keep_count: count,
        }),
        ..task
    }
}

async fn count(site: &Site, what: &str) -> i64 {
    let database = site.database.connect(site.data()).await;
    let text = format!("SELECT count(*) AS count FROM {what}");
    let select = Statement::from_string(database.get_database_backend(), text);
    let row = database.query_one_raw(select).await.unwrap().unwrap();
    row.try_get("", "count").unwrap()
}

async fn prune(server: &Server) -> pb::Run {
    // The server's own daily run may be at it already.
    let run = until("a run of its own", async || {
        let request = pb::TriggerTaskRequest {
            name: "tasks/prune-history".to_owned(),
            ..Default::default()
        };
        let answer = server.client.tasks().trigger_task(request).await;
        answer.ok()?.into_inner().run
    })
    .await;
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    run
}

async fn keeping_a_month(database: Database) -> (Site, Server) {
    let site = Site::configured(database, "[history]\nledger_keep_for = \"30d\"\n");
    let server = site.start().await;
    server.without_backups().await;
    (site, server)
}

async fn names_of(server: &Server, task: &str) -> Vec<String> {
    let runs = server.runs_of(task).await.into_iter();
    runs.map(|run| run.name).collect()
}

async fn history_is_pruned_but_never_the_last_success_or_failure(database: Database) {
    let mut stage = crate::support::Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", kept(scripted(&stage), 2)).await;
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
    let left = names_of(&server, "task").await;
    assert_eq!(left, [names[1].clone(), names[4].clone(), names[5].clone()]);
    server.advance(2 * 3600);
    prune(&server).await;
    let left = names_of(&server, "task").await;
    assert_eq!(left, [names[1].clone(), names[5].clone()]);
    let again = prune(&server).await;
    assert_eq!(again.counters["runs_deleted"], 0);
    server.stop().await;
}

async fn what_cannot_be_pruned_keeps_nothing_else_from_being_pruned(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let mut stubborn = kept(instant(), 1);
    stubborn.priority = Some(9);
    for (name, task) in [("a", stubborn), ("b", kept(instant(), 1))] {
        server.create(name, task).await;
        for _ in 0..3 {
            let run = server.trigger(name).await;
            server.ended(&run.name).await;
            server.advance(60);
        }
    }
    site.refuse("DELETE", "runs", "ROW.priority = 9").await;

    let run = server.trigger("prune-history").await;
    let run = until("the attempt to fail", async || {
        let run = server.run(&run.name).await;
        let over = [pb::RunState::Failed, pb::RunState::RetryWait].contains(&run.state());
        over.then_some(run)
    })
    .await;

    for part in ["2 runs", "but not tasks/a", "not this one"] {
        assert!(run.message.contains(part), "{part}: {}", run.message);
    }
    assert_eq!(server.runs_of("a").await.len(), 3);
    assert_eq!(server.runs_of("b").await.len(), 1);
    server.stop().await;
}

/// A number that looks like none other: what is made of these hardly gets smaller.
fn mixed(number: u32) -> u32 {
    let mut number = (number ^ (number >> 16)).wrapping_mul(0x7feb_352d);
    number = (number ^ (number >> 15)).wrapping_mul(0x846c_a68b);
    number ^ (number >> 16)
}

async fn a_log_is_dropped_in_portions_and_then_its_run(database: Database) {
    let mut stage = crate::support::Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", kept(scripted(&stage), 1)).await;
    let mut runs = Vec::new();
    // Many short lines as earlier versions kept them, few long ones, and none.
    let mut letters = (0..u32::MAX).map(|n| char::from(b'A' + (mixed(n) >> 26) as u8));
    for (lines, width) in [(0, 0), (100, 5000), (0, 0), (1, 10)] {
        let run = server.trigger("task").await;
        let entered = stage.enters().await;
        for _ in 0..lines {
            let line: String = letters.by_ref().take(width).collect();
            entered.context.log(line);
        }
        entered.succeeds();
        let run = server.ended(&run.name).await.name;
        let id = run.rsplit_once('/').unwrap().1;
        runs.push(id.parse::<RunId>().unwrap());
        server.advance(60);
    }
    let store = Store::open_existing(&site.location(), Arc::new(site.clock.clone()))
        .await
        .unwrap();
    let database = site.database.connect(site.data()).await;
    database
        .execute_unprepared(
            "INSERT INTO run_log (run_id, attempt, line, at, stream, text) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL \
             SELECT i + 1 FROM n WHERE i < 2500) SELECT (SELECT id FROM runs WHERE task = 'task' ORDER BY id LIMIT 1), \
             1, i, 0, 'log', 'xxxxxxxxxx' FROM n",
        )
        .await
        .unwrap();
    let rows = async || count(&site, "run_log").await + count(&site, "run_log_chunks").await;
    let mut left = rows().await;
    assert_eq!(left, 2601);
    let mut portions = 0;
    while let Some(bite) = store.log_bite(&runs[..2]).await.unwrap() {
        let mut tx = store.begin().await.unwrap();
        tx.log_drop(&bite).await.unwrap();
        drop(tx);
        assert_eq!(rows().await, left, "nothing without a commit");
        let mut tx = store.begin().await.unwrap();
        tx.log_drop(&bite).await.unwrap();
        tx.commit().await.unwrap();
        let now = rows().await;
        assert!((1..=1000).contains(&(left - now)), "{left} → {now}");
        left = now;
        portions += 1;
    }
    // A thousand rows, or 256 KiB.
    assert_eq!((left, portions), (1, 4));
    store.close().await;

    let run = prune(&server).await;
    assert_eq!(run.counters["runs_deleted"], 3, "{}", run.message);
    let of_task = "run_log_chunks c JOIN runs r ON r.id = c.run_id WHERE r.task = 'task'";
    assert_eq!(count(&site, of_task).await, 1);
    server.stop().await;
}

async fn a_task_with_very_much_to_prune_holds_up_no_other(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    for name in ["a", "m", "z"] {
        server.create(name, kept(instant(), 1)).await;
        for _ in 0..3 {
            let run = server.trigger(name).await;
            server.ended(&run.name).await;
            server.advance(60);
        }
    }
    let database = site.database.connect(site.data()).await;
    // As many rows as two turns take, and some more.
    let lines = "INSERT INTO run_log (run_id, attempt, line, at, stream, text) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL \
         SELECT i + 1 FROM n WHERE i < 12000) SELECT (SELECT id FROM runs WHERE task = 'm' ORDER BY id LIMIT 1), \
         1, i, 0, 'log', 'x' FROM n";
    let table = "CREATE TABLE went (number INTEGER, task TEXT)";
    for statement in [lines, table] {
        database.execute_unprepared(statement).await.unwrap();
    }
    let note = "INSERT INTO went VALUES ((SELECT count(*) FROM went), OLD.task)";
    site.after_delete("runs", "TRUE", note).await;

    let run = prune(&server).await;

    assert_eq!(run.counters["runs_deleted"], 6, "{}", run.message);
    let last = "went WHERE task = 'm' AND number >= 4";
    assert_eq!(count(&site, last).await, 2, "the others come before");
    assert_eq!(count(&site, "run_log").await, 0);
    server.stop().await;
}

async fn revisions_go_that_no_row_of_the_ledger_was_decided_by(database: Database) {
    let (site, server) = keeping_a_month(database).await;
    server.create("task", instant().cron("0 0 * * *")).await;
    let day = 24 * 3600;
    for number in 1..=5 {
        server.advance(day);
        server
            .decided("task", server.now() - jiff::SignedDuration::from_hours(12))
            .await;
        let told = pb::Task {
            name: "tasks/task".to_owned(),
            description: format!("told {number} times"),
            ..pb::Task::default()
        };
        update(&server, told, &["description"]).await;
    }
    prune(&server).await;
    let task = server.task("task").await;
    let before = count(&site, "task_revisions").await;
    assert_eq!(task.revision, 6);

    server.advance(40 * day);
    server
        .decided("task", server.now() - jiff::SignedDuration::from_hours(12))
        .await;
    until("the revisions to go", async || {
        // The auditor has to have seen the rows before they go.
        prune(&server).await;
        (count(&site, "task_revisions").await <= before - 5).then_some(())
    })
    .await;
    // The audit at the stop still finds each row as it should be.
    server.stop().await;
}

async fn what_is_cancelled_in_its_midst_is_not_said_to_be_done(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    server.create("task", kept(instant(), 1)).await;
    for _ in 0..2 {
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
        server.advance(60);
    }
    // The first deletion takes as long as it takes to be cancelled.
    let fate = site.database.connect(site.data()).await;
    for statement in [
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN PERFORM pg_sleep(3); RETURN OLD; END$$",
        "CREATE TRIGGER dawdle BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION dawdle()",
    ] {
        fate.execute_unprepared(statement).await.unwrap();
    }
    let run = server.trigger("prune-history").await.name;
    until("the deletion", async || {
        let text = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
                    AND datname = current_database()";
        let select = Statement::from_string(fate.get_database_backend(), text);
        fate.query_one_raw(select).await.unwrap().map(drop)
    })
    .await;
    let request = pb::CancelRunRequest {
        name: run.clone(),
        ..Default::default()
    };
    server.client.runs().cancel_run(request).await.unwrap();

    let run = server.ended(&run).await;

    assert_eq!(run.state(), pb::RunState::Cancelled, "{}", run.message);
    server.stop().await;
}

async fn a_log_goes_before_its_run_and_the_run_says_so(database: Database) {
    let mut stage = crate::support::Stage::new();
    let site = Site::configured(database, "[history]\nkeep_logs_for = \"1d\"\n");
    let server = site.start().await;
    server.without_backups().await;
    server.create("task", scripted(&stage)).await;
    let mut runs = Vec::new();
    for wait in [2 * 24 * 3600, 60] {
        let run = server.trigger("task").await;
        let entered = stage.enters().await;
        entered.context.log("said something");
        entered.succeeds();
        runs.push(server.ended(&run.name).await.name);
        server.advance(wait);
    }

    // Or the server's own of that day, which may have done it before.
    prune(&server).await;

    for (run, is_dropped) in [(&runs[0], true), (&runs[1], false)] {
        let request = pb::TailRunLogRequest {
            name: run.clone(),
            ..Default::default()
        };
        let opened = server.client.runs().tail_run_log(request).await;
        let mut log = opened.unwrap().into_inner();
        let (mut lines, mut told) = (0, None);
        while let Some(message) = log.message().await.unwrap() {
            told = message.log_drop_time;
            if let Some(pb::tail_run_log_response::Message::Chunk(chunk)) = message.message {
                lines += chunk.lines.len();
            }
        }
        assert_eq!(
            (lines, told.is_some()),
            (usize::from(!is_dropped), is_dropped)
        );
        let stays = server.run(run).await;
        assert_eq!(stays.log_drop_time, told);
        assert_eq!(stays.state(), pb::RunState::Succeeded);
    }
    let again = prune(&server).await;
    let dropped = again.counters["logs_dropped"];
    assert_eq!(dropped, 0, "{}", again.message);
    server.stop().await;
}
