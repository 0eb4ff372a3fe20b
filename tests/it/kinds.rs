//! The kinds that ship, through the real server. Requests have a file of their own.

use watchbell_client::pb;

use crate::support::{Database, Server, Site, TaskExt as _, instant, on_both, until};

on_both!(
    the_health_check_measures_and_raises_problems_by_its_thresholds,
    history_is_pruned_but_never_the_last_success_or_failure,
    what_hangs_on_a_deleted_task_goes_in_the_end,
);

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
    server.without_backups().await;
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
