//! A snapshot that someone holds for long on PostgreSQL, so that no dead row is removed: looks go by what lives.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, Stage, TaskExt as _, instant, on_postgresql, scripted, until,
};

on_postgresql!(
    the_queue_is_looked_at_without_what_was_in_it,
    a_run_that_was_due_long_ago_is_taken_where_looks_begin_behind_it,
);

/// What some minutes of work leave behind.
const DEAD: i64 = 5000;
/// Orders of runs, of which each looks into the queue.
const ORDERS: i64 = 50;
/// How often a retry is waited for where a round came first.
const TRIES: usize = 5;

/// Holds a snapshot from here on.
async fn hold(site: &Site) -> DatabaseConnection {
    let holder = site.database.connect(site.data()).await;
    let hold = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM runs";
    holder.execute_unprepared(hold).await.unwrap();
    holder
}

/// Has as many runs have been in the queue as `DEAD`, due after the one that is there, and have ended. Nobody sees them in
/// there, as both is one write.
async fn churn(fate: &DatabaseConnection, name: &str) {
    let id = name.rsplit('/').next().unwrap();
    let come = format!(
        "INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid(), 'state', \
         'queued', 'finished_at', NULL, 'claim_at', r.due_at, 'due_at', r.due_at + n))).* FROM runs r, \
         generate_series(1, {DEAD}) n WHERE r.id = '{id}'"
    );
    let go = format!(
        "UPDATE runs SET state = 'succeeded', claim_at = NULL, finished_at = r.finished_at FROM runs r \
         WHERE runs.state = 'queued' AND r.id = '{id}'"
    );
    let both = format!("BEGIN; {come}; {go}; COMMIT");
    fate.execute_unprepared(&both).await.unwrap();
}

/// How often the queue's index was searched so far, and how many entries were read in it.
async fn searched(fate: &DatabaseConnection) -> (i64, i64) {
    let select =
        "SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'runs_claim'";
    let select = Statement::from_string(fate.get_database_backend(), select);
    let row = fate.query_one_raw(select).await.unwrap().unwrap();
    (
        row.try_get_by_index(0).unwrap(),
        row.try_get_by_index(1).unwrap(),
    )
}

/// Orders runs until that is in the figures; answers how many entries a search has read.
async fn read_at_once(server: &Server, fate: &DatabaseConnection) -> i64 {
    let (scans, read) = searched(fate).await;
    let (more_scans, more_read) = until("the searches to be counted", async || {
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
        let now = searched(fate).await;
        (scans + ORDERS <= now.0).then_some(now)
    })
    .await;
    (more_read - read) / (more_scans - scans)
}

/// How often a round has had looks begin anew.
async fn rounds(server: &Server) -> i64 {
    let status = server.status().await;
    let refill = status.rounds.iter().find(|round| round.name == "refill");
    refill.expect("the round is there").ring_count
}

/// A server beside a snapshot that is held, once its looks are short in spite of what was in the queue.
async fn looks_shortly(site: &Site, server: &Server) -> DatabaseConnection {
    server.create("task", instant()).await;
    let run = server.trigger("task").await;
    server.ended(&run.name).await;
    let holder = hold(site).await;
    let fate = site.database.connect(site.data()).await;
    churn(&fate, &run.name).await;

    // What was due up to some seconds ago is passed over from a round on.
    server.advance(60);
    until("looks to be short", async || {
        let read = read_at_once(server, &fate).await;
        (read < DEAD / 100).then_some(())
    })
    .await;
    holder
}

async fn the_queue_is_looked_at_without_what_was_in_it(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let holder = looks_shortly(&site, &server).await;
    holder.execute_unprepared("ROLLBACK").await.unwrap();
    server.stop().await;
}

async fn a_run_that_was_due_long_ago_is_taken_where_looks_begin_behind_it(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("again", scripted(&stage).attempts(2)).await;
    let mut run = server.trigger("again").await;
    let mut first = stage.enters().await;
    let holder = looks_shortly(&site, &server).await;

    for _ in 0..TRIES {
        let before = rounds(&server).await;
        first.fails();
        server.reaches(&run.name, pb::RunState::RetryWait).await;
        server.advance(2);
        stage.enters().await.succeeds();
        let after = rounds(&server).await;
        server.ended(&run.name).await;
        if before == after {
            holder.execute_unprepared("ROLLBACK").await.unwrap();
            return server.stop().await;
        }
        // A round had looks begin anew meanwhile, which finds it whatever else does.
        run = server.trigger("again").await;
        first = stage.enters().await;
        server.advance(60);
        until("looks to begin anew", async || {
            (after < rounds(&server).await).then_some(())
        })
        .await;
        let look = server.trigger("task").await;
        server.ended(&look.name).await;
    }
    panic!("it was tried again by rounds alone");
}
