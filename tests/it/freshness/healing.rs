//! Successes that make good what failed, and those that do not.

use watchbell_client::pb;

use super::{
    backfill, ended, every_ten_minutes, fails, minute, of, over, retry, slot, still, succeeds,
};
use crate::support::{Database, Server, Site, Stage, TaskExt as _, on_both, scripted};

on_both!(
    work_of_an_older_slot_heals_nothing_that_failed_since,
    an_older_run_that_ends_after_a_newer_one_failed_heals_nothing,
    a_repetition_heals_what_it_repeats_and_nothing_newer,
    what_was_given_values_heals_nothing_of_its_task,
    what_failed_by_a_clock_that_was_ahead_is_healed_by_what_comes_after,
);

async fn failures(server: &Server) -> i32 {
    let task = server.task("task").await;
    assert_eq!(
        task.failing_since_time.is_some(),
        0 < task.consecutive_failures
    );
    task.consecutive_failures
}

async fn work_of_an_older_slot_heals_nothing_that_failed_since(database: Database) {
    let (_site, server, mut stage) = every_ten_minutes(database, |task| task).await;
    let failed = ended(&server, slot(&server, &mut stage, 600).await.fails()).await;
    still(&server, "task.failing", &failed).await;

    backfill(&server, "task", -25, -15).await;
    let older = succeeds(&server, &mut stage).await;
    assert_eq!(failures(&server).await, 1);
    let problem = still(&server, "task.failing", &older).await;
    assert!(
        problem.message.contains("older slot"),
        "{}",
        problem.message
    );

    retry(&server, &failed).await;
    succeeds(&server, &mut stage).await;
    assert_eq!(failures(&server).await, 0);
    over(&server, "task.failing", "tasks/task").await;
    server.stop().await;
}

async fn an_older_run_that_ends_after_a_newer_one_failed_heals_nothing(database: Database) {
    let beside = |task: pb::Task| task.overlap(pb::OverlapPolicy::Allow);
    let (_site, server, mut stage) = every_ten_minutes(database, beside).await;
    let older = slot(&server, &mut stage, 600).await;
    let newer = slot(&server, &mut stage, 600).await;
    ended(&server, newer.fails()).await;
    let older = ended(&server, older.succeeds()).await;
    assert_eq!(failures(&server).await, 1);
    still(&server, "task.failing", &older).await;

    ended(&server, slot(&server, &mut stage, 600).await.succeeds()).await;
    assert_eq!(failures(&server).await, 0);
    over(&server, "task.failing", "tasks/task").await;
    server.stop().await;
}

async fn a_repetition_heals_what_it_repeats_and_nothing_newer(database: Database) {
    let (_site, server, mut stage) = every_ten_minutes(database, |task| task).await;
    let first = ended(&server, slot(&server, &mut stage, 600).await.fails()).await;
    let second = ended(&server, slot(&server, &mut stage, 600).await.fails()).await;
    retry(&server, &first).await;
    let again = succeeds(&server, &mut stage).await;
    assert_eq!(failures(&server).await, 2);
    still(&server, "task.failing", &again).await;

    retry(&server, &second).await;
    fails(&server, &mut stage).await;
    assert_eq!(failures(&server).await, 3);
    retry(&server, &second).await;
    succeeds(&server, &mut stage).await;
    assert_eq!(failures(&server).await, 0);
    over(&server, "task.failing", "tasks/task").await;
    server.stop().await;
}

async fn what_was_given_values_heals_nothing_of_its_task(database: Database) {
    let text = r#"
[commands.report]
argv = ["/bin/sh", "-c", "exit ${WATCHBELL_PARAM_CODE-1}"]
accepts = { code = {} }
[tasks.task]
kind = "command"
parameters = { command = "report" }
schedule = { cron = "*/10 * * * *" }
"#;
    let site = Site::configured(database, text);
    let server = site.start().await;
    let triggered = async |code: Option<&str>| {
        let parameters = code.map(|code| prost_types::Struct {
            fields: [(
                "code".to_owned(),
                prost_types::Value {
                    kind: Some(prost_types::value::Kind::StringValue(code.to_owned())),
                },
            )]
            .into(),
        });
        let request = pb::TriggerTaskRequest {
            name: "tasks/task".to_owned(),
            parameters,
            ..Default::default()
        };
        let answer = server.client.tasks().trigger_task(request).await;
        let run = answer.unwrap().into_inner().run.unwrap();
        (server.ended(&run.name).await.state(), run.name)
    };
    // What fails with values is made good by what succeeds with values.
    assert_eq!(triggered(Some("1")).await.0, pb::RunState::Failed);
    assert_eq!(failures(&server).await, 1);
    assert_eq!(triggered(Some("0")).await.0, pb::RunState::Succeeded);
    assert_eq!(failures(&server).await, 0);
    for slots in 1..=2 {
        server.advance(600);
        server.decided("task", server.now()).await;
        for run in server.runs_of("task").await {
            server.ended(&run.name).await;
        }
        assert_eq!(failures(&server).await, slots);
    }
    server.advance(60);
    of(&server, "task.stale", "tasks/task").await;
    let (state, run) = triggered(Some("0")).await;
    assert_eq!(state, pb::RunState::Succeeded);
    assert_eq!(failures(&server).await, 2);
    still(&server, "task.failing", &run).await;
    still(&server, "task.stale", &run).await;
    // Nor is a repetition of it any of the task's own work.
    retry(&server, &run).await;
    let again = server.runs_of("task").await.pop().unwrap().name;
    assert_ne!(again, run);
    let ended = server.ended(&again).await;
    assert_eq!(ended.state(), pb::RunState::Succeeded);
    still(&server, "task.failing", &again).await;
    still(&server, "task.stale", &again).await;
    server.stop().await;
}

async fn what_failed_by_a_clock_that_was_ahead_is_healed_by_what_comes_after(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let task = scripted(&stage).overlap(pb::OverlapPolicy::Allow);
    server.create("task", task).await;
    let a_year = minute(60 * 24 * 365);
    server.trigger("task").await;
    let older = stage.enters().await;
    server.clock.set(a_year);
    server.trigger("task").await;
    fails(&server, &mut stage).await;
    server.clock.set(minute(1));
    server.trigger("task").await;
    succeeds(&server, &mut stage).await;
    assert_eq!(failures(&server).await, 0);

    server.clock.set(a_year);
    server.trigger("task").await;
    fails(&server, &mut stage).await;
    server.clock.set(minute(2));
    server.trigger("task").await;
    fails(&server, &mut stage).await;
    // What has failed by now is not made good by what began before.
    ended(&server, older.succeeds()).await;
    assert_eq!(failures(&server).await, 2);
    server.trigger("task").await;
    succeeds(&server, &mut stage).await;
    assert_eq!(failures(&server).await, 0);
    server.stop().await;
}
