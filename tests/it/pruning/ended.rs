//! Stories of what is left of tasks that were deleted: it goes in the end, and not before.

use jiff::SignedDuration;
use watchbell_client::pb;

use super::{count, keeping_a_month, kept, prune};
use crate::support::{Database, Server, TaskExt as _, instant, on_both, until};

on_both!(
    what_hangs_on_a_deleted_task_goes_in_the_end,
    a_task_that_was_deleted_again_meanwhile_is_kept_from_then,
);

async fn delete(server: &Server) {
    let request = pb::DeleteTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    server.client.tasks().delete_task(request).await.unwrap();
}

async fn what_hangs_on_a_deleted_task_goes_in_the_end(database: Database) {
    let (site, server) = keeping_a_month(database).await;
    server.create("task", instant().cron("* * * * *")).await;
    for _ in 0..3 {
        server.advance(60);
        server.decided("task", server.now()).await;
    }
    let runs = server.runs_of("task").await;
    for run in &runs {
        server.ended(&run.name).await;
    }
    delete(&server).await;

    server.advance(400 * 24 * 3600);
    let erased = until("the task to be erased", async || {
        let request = pb::GetRunRequest {
            name: runs[0].name.clone(),
        };
        let asked = server.client.runs().get_run(request).await;
        if asked.is_err() {
            return Some(());
        }
        prune(&server).await;
        None
    });
    erased.await;

    for table in ["runs", "slots", "task_revisions"] {
        let of_none =
            format!("{table} t WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = t.task_id)");
        let count = count(&site, &of_none).await;
        assert_eq!(count, 0, "{table} of no task");
    }
    server.stop().await;
}

/// It came back, and was deleted once more, while its runs were pruned.
async fn a_task_that_was_deleted_again_meanwhile_is_kept_from_then(database: Database) {
    let (site, server) = keeping_a_month(database).await;
    server.create("task", kept(instant(), 1)).await;
    for _ in 0..3 {
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
        server.advance(60);
    }
    delete(&server).await;
    let wait = 400 * 24 * 3600;
    let again = (server.now() + SignedDuration::from_secs(wait)).as_microsecond();
    let update = format!("UPDATE tasks SET deleted_at = {again} WHERE name = 'task'");
    site.after_delete("runs", "OLD.task = 'task'", &update)
        .await;

    server.advance(wait);
    prune(&server).await;

    assert_eq!(count(&site, "tasks WHERE name = 'task'").await, 1);
    assert_eq!(count(&site, "runs WHERE task = 'task'").await, 1);
    server.stop().await;
}
