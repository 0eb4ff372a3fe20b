//! Bells between replicas: who is called for what, and that a lost one costs time and nothing else.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, sqlx::postgres::PgListener};
use watchbell_client::pb;

use crate::support::{
    Database, Entered, Server, Site, Stage, TaskExt as _, instant, on_postgresql, scripted, stamp,
    until, within,
};

on_postgresql!(
    a_run_that_starts_where_it_was_ordered_calls_nobody_to_the_queue,
    what_a_full_replica_leaves_another_takes_at_once,
    a_bell_is_heard_by_its_name_and_without_one_and_by_one_of_tomorrow,
    a_run_whose_bell_was_lost_is_taken_at_the_next_look,
    who_could_not_hear_looks_once_they_can,
    a_claimer_that_stands_still_keeps_nobody_from_starting,
    two_who_claim_at_once_run_no_task_twice,
);

/// Rounds ring the queue's bell, too, but less often than that: each 10 s.
const SOON: Duration = Duration::from_secs(6);
/// What servers of older versions hold while they claim.
const OLDER_CLAIM_LOCK: i64 = 0x5761_7463_6863_6c6d;

/// The next attempt to come in, before a round could have brought it.
async fn enters_soon(stage: &mut Stage) -> Entered {
    let entered = tokio::time::timeout(SOON, stage.enters()).await;
    entered.expect("an attempt to start at once")
}

/// Makes a run that stands in line claimable, as nothing of ours does: no bell rings for it.
async fn let_go_unheard(fate: &DatabaseConnection) {
    let update = "UPDATE runs SET claim_at = queued_at, solo = false WHERE state = 'queued'";
    fate.execute_unprepared(update).await.unwrap();
}

/// The next of a line comes in at once, and both end.
async fn goes_on_soon(stage: &mut Stage, first: Entered) {
    let second = enters_soon(stage).await;
    for entered in [first, second] {
        entered.succeeds();
    }
}

async fn notify(fate: &DatabaseConnection, payload: &str) {
    let notify = format!("NOTIFY watchbell, '{payload}'");
    fate.execute_unprepared(&notify).await.unwrap();
}

/// A task with a run under way, and one that stands in line behind it.
async fn a_line(server: &Server, stage: &mut Stage, name: &str) -> Entered {
    let task = scripted(stage).overlap(pb::OverlapPolicy::BufferOne);
    server.create(name, task).await;
    server.trigger(name).await;
    let entered = stage.enters().await;
    let next = server.trigger(name).await;
    assert_eq!(next.state(), pb::RunState::Queued);
    entered
}

async fn a_run_that_starts_where_it_was_ordered_calls_nobody_to_the_queue(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    let mut ears = PgListener::connect(&site.database.url()).await.unwrap();
    ears.listen("watchbell").await.unwrap();
    // What was rung before has come by once this has.
    let fate = site.database.connect(site.data()).await;
    notify(&fate, "now").await;
    while within("the mark", ears.recv()).await.unwrap().payload() != "now" {}

    for _ in 0..5 {
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
    }
    server.create("mark", instant()).await;

    let mut logged = 0;
    loop {
        let rung = within("a bell", ears.recv()).await.unwrap();
        let names: Vec<&str> = rung.payload().split(' ').skip(1).collect();
        if names.contains(&"schedule") {
            break;
        }
        assert_eq!(names, ["log"], "{rung:?}");
        logged += 1;
    }
    assert!(logged <= 10, "one for what is told at about the same time");
    server.stop().await;
}

async fn what_a_full_replica_leaves_another_takes_at_once(database: Database) {
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let first = site.start().await;
    let (_, busy) = stage.busy(&first, "busy").await;
    let second = site.start().await;
    let by_slot = scripted(&stage).cron("* * * * *");
    first.create("ordered", scripted(&stage)).await;
    first.create("by-slot", by_slot).await;

    first.trigger("ordered").await;
    let ordered = enters_soon(&mut stage).await;
    assert_eq!(ordered.context.task.as_str(), "ordered");
    ordered.succeeds();
    until("a free place", async || {
        let runs = second.runs_of("ordered").await;
        (runs[0].state() == pb::RunState::Succeeded).then_some(())
    })
    .await;
    first.advance(60);
    let by_slot = enters_soon(&mut stage).await;
    assert_eq!(by_slot.context.task.as_str(), "by-slot");
    by_slot.succeeds();
    busy.succeeds();
    second.stop().await;
    first.stop().await;
}

async fn a_bell_is_heard_by_its_name_and_without_one_and_by_one_of_tomorrow(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let fate = site.database.connect(site.data()).await;
    let payloads = ["other queue", "other log queue", "other", "other tomorrow"];
    for (number, payload) in payloads.into_iter().enumerate() {
        let mut stage = Stage::new();
        let first = a_line(&server, &mut stage, &format!("line-{number}")).await;

        let_go_unheard(&fate).await;
        notify(&fate, payload).await;

        goes_on_soon(&mut stage, first).await;
    }
    server.stop().await;
}

async fn a_run_whose_bell_was_lost_is_taken_at_the_next_look(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let first = a_line(&server, &mut stage, "line").await;
    let fate = site.database.connect(site.data()).await;

    let_go_unheard(&fate).await;
    server.advance(31);

    goes_on_soon(&mut stage, first).await;
    server.stop().await;
}

async fn who_could_not_hear_looks_once_they_can(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let first = a_line(&server, &mut stage, "line").await;
    let fate = site.database.connect(site.data()).await;

    let_go_unheard(&fate).await;
    let ears = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name = 'watchbell' AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')";
    fate.execute_unprepared(ears).await.unwrap();

    goes_on_soon(&mut stage, first).await;
    server.stop().await;
}

async fn a_claimer_that_stands_still_keeps_nobody_from_starting(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    for name in ["ordered", "by-slot", "next"] {
        let task = scripted(&stage).overlap(pb::OverlapPolicy::BufferOne);
        let task = match name {
            "by-slot" => task.cron("* * * * *"),
            _ => task,
        };
        server.create(name, task).await;
    }
    // As a replica of an older version that stands still between its claim and its commit.
    let fate = site.database.connect(site.data()).await;
    let claim = format!("BEGIN; SELECT pg_advisory_xact_lock({OLDER_CLAIM_LOCK})");
    fate.execute_unprepared(&claim).await.unwrap();

    server.trigger("ordered").await;
    let ordered = enters_soon(&mut stage).await;
    server.advance(60);
    let by_slot = enters_soon(&mut stage).await;
    server.trigger("next").await;
    let next = enters_soon(&mut stage).await;
    // And the next of a line follows its first.
    server.trigger("ordered").await;
    ordered.succeeds();
    let followed = enters_soon(&mut stage).await;
    assert_eq!(followed.context.task.as_str(), "ordered");
    for entered in [by_slot, next, followed] {
        entered.succeeds();
    }
    fate.execute_unprepared("ROLLBACK").await.unwrap();
    server.stop().await;
}

async fn two_who_claim_at_once_run_no_task_twice(database: Database) {
    const TASKS: usize = 6;
    const SLOTS: usize = 8;
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 4");
    let servers = [site.start().await, site.start().await];
    let names: Vec<String> = (0..TASKS).map(|number| format!("task-{number}")).collect();
    for name in &names {
        let task = scripted(&stage).every(60);
        servers[0].create(name, task).await;
    }
    for (number, name) in names.iter().enumerate() {
        let end = servers[0].now();
        let start = end - jiff::SignedDuration::from_mins(SLOTS as i64);
        let request = pb::BackfillTaskRequest {
            name: format!("tasks/{name}"),
            start_time: Some(stamp(start)),
            end_time: Some(stamp(end)),
            max_count: 100,
            ..Default::default()
        };
        let tasks = servers[number % 2].client.tasks();
        tasks.clone().backfill_task(request).await.unwrap();
    }

    let mut under_way = HashSet::new();
    let mut ended = 0;
    let mut held: VecDeque<Entered> = VecDeque::new();
    while ended < TASKS * SLOTS {
        if TASKS * SLOTS <= ended + held.len() || TASKS <= held.len() {
            let oldest = held.pop_front().unwrap();
            under_way.remove(&oldest.context.task);
            oldest.succeeds();
            ended += 1;
            continue;
        }
        let entered = stage.enters().await;
        let task = entered.context.task.clone();
        assert!(under_way.insert(task.clone()), "two runs of {task} at once");
        held.push_back(entered);
    }
    for server in servers {
        server.stop().await;
    }
}
