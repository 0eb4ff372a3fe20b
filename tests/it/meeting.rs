//! Calls that meet an edit of the task that they are about: they wait for it, and find the task as it has left it.

use sea_orm::{ConnectionTrait as _, Statement};
use watchbell_client::pb;

use crate::{
    catalogue::set_priority,
    support::{Database, Site, TaskExt as _, instant, on_postgresql, until},
};

on_postgresql!(what_waits_for_an_edit_finds_the_task_with_its_new_revision);

/// An edit of another server's that is under way: what it makes is a new revision, like the one before.
const EDIT: &str = "BEGIN; \
     INSERT INTO task_revisions SELECT (jsonb_populate_record(r, jsonb_build_object('revision', r.revision + 1))).* \
     FROM task_revisions r JOIN tasks t ON t.id = r.task_id AND t.revision = r.revision WHERE t.name = 'task'; \
     UPDATE tasks SET revision = revision + 1 WHERE name = 'task'";

/// Calls that wait for a lock of that server's transaction.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

async fn what_waits_for_an_edit_finds_the_task_with_its_new_revision(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let overlap = instant().overlap(pb::OverlapPolicy::Allow);
    let before = server.create("task", overlap).await;
    let editor = site.database.connect(site.data()).await;
    let watcher = site.database.connect(site.data()).await;
    editor.execute_unprepared(EDIT).await.unwrap();

    let commit = async {
        until("both calls to wait for the edit", async || {
            let count = Statement::from_string(watcher.get_database_backend(), WAITING);
            let row = watcher.query_one_raw(count).await.unwrap().unwrap();
            let count: i64 = row.try_get_by_index(0).unwrap();
            (2 <= count).then_some(())
        })
        .await;
        editor.execute_unprepared("COMMIT").await.unwrap();
    };
    let edit = set_priority(&server, "task");
    let (run, edited, ()) = tokio::join!(server.trigger("task"), edit, commit);

    server.ended(&run.name).await;
    assert_eq!(edited.revision, before.revision + 2);
    server.stop().await;
}
