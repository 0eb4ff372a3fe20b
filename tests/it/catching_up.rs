//! Slots that came while nobody was there to decide them.

use jiff::{SignedDuration, Timestamp};
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, Stage, TaskExt as _, at, instant, noon, on_both, scripted, seconds,
};

on_both!(
    after_a_downtime_the_newest_slot_stands_for_the_others,
    after_a_downtime_all_runs_what_its_window_and_maximum_allow,
    after_a_downtime_none_runs_nothing,
    a_slot_that_is_late_but_not_missed_runs_under_every_mode,
    if_the_newest_overlaps_the_older_slots_carry_the_same_reason,
    a_catch_up_run_still_queued_gives_way_to_the_next_slot,
);

/// A server that was down from noon until `minutes` later, with a task of every ten minutes.
async fn after_a_downtime(site: &Site, task: pb::Task, minutes: i64) -> Server {
    let server = site.start().await;
    server.create("task", task.cron("*/10 * * * *")).await;
    server.stop().await;
    site.clock.advance(SignedDuration::from_mins(minutes));
    site.start().await
}

fn minutes(minutes: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(minutes)
}

fn rows(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
    let own = |(outcome, count): &(&str, i64)| ((*outcome).to_owned(), *count);
    rows.iter().map(own).collect()
}

async fn after_a_downtime_the_newest_slot_stands_for_the_others(database: Database) {
    let site = Site::new(database);
    let server = after_a_downtime(&site, instant(), 55).await;

    let ledger = server.decided("task", minutes(50)).await;

    assert_eq!(ledger, rows(&[("COALESCED", 4), ("DISPATCHED", 1)]));
    let runs = server.runs_of("task").await;
    assert_eq!(runs.len(), 1);
    assert_eq!(at(&runs[0].nominal_time), "2026-03-02T12:50:00Z");
    let coalesced = runs[0].coalesced.as_ref().unwrap();
    assert_eq!(coalesced.count, 4);
    assert_eq!(at(&coalesced.first_nominal_time), "2026-03-02T12:10:00Z");
    let slots = server.slots_of("task").await;
    assert_eq!(slots[0].run, runs[0].name, "what stands for them is named");
    server.stop().await;
}

async fn after_a_downtime_all_runs_what_its_window_and_maximum_allow(database: Database) {
    let task = instant().overlap(pb::OverlapPolicy::Skip);
    let mut task = task.catch_up(pb::CatchUpMode::All);
    let catch_up = task.catch_up.as_mut().unwrap();
    catch_up.window = Some(seconds(60 * 60));
    catch_up.max_count = 3;
    let site = Site::new(database);
    let server = after_a_downtime(&site, task, 125).await;

    let ledger = server.decided("task", minutes(120)).await;

    // Of twelve: 12:10 to 13:00 lie before the window, three are kept, the rest is one row.
    let wanted = rows(&[
        ("SKIPPED_CATCHUP_EXPIRED", 6),
        ("SKIPPED_CATCHUP_CAPPED", 3),
        ("DISPATCHED", 1),
        ("DISPATCHED", 1),
        ("DISPATCHED", 1),
    ]);
    assert_eq!(ledger, wanted);
    let runs = server.runs_of("task").await;
    for run in &runs {
        server.ended(&run.name).await;
    }
    // They ran one after another, oldest first.
    let mut by_start = server.runs_of("task").await;
    by_start.sort_by_key(|run| run.start_time.map(|at| (at.seconds, at.nanos)));
    let nominal: Vec<String> = by_start.iter().map(|run| at(&run.nominal_time)).collect();
    assert_eq!(
        nominal,
        [
            "2026-03-02T13:40:00Z",
            "2026-03-02T13:50:00Z",
            "2026-03-02T14:00:00Z"
        ]
    );
    server.stop().await;
}

async fn after_a_downtime_none_runs_nothing(database: Database) {
    let site = Site::new(database);
    let task = instant().catch_up(pb::CatchUpMode::None);
    let server = after_a_downtime(&site, task, 55).await;

    let ledger = server.decided("task", minutes(50)).await;
    assert_eq!(ledger, rows(&[("SKIPPED_CATCHUP_NONE", 5)]));
    assert!(server.runs_of("task").await.is_empty());

    server.advance(5 * 60);
    let ledger = server.decided("task", minutes(60)).await;
    assert_eq!(
        ledger,
        rows(&[("SKIPPED_CATCHUP_NONE", 5), ("DISPATCHED", 1)])
    );
    server.stop().await;
}

async fn a_slot_that_is_late_but_not_missed_runs_under_every_mode(database: Database) {
    let site = Site::new(database);
    let task = instant().catch_up(pb::CatchUpMode::None);
    // Down from 12:00 to 12:10:30: less than the minute after which a slot counts as missed.
    let server = site.start().await;
    server.create("task", task.cron("*/10 * * * *")).await;
    server.stop().await;
    site.clock.advance(SignedDuration::from_secs(630));
    let server = site.start().await;

    let ledger = server.decided("task", minutes(10)).await;

    assert_eq!(ledger, rows(&[("DISPATCHED", 1)]));
    server.stop().await;
}

async fn if_the_newest_overlaps_the_older_slots_carry_the_same_reason(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server
        .create("task", scripted(&stage).cron("*/10 * * * *"))
        .await;
    server.advance(600);
    let busy = stage.enters().await;

    site.clock.advance(SignedDuration::from_mins(35));
    let ledger = server.decided("task", minutes(40)).await;

    assert_eq!(ledger, rows(&[("DISPATCHED", 1), ("SKIPPED_OVERLAP", 3)]));
    let skipped = server.slots_of("task").await.remove(1);
    let run = busy.succeeds().run.to_string();
    assert!(skipped.reason.contains(&run), "{}", skipped.reason);
    server.stop().await;
}

async fn a_catch_up_run_still_queued_gives_way_to_the_next_slot(database: Database) {
    // One place in all, and it is taken: the catch-up run has to wait in the queue.
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    server.create("blocker", scripted(&stage)).await;
    server.create("task", instant().cron("*/10 * * * *")).await;
    server.trigger("blocker").await;
    let blocker = stage.enters().await;

    server.advance(12 * 60);
    server.decided("task", minutes(10)).await;
    let caught_up = server.runs_of("task").await.remove(0);
    assert_eq!(caught_up.state(), pb::RunState::Queued);
    server.advance(8 * 60);
    server.decided("task", minutes(20)).await;

    let overtaken = server.ended(&caught_up.name).await;
    assert_eq!(overtaken.state(), pb::RunState::Expired);
    assert_eq!(overtaken.reason, "SUPERSEDED_BY_SLOT");
    let task = server.task("task").await;
    assert_eq!(task.consecutive_failures, 0, "it is no failure");
    blocker.succeeds();
    let newest = server.runs_of("task").await.remove(1);
    let newest = server.ended(&newest.name).await;
    assert_eq!(newest.state(), pb::RunState::Succeeded);
    server.stop().await;
}
