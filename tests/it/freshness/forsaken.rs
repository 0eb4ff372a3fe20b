//! Runs that no server ever takes: of a kind that none knows, or of a task that is no more.

use sea_orm::ConnectionTrait as _;
use watchbell_client::pb;

use super::{of, over, succeeds};
use crate::support::{Database, Site, Stage, TaskExt as _, instant, on_both, scripted};

on_both!(
    a_kind_that_no_server_knows_is_told_and_its_runs_can_be_ended,
    runs_of_a_task_that_was_deleted_are_overdue_until_they_have_run,
);

async fn a_kind_that_no_server_knows_is_told_and_its_runs_can_be_ended(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("*/10 * * * *")).await;
    server.stop().await;
    // As one of a version that has another kind leaves it.
    let fate = site.database.connect(site.data()).await;
    let of_it = "(SELECT id FROM tasks WHERE name = 'task')";
    for step in [
        format!(
            "UPDATE task_revisions SET spec = REPLACE(spec, 'instant', 'vanished') WHERE task_id = {of_it}"
        ),
        format!(
            "UPDATE task_layers SET layers = REPLACE(layers, 'instant', 'vanished') WHERE task_id = {of_it}"
        ),
        "UPDATE tasks SET kind = 'vanished' WHERE name = 'task'".to_owned(),
        "UPDATE task_facets SET kind = 'vanished' WHERE name = 'task'".to_owned(),
    ] {
        let done = fate.execute_unprepared(&step).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{step}");
    }
    let server = site.start().await;
    // Before anything of it is due.
    let problem = of(&server, "task.unrunnable", "tasks/task").await;
    assert!(problem.message.contains("vanished"), "{}", problem.message);

    server.advance(600);
    server.decided("task", server.now()).await;
    server.advance(61);
    let problem = of(&server, "run.overdue", "tasks/task").await;
    assert!(problem.message.contains("kind"), "{}", problem.message);
    assert_eq!(server.status().await.overall(), pb::Severity::Critical);
    server.advance(600);
    of(&server, "task.stale", "tasks/task").await;
    // They do not wait for ever where someone says so.
    let pause = pb::PauseTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    server.client.tasks().pause_task(pause).await.unwrap();
    for run in server.runs_of("task").await {
        let request = pb::CancelRunRequest {
            name: run.name.clone(),
            ..Default::default()
        };
        server.client.runs().cancel_run(request).await.unwrap();
        let ended = server.ended(&run.name).await;
        assert_eq!(ended.state(), pb::RunState::Cancelled);
    }
    over(&server, "run.overdue", "tasks/task").await;
    of(&server, "task.unrunnable", "tasks/task").await;
    server.stop().await;
}

async fn runs_of_a_task_that_was_deleted_are_overdue_until_they_have_run(database: Database) {
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    server.create("hangs", scripted(&stage)).await;
    server.trigger("hangs").await;
    let hangs = stage.enters().await;
    let mut other = Stage::new();
    server.create("task", scripted(&other)).await;
    let run = server.trigger("task").await.name;
    let request = pb::DeleteTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    server.client.tasks().delete_task(request).await.unwrap();
    assert_eq!(server.run(&run).await.state(), pb::RunState::Queued);
    server.advance(61);
    of(&server, "run.overdue", "tasks/task").await;

    // What was asked for before it was deleted is done.
    hangs.succeeds();
    assert_eq!(succeeds(&server, &mut other).await, run);
    over(&server, "run.overdue", "tasks/task").await;
    server.stop().await;
}
