//! Others hold transactions open on the database's server: a stranger for the whole of the storm, and now and then one
//! that has drawn numbers of the log, as a replica does that hangs.

use std::time::Duration;

use sea_orm::ConnectionTrait as _;

use super::{arena::Arena, form::Form, pace::soon, workload::Load};
use crate::support::{Database, on_postgresql};

on_postgresql!(strangers_that_hold_transactions_open_silence_no_watch);

/// What a watcher of a server that is busy may be behind, on a machine that is busy, too. Those transactions are open for
/// longer.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

async fn strangers_that_hold_transactions_open_silence_no_watch(database: Database) {
    let form = Form::now();
    let elsewhere = database.empty().await;
    let load = Load::storm(form);
    let mut arena = Arena::new("strangers", database.into(), form.pick("3s", "15s"), load).await;
    arena.start().await;
    let stranger = elsewhere.connect(&arena.place.data()).await;
    let open = "BEGIN; CREATE TABLE strange (thing TEXT)";
    stranger.execute_unprepared(open).await.unwrap();
    // One that starts while it is open.
    arena.start().await;
    arena.begin().await;
    let alone = arena.longest_call().await;
    for _ in 0..form.pick(1, 5) {
        arena
            .blow_for(form.pick(Duration::from_secs(1), Duration::from_secs(4)))
            .await;
        watchers_hear(&arena).await;
        let url = arena.url();
        let hanging = sea_orm::Database::connect(url).await.unwrap();
        let hold = "BEGIN; INSERT INTO events (at, kind, subject, payload) VALUES (0, 'thing.happened', '', '{}')";
        hanging.execute_unprepared(hold).await.unwrap();
        arena.figures.blows += 1;
        arena.nobody_waits(alone).await;
        arena.decides("deciding to go on beside held numbers").await;
        hanging.execute_unprepared("ROLLBACK").await.unwrap();
        hanging.close().await.unwrap();
        watchers_hear(&arena).await;
    }
    arena.settle().await;
    stranger.execute_unprepared("ROLLBACK").await.unwrap();
}

/// Waits until the watchers of everything have heard of what has happened by now.
async fn watchers_hear(arena: &Arena) {
    let last = "SELECT max(sequence) FROM events WHERE kind LIKE 'run.%'";
    let last = arena.look().await.number(last).await.unwrap();
    for watcher in arena.watchers.iter().filter(|it| it.task.is_empty()) {
        let heard = soon("the watchers to hear", TOLD_WITHIN, async || {
            watcher.has_reached(last).then_some(())
        });
        heard.await;
    }
}
