//! What nobody follows on a replica is not read there: nothing of it is lost to who follows later, nothing counts as told
//! before it is final, and what a replica looks at by itself is not overlooked.

use std::sync::Arc;

use futures_util::StreamExt as _;
use sea_orm::ConnectionTrait as _;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use watchbell::{
    journal,
    store::{Location, Store},
};

use crate::{
    stalling::{hold_numbers, number},
    support::{Database, Server, Site, instant, on_postgresql, until},
};

on_postgresql!(
    what_nobody_follows_is_not_read_and_comes_to_who_follows_later,
    what_a_replica_looks_at_by_itself_is_told_from_all_else,
    what_is_passed_by_waits_for_numbers_that_are_held,
);

/// A replica that reads the log and does nothing else.
struct Reader {
    store: Store,
    reads: JoinHandle<()>,
    _stop: DropGuard,
}

impl Reader {
    async fn of(site: &Site) -> Self {
        let location = Location::Postgres(site.database.url());
        let store = Store::open_existing(&location, Arc::new(site.clock.clone()))
            .await
            .unwrap();
        store.tail().attend_tasks(vec!["watched-"]);
        let stop = CancellationToken::new();
        store.start_tail(&stop).await.unwrap();
        let reads = tokio::spawn(store.clone().run_tail(stop.clone()));
        Self {
            store,
            reads,
            _stop: stop.drop_guard(),
        }
    }

    /// Waits until it knows all that is there, and says how far that is.
    async fn has_come_up(&self) -> i64 {
        until("a reader to come up", async || {
            let highest = self.store.events_highest().await.unwrap();
            (self.store.tail().last() == highest).then_some(highest)
        })
        .await
    }

    async fn ends(self) {
        drop(self._stop);
        self.reads.await.unwrap();
        self.store.close().await;
    }
}

async fn what_nobody_follows_is_not_read_and_comes_to_who_follows_later(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let reader = Reader::of(&site).await;
    let from = reader.store.tail().last();
    server.create("task", instant()).await;
    for _ in 0..3 {
        let run = server.trigger("task").await.name;
        server.ended(&run).await;
    }
    let upto = passed_by(&server, &reader, from).await;

    let there = reader.store.events_between(from, upto, 1000).await.unwrap();
    assert!(10 <= there.len(), "one of the task, and three of each run");
    let mut follows = Box::pin(journal::follow(reader.store.clone(), from));
    for expected in &there {
        let told = follows.next().await.unwrap().unwrap();
        assert_eq!(told.sequence, expected.sequence);
        assert_eq!(told.payload, expected.payload);
    }
    // From now on it is read, once for all who follow.
    let run = server.trigger("task").await.name;
    server.ended(&run).await;
    let last = reader.has_come_up().await;
    let held = reader.store.tail().after(upto, 1000).unwrap();
    assert_eq!(held.last().unwrap().sequence, last);
    let next = follows.next().await.unwrap().unwrap();
    assert_eq!(next.sequence, held[0].sequence);

    // Nobody follows any more.
    drop(follows);
    passed_by(&server, &reader, last).await;
    reader.ends().await;
    server.stop().await;
}

/// Runs the task until something after `from` was passed by, of which none is held; says how far that is. On a machine that
/// is busy a gap may last so long that what is behind it is read, whoever follows.
async fn passed_by(server: &Server, reader: &Reader, from: i64) -> i64 {
    until("events to be passed by", async || {
        let run = server.trigger("task").await.name;
        server.ended(&run).await;
        let upto = reader.has_come_up().await;
        let held = reader.store.tail().after(from, 1);
        held.is_none().then_some(upto)
    })
    .await
}

async fn what_a_replica_looks_at_by_itself_is_told_from_all_else(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let reader = Reader::of(&site).await;
    let tail = reader.store.tail().clone();
    server.create("task", instant()).await;
    reader.has_come_up().await;
    let of_task = tail.last_of_tasks();
    assert!(0 < of_task, "a task has come");
    let is_run = |kind: &str| kind.starts_with("run.");
    // What is read behind a gap that lasts counts as well.
    let (run, passed) = until("runs that concern nobody", async || {
        let before = tail.last_of_attended();
        let run = server.trigger("task").await.name;
        server.ended(&run).await;
        let passed = reader.has_come_up().await;
        (tail.last_of_attended() == before).then_some((run, passed))
    })
    .await;

    // Of a kind that a newer server tells nobody knows whom it concerns.
    let newer = hold_numbers(&site, &run).await;
    newer.execute_unprepared("COMMIT").await.unwrap();
    let upto = reader.has_come_up().await;
    let events = reader.store.events_between(passed, upto, 1000).await;
    let events = events.unwrap();
    let pondered = events.iter().find(|one| one.told_as() == "run.pondered");
    assert!(pondered.unwrap().sequence <= tail.last_of_attended());

    server.create("watched-task", instant()).await;
    let run = server.trigger("watched-task").await.name;
    server.ended(&run).await;
    let upto = reader.has_come_up().await;
    let events = reader.store.events_between(passed, upto, 1000).await;
    let events = events.unwrap();
    let of_run = events.iter().rfind(|event| is_run(event.kind.as_str()));
    assert!(of_run.unwrap().sequence <= tail.last_of_attended());
    assert!(of_task < tail.last_of_tasks());
    reader.ends().await;
    server.stop().await;
}

async fn what_is_passed_by_waits_for_numbers_that_are_held(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    let before = server.trigger("task").await.name;
    server.ended(&before).await;
    let reader = Reader::of(&site).await;
    let from = reader.has_come_up().await;
    for (end, comes) in [("COMMIT", 1), ("ROLLBACK", 0)] {
        let at = reader.has_come_up().await;
        let fate = hold_numbers(&site, &before).await;
        let process = number(&fate, "SELECT pg_backend_pid()::bigint").await;
        let held = "SELECT max(sequence) FROM events WHERE kind = 'run.pondered'";
        let held = number(&fate, held).await;
        let after = server.trigger("task").await.name;
        server.ended(&after).await;
        let hindrance = until("the gap to be seen", async || {
            let hindrance = reader.store.tail().hindrance()?;
            (!hindrance.holders.is_empty()).then_some(hindrance)
        })
        .await;
        // Beside it there may be whoever writes at that moment, such as that the log had stalled.
        let holders = hindrance.holders.into_iter().map(i64::from);
        assert!(holders.collect::<Vec<_>>().contains(&process));
        let last = reader.store.tail().last();
        assert!(last < held, "it stands before the gap");
        fate.execute_unprepared(end).await.unwrap();
        let upto = reader.has_come_up().await;
        let told = journal::follow(reader.store.clone(), at);
        let told: Vec<_> = told
            .map(|event| event.unwrap())
            .take_while(|event| std::future::ready(event.sequence < upto))
            .collect()
            .await;
        let pondered = told.iter().filter(|one| one.told_as() == "run.pondered");
        assert_eq!(pondered.count(), comes, "{end}");
    }
    assert!(from < reader.store.tail().last());
    reader.ends().await;
    server.stop().await;
}
