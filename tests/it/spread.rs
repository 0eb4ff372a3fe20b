//! A slot that has come and waits for its spread: nothing that is done meanwhile loses it.

use jiff::{SignedDuration, Timestamp};
use watchbell_client::pb;

use crate::{
    catalogue::update,
    edits_and_pauses::{pause, resume, row},
    support::{Database, Server, Site, TaskExt as _, at, instant, noon, on_both, seconds, stamp},
};

on_both!(
    an_edit_that_touches_no_schedule_closes_nothing,
    a_pause_that_ends_before_a_slot_is_due_leaves_it,
    a_pause_in_which_a_slot_is_due_takes_it,
    a_pause_of_all_that_ends_before_a_slot_is_due_leaves_it,
    another_spread_leaves_a_slot_that_is_not_due,
    no_spread_lets_a_slot_run_at_once_and_on_time,
    another_time_takes_the_place_of_a_slot_that_is_not_due,
    a_task_that_is_deleted_owes_no_slot,
    another_configuration_leaves_a_slot_that_is_not_due,
);

fn slot() -> Timestamp {
    noon() + SignedDuration::from_hours(1)
}

fn spread() -> pb::Task {
    let mut spread = instant().cron("0 * * * *");
    spread.schedule.as_mut().unwrap().spread = Some(seconds(1800));
    spread
}

/// A server with the task, after half of the time between its slot and when that is due, which is returned.
async fn waiting(database: Database) -> (Site, Server, Timestamp) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", spread()).await;
    let due_at = half_way(&site, &server).await;
    (site, server, due_at)
}

async fn half_way(site: &Site, server: &Server) -> Timestamp {
    let due_at: Timestamp = at(&server.task("task").await.next_due_time)
        .parse()
        .unwrap();
    assert!(slot() + SignedDuration::from_mins(1) < due_at, "{due_at}");
    let half = due_at.duration_since(slot()).as_secs() / 2;
    site.clock.set(slot() + SignedDuration::from_secs(half));
    due_at
}

/// Lets the slot become due, and expects its run.
async fn it_runs(site: &Site, server: &Server, due_at: Timestamp) {
    site.clock.set(due_at - SignedDuration::from_secs(1));
    assert!(server.runs_of("task").await.is_empty(), "it is not due yet");
    site.clock.set(due_at);
    let ledger = server.decided("task", slot()).await;
    let counted: i64 = ledger.iter().map(|(_, count)| count).sum();
    assert_eq!(counted, 1, "{ledger:?}");
    assert_eq!(ledger.last(), Some(&row("DISPATCHED", 1)), "{ledger:?}");
    let run = server.runs_of("task").await.remove(0);
    assert_eq!(at(&run.nominal_time), slot().to_string());
    assert_eq!(at(&run.due_time), due_at.to_string());
}

async fn an_edit_that_touches_no_schedule_closes_nothing(database: Database) {
    let (site, server, due_at) = waiting(database).await;
    let before = server.task("task").await;
    let described = pb::Task {
        name: "tasks/task".to_owned(),
        description: "told anew".to_owned(),
        priority: Some(7),
        ..pb::Task::default()
    };
    let after = update(&server, described, &["description", "priority"]).await;

    assert_eq!(
        server.agenda_of("task").await[0],
        (slot().to_string(), due_at.to_string())
    );
    assert_eq!(after.revision, 2);
    assert_eq!(after.decided_until_time, before.decided_until_time);
    assert_eq!(after.next_due_time, before.next_due_time);
    assert!(server.slots_of("task").await.is_empty());
    it_runs(&site, &server, due_at).await;
    server.stop().await;
}

async fn a_pause_that_ends_before_a_slot_is_due_leaves_it(database: Database) {
    let (site, server, due_at) = waiting(database).await;
    pause(&server, "task", None).await;
    server.advance(1);
    resume(&server, "task").await;
    pause(&server, "task", Some(due_at - SignedDuration::from_secs(1))).await;
    it_runs(&site, &server, due_at).await;
    server.stop().await;
}

async fn a_pause_in_which_a_slot_is_due_takes_it(database: Database) {
    let (site, server, due_at) = waiting(database).await;
    pause(&server, "task", None).await;
    site.clock.set(due_at);
    resume(&server, "task").await;
    let ledger = server.decided("task", slot()).await;
    assert_eq!(ledger, [row("SKIPPED_PAUSED", 1)]);
    assert!(server.runs_of("task").await.is_empty());
    server.stop().await;
}

async fn a_pause_of_all_that_ends_before_a_slot_is_due_leaves_it(database: Database) {
    let (site, server, due_at) = waiting(database).await;
    let mut scheduler = server.client.scheduler();
    let request = pb::PauseAllRequest {
        until_time: Some(stamp(due_at - SignedDuration::from_secs(1))),
        ..pb::PauseAllRequest::default()
    };
    scheduler.pause_all(request).await.unwrap();
    // An edit meanwhile is closed as paused, and loses nothing either.
    let mut longer = spread();
    longer.name = "tasks/task".to_owned();
    longer.schedule.as_mut().unwrap().end_time =
        Some(stamp(noon() + SignedDuration::from_hours(9)));
    update(&server, longer, &["schedule.end_time"]).await;
    it_runs(&site, &server, due_at).await;
    server.stop().await;
}

async fn another_spread_leaves_a_slot_that_is_not_due(database: Database) {
    let (site, server, _) = waiting(database).await;
    let mut wider = spread();
    wider.name = "tasks/task".to_owned();
    wider.schedule.as_mut().unwrap().spread = Some(seconds(3600));
    let task = update(&server, wider, &["schedule.spread"]).await;

    assert_eq!(at(&task.next_nominal_time), slot().to_string());
    let due_at: Timestamp = at(&task.next_due_time).parse().unwrap();
    site.clock.set(due_at);
    let ledger = server.decided("task", slot()).await;
    assert_eq!(ledger, [row("SKIPPED_EDITED", 0), row("DISPATCHED", 1)]);
    server.stop().await;
}

async fn no_spread_lets_a_slot_run_at_once_and_on_time(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = spread().catch_up(pb::CatchUpMode::None);
    task.late_after = Some(seconds(1));
    server.create("task", task).await;
    half_way(&site, &server).await;
    let mut none = instant().cron("0 * * * *");
    none.name = "tasks/task".to_owned();
    let task = update(&server, none, &["schedule.spread"]).await;

    let ledger = server.decided("task", slot()).await;
    assert_eq!(ledger, [row("DISPATCHED", 1), row("SKIPPED_EDITED", 0)]);
    let run = server.runs_of("task").await.remove(0);
    assert_eq!(at(&run.nominal_time), slot().to_string());
    assert_eq!(run.due_time, Some(stamp(server.now())));
    server.ended(&run.name).await;
    assert_eq!(at(&task.next_nominal_time), "2026-03-02T14:00:00Z");
    let late = server.status().await.problems;
    let own = |problem: &pb::Problem| problem.subject == "tasks/task";
    assert!(!late.iter().any(own), "{late:?}");
    server.stop().await;
}

async fn another_time_takes_the_place_of_a_slot_that_is_not_due(database: Database) {
    let (_site, server, _) = waiting(database).await;
    let mut other = instant().cron("59 * * * *");
    other.name = "tasks/task".to_owned();
    let task = update(&server, other, &["schedule.cron"]).await;

    // The schedule that is in force has no such slot: the ledger tells that it was edited away.
    assert_eq!(at(&task.next_nominal_time), "2026-03-02T13:59:00Z");
    let ledger = server.decided("task", slot()).await;
    assert_eq!(ledger, [row("SKIPPED_EDITED", 1)]);
    server.stop().await;
}

async fn a_task_that_is_deleted_owes_no_slot(database: Database) {
    let (site, server, due_at) = waiting(database).await;
    pause(&server, "task", None).await;
    let request = pb::DeleteTaskRequest {
        name: "tasks/task".to_owned(),
        ..pb::DeleteTaskRequest::default()
    };
    server.client.tasks().delete_task(request).await.unwrap();
    site.clock.set(due_at);
    server.create("witness", instant().every(1)).await;
    assert!(server.runs_of("task").await.is_empty());
    server.stop().await;
}

async fn another_configuration_leaves_a_slot_that_is_not_due(database: Database) {
    const TASK: &str = "[tasks.task]\nkind = \"instant\"\n\
                        schedule = { cron = \"0 * * * *\", spread = \"30m\" }\n";
    let mut site = Site::configured(database, TASK);
    let server = site.start().await;
    let due_at = half_way(&site, &server).await;
    server.stop().await;

    site.configure(&format!("{TASK}description = \"told anew\"\n"));
    let server = site.start().await;
    assert_eq!(server.task("task").await.description, "told anew");
    it_runs(&site, &server, due_at).await;
    server.stop().await;
}
