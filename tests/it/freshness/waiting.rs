//! Runs that wait for longer than they should, and attempts that fail meanwhile.

use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use watchbell_client::pb;

use super::{has, of, over, slot, still};
use crate::support::{
    Database, Server, Site, Stage, TaskExt as _, at, instant, many, on_both, scripted, seconds,
    until,
};

on_both!(
    a_due_run_that_finds_no_place_is_overdue_and_its_task_stale,
    a_run_in_line_behind_one_that_hangs_is_overdue,
    an_attempt_that_is_tried_again_beyond_the_next_slot_is_told,
    attempts_that_go_on_failing_are_told_after_five_minutes,
    of_two_runs_that_are_tried_again_each_is_told,
    a_retry_that_no_server_queues_is_overdue,
    a_run_whose_lease_nobody_renews_or_takes_over_is_overdue,
    of_very_many_tasks_with_runs_that_wait_it_is_told_in_time,
);

/// One that is tried up to so often, with waits of up to so long.
fn tried(task: pb::Task, attempts: i32, backoff: u64) -> pb::Task {
    pb::Task {
        retry: Some(pb::RetryPolicy {
            max_attempts: attempts,
            initial_backoff: Some(seconds(backoff)),
            max_backoff: Some(seconds(backoff)),
        }),
        ..task
    }
}

async fn a_due_run_that_finds_no_place_is_overdue_and_its_task_stale(database: Database) {
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    server.create("hangs", scripted(&stage)).await;
    server.create("task", instant().cron("*/10 * * * *")).await;
    server.trigger("hangs").await;
    let hangs = stage.enters().await;

    server.advance(600);
    server.decided("task", server.now()).await;
    server.advance(61);
    let problem = of(&server, "run.overdue", "tasks/task").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert_eq!(at(&problem.since_time), "2026-03-02T12:11:00Z");
    server.advance(600);
    of(&server, "task.stale", "tasks/task").await;

    hangs.succeeds();
    over(&server, "run.overdue", "tasks/task").await;
    over(&server, "task.stale", "tasks/task").await;
    server.stop().await;
}

async fn a_run_in_line_behind_one_that_hangs_is_overdue(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let task = scripted(&stage).overlap(pb::OverlapPolicy::BufferOne);
    server.create("task", task).await;
    server.trigger("task").await;
    let hangs = stage.enters().await;
    server.trigger("task").await;
    server.advance(59);
    assert!(!has(&server, "run.overdue", "tasks/task").await);
    // By the next look.
    server.advance(11);
    let problem = of(&server, "run.overdue", "tasks/task").await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:01:00Z");
    assert!(problem.message.contains("line"), "{}", problem.message);

    hangs.succeeds();
    stage.enters().await.succeeds();
    over(&server, "run.overdue", "tasks/task").await;
    server.stop().await;
}

async fn an_attempt_that_is_tried_again_beyond_the_next_slot_is_told(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    // However little of the wait the draw takes, the next slot is nearer.
    server.without_backups().await;
    let task = tried(scripted(&stage).cron("* * * * * *"), 5, 86_400);
    server.create("task", task).await;
    server.advance(1);
    let context = stage.enters().await.fails();

    let problem = of(&server, "task.failing", "tasks/task").await;
    assert_eq!(problem.severity(), pb::Severity::Warning);
    assert!(
        problem.message.contains("tried again"),
        "{}",
        problem.message
    );
    let task = server.task("task").await;
    assert_eq!(task.consecutive_failures, 0);
    assert_eq!(at(&task.failing_since_time), "2026-03-02T12:00:01Z");
    assert_eq!(server.status().await.failing_task_count, 1);

    let run = format!("tasks/task/runs/{}", context.run);
    server.advance(86_400);
    // Under way again is not done.
    let again = stage.enters().await;
    of(&server, "task.failing", "tasks/task").await;
    again.succeeds();
    server.ended(&run).await;
    over(&server, "task.failing", "tasks/task").await;
    server.stop().await;
}

async fn attempts_that_go_on_failing_are_told_after_five_minutes(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let task = tried(scripted(&stage).cron("0 0 1 1 *"), 100, 60);
    server.create("task", task).await;
    let run = server.trigger("task").await;
    stage.enters().await.fails();
    server.reaches(&run.name, pb::RunState::RetryWait).await;
    assert!(!has(&server, "task.failing", "tasks/task").await);
    for _ in 0..5 {
        server.advance(61);
        stage.enters().await.fails();
        server.reaches(&run.name, pb::RunState::RetryWait).await;
    }
    let problem = of(&server, "task.failing", "tasks/task").await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:00:00Z");

    // What it tells of is over when the run is.
    let request = pb::CancelRunRequest {
        name: run.name.clone(),
        ..Default::default()
    };
    server.client.runs().cancel_run(request).await.unwrap();
    over(&server, "task.failing", "tasks/task").await;
    server.stop().await;
}

async fn of_two_runs_that_are_tried_again_each_is_told(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let task = tried(scripted(&stage).cron("* * * * * *"), 5, 86_400);
    let task = task.overlap(pb::OverlapPolicy::Allow);
    server.create("task", task).await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let context = slot(&server, &mut stage, 1).await.fails();
        let run = format!("tasks/task/runs/{}", context.run);
        server.reaches(&run, pb::RunState::RetryWait).await;
        runs.push(run);
    }
    of(&server, "task.failing", "tasks/task").await;
    let cancel = async |run: &str| {
        let request = pb::CancelRunRequest {
            name: run.to_owned(),
            ..Default::default()
        };
        server.client.runs().cancel_run(request).await.unwrap();
    };
    cancel(&runs[1]).await;
    let problem = still(&server, "task.failing", &runs[1]).await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:00:01Z");
    cancel(&runs[0]).await;
    over(&server, "task.failing", "tasks/task").await;
    server.stop().await;
}

/// Has the database refuse changes of runs that are so, until they are let again.
async fn stuck(site: &Site, when: &str) -> DatabaseConnection {
    let fate = site.database.connect(site.data()).await;
    let steps = match site.database.is_postgresql() {
        true => vec![
            "CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''it is stuck''; END'"
                .to_owned(),
            format!(
                "CREATE TRIGGER stuck BEFORE UPDATE ON runs FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION stuck()"
            ),
        ],
        false => vec![format!(
            "CREATE TRIGGER stuck BEFORE UPDATE ON runs WHEN {when} \
             BEGIN SELECT RAISE(ABORT, 'it is stuck'); END"
        )],
    };
    for step in steps {
        fate.execute_unprepared(&step).await.unwrap();
    }
    fate
}

async fn let_go(site: &Site, fate: &DatabaseConnection) {
    let on = match site.database.is_postgresql() {
        true => " ON runs",
        false => "",
    };
    let drop = format!("DROP TRIGGER stuck{on}");
    fate.execute_unprepared(&drop).await.unwrap();
}

/// Lets a minute pass, with a look now and then, and the time that looks take on a machine that is busy: of the task's runs
/// that wait one is told by then.
async fn is_overdue(server: &Server) -> pb::Problem {
    for _ in 0..6 {
        server.advance(10);
        server.status().await;
    }
    until("a run to be told as overdue", async || {
        let problems = server.status().await.problems;
        let told = problems
            .into_iter()
            .find(|told| told.r#type == "run.overdue" && told.subject == "tasks/task");
        // What was first seen late is told late.
        server.advance(i64::from(told.is_none()));
        told
    })
    .await
}

async fn a_retry_that_no_server_queues_is_overdue(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage).attempts(2)).await;
    let run = server.trigger("task").await.name;
    stage.enters().await.fails();
    server.reaches(&run, pb::RunState::RetryWait).await;
    let fate = stuck(&site, "OLD.state = 'retry_wait' AND NEW.state = 'queued'").await;
    server.advance(62);
    // Where a machine has slept, all retries are late for a moment.
    assert!(!has(&server, "run.overdue", "tasks/task").await);
    let problem = is_overdue(&server).await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert!(problem.message.contains("retry"), "{}", problem.message);

    let_go(&site, &fate).await;
    stage.enters().await.succeeds();
    server.ended(&run).await;
    over(&server, "run.overdue", "tasks/task").await;
    server.stop().await;
}

async fn a_run_whose_lease_nobody_renews_or_takes_over_is_overdue(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let run = server.trigger("task").await.name;
    let id = run.rsplit('/').next().unwrap();
    let entered = stage.enters().await;
    let renewed =
        "OLD.state = 'running' AND NEW.state = 'running' AND OLD.lease_until < NEW.lease_until";
    let fate = stuck(&site, renewed).await;
    server.advance(76);
    assert!(!has(&server, "run.overdue", "tasks/task").await);
    let problem = is_overdue(&server).await;
    assert!(problem.message.contains(id), "{}", problem.message);
    assert_eq!(at(&problem.since_time), "2026-03-02T12:01:15Z");

    let_go(&site, &fate).await;
    entered.succeeds();
    let ended = server.ended(&run).await;
    assert_eq!(ended.state(), pb::RunState::Succeeded);
    over(&server, "run.overdue", "tasks/task").await;
    server.stop().await;
}

/// Of each of so many tasks one run waits. PostgreSQL once asked for what waits of each pair of them.
async fn of_very_many_tasks_with_runs_that_wait_it_is_told_in_time(database: Database) {
    const TASKS: usize = 2_500;
    let mut stage = Stage::new();
    let tasks = many(TASKS, "{ cron = \"0 * * * *\" }");
    let site = Site::configured(database, &format!("max_running = 1\n{tasks}"));
    let server = site.start().await;
    server.create("hangs", scripted(&stage)).await;
    server.trigger("hangs").await;
    let hangs = stage.enters().await;

    server.advance(3600);
    for task in ["t0000", "t1250", "t2499"] {
        server.decided(task, server.now()).await;
    }
    server.advance(61);
    until("runs that are overdue to be told", async || {
        let problems = server.status().await.problems;
        let has = |kind: &str| problems.iter().any(|problem| problem.r#type == kind);
        // Who has not looked since the clock moved on has to look once more.
        (has("run.overdue") && !has("monitor.stalled")).then_some(())
    })
    .await;
    hangs.succeeds();
    server.kill().await;
}
