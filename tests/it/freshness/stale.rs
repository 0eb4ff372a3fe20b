//! Slots without a full success, one reason a story.

use jiff::SignedDuration;
use watchbell::engine::Done;
use watchbell_client::pb;

use super::{
    backfill, ended, every_ten_minutes, fails, has, of, over, retry, slot, still, succeeds,
};
use crate::support::{
    Act, Database, Site, Stage, TaskExt as _, at, instant, noon, on_both, scripted, seconds, stamp,
};

on_both!(
    slots_that_are_skipped_behind_a_run_that_hangs_make_a_task_stale,
    a_task_that_only_ever_does_a_part_is_stale_unless_that_counts,
    a_run_that_is_cancelled_each_time_makes_a_task_stale,
    a_one_shot_that_expired_is_stale_until_a_run_by_hand_succeeds,
    slots_that_nobody_made_up_for_after_a_stop_make_a_task_stale,
    a_backfill_makes_nothing_fresh,
    a_repetition_of_an_old_slot_makes_nothing_fresh,
    an_edit_of_the_schedule_owes_what_was_owed,
    work_that_a_clock_ahead_has_noted_is_no_newer_than_now,
);

async fn slots_that_are_skipped_behind_a_run_that_hangs_make_a_task_stale(database: Database) {
    let patient = |task| pb::Task {
        attempt_timeout: Some(seconds(7 * 86_400)),
        ..task
    };
    let (_site, server, mut stage) = every_ten_minutes(database, patient).await;
    server.trigger("task").await;
    succeeds(&server, &mut stage).await;
    let hangs = slot(&server, &mut stage, 600).await;
    server.advance(600);
    server.decided("task", server.now()).await;
    server.advance(30);
    assert!(!has(&server, "task.stale", "tasks/task").await);

    server.advance(30);
    let problem = of(&server, "task.stale", "tasks/task").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert_eq!(at(&problem.since_time), "2026-03-02T12:21:00Z");
    assert!(problem.message.contains("2 slots"), "{}", problem.message);
    server.advance(3600);
    let decided = noon() + SignedDuration::from_mins(80);
    server.decided("task", decided).await;
    let problem = of(&server, "task.stale", "tasks/task").await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:21:00Z");

    // It did the work of its slot, and none of what came due while it hung.
    let run = ended(&server, hangs.succeeds()).await;
    let problem = still(&server, "task.stale", &run).await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:21:00Z");
    ended(&server, slot(&server, &mut stage, 540).await.succeeds()).await;
    over(&server, "task.stale", "tasks/task").await;
    server.stop().await;
}

async fn a_task_that_only_ever_does_a_part_is_stale_unless_that_counts(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let task = scripted(&stage).cron("*/10 * * * *");
    server.create("strict", task).await;
    let mut other = Stage::new();
    let task = pb::Task {
        counts_as_success: vec![pb::RunOutcome::Partial.into()],
        ..scripted(&other).cron("*/10 * * * *")
    };
    server.create("wide", task).await;
    for _ in 0..2 {
        server.advance(600);
        for stage in [&mut stage, &mut other] {
            let context = stage.enters().await.act(Act::End(Done::partial("a part")));
            let run = format!("tasks/{}/runs/{}", context.task, context.run);
            assert_eq!(server.ended(&run).await.state(), pb::RunState::Succeeded);
        }
    }
    server.advance(60);

    of(&server, "task.stale", "tasks/strict").await;
    assert!(!has(&server, "task.stale", "tasks/wide").await);
    let figures = async |name: &str| {
        let name = format!("tasks/{name}");
        let request = pb::GetTaskStatisticsRequest { name };
        let answer = server.client.tasks().get_task_statistics(request).await;
        let day = answer.unwrap().into_inner().last_day.unwrap();
        (day.successes, day.partial)
    };
    assert_eq!(figures("strict").await, (0, 2));
    assert_eq!(figures("wide").await, (2, 0));
    assert_eq!(server.task("strict").await.last_success_time, None);
    let wide = server.task("wide").await;
    assert_eq!(at(&wide.last_success_time), "2026-03-02T12:20:00Z");
    server.stop().await;
}

async fn a_run_that_is_cancelled_each_time_makes_a_task_stale(database: Database) {
    let (_site, server, mut stage) = every_ten_minutes(database, |task| task).await;
    for _ in 0..2 {
        let entered = slot(&server, &mut stage, 600).await;
        let name = format!("tasks/task/runs/{}", entered.context.run);
        let request = pb::CancelRunRequest {
            name: name.clone(),
            ..Default::default()
        };
        server.client.runs().cancel_run(request).await.unwrap();
        let run = server.ended(&name).await;
        assert_eq!(run.state(), pb::RunState::Cancelled);
    }
    server.advance(60);
    let problem = of(&server, "task.stale", "tasks/task").await;
    assert!(problem.message.contains("cancelled"), "{}", problem.message);
    server.stop().await;
}

async fn a_one_shot_that_expired_is_stale_until_a_run_by_hand_succeeds(database: Database) {
    let mut stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    server.create("hangs", scripted(&stage)).await;
    server.trigger("hangs").await;
    let hangs = stage.enters().await;
    let mut task = instant();
    task.schedule.get_or_insert_default().at = Some(stamp(noon() + SignedDuration::from_mins(10)));
    task.start_deadline = Some(seconds(5));
    server.create("task", task).await;
    server.advance(600);
    server.decided("task", server.now()).await;
    server.advance(60);

    let problem = of(&server, "task.stale", "tasks/task").await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:11:00Z");
    server.advance(1800);
    of(&server, "task.stale", "tasks/task").await;
    hangs.succeeds();
    let run = server.trigger("task").await;
    server.ended(&run.name).await;
    over(&server, "task.stale", "tasks/task").await;
    server.stop().await;
}

async fn slots_that_nobody_made_up_for_after_a_stop_make_a_task_stale(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let task = instant().cron("0 * * * *").catch_up(pb::CatchUpMode::None);
    server.create("task", task).await;
    server.stop().await;
    site.clock.advance(SignedDuration::from_mins(150));

    let server = site.start().await;
    let problem = of(&server, "task.stale", "tasks/task").await;
    assert_eq!(at(&problem.since_time), "2026-03-02T14:01:00Z");
    server.advance(30 * 60);
    server.decided("task", server.now()).await;
    over(&server, "task.stale", "tasks/task").await;
    server.stop().await;
}

async fn a_backfill_makes_nothing_fresh(database: Database) {
    let (_site, server, mut stage) = every_ten_minutes(database, |task| task).await;
    for _ in 0..2 {
        ended(&server, slot(&server, &mut stage, 600).await.fails()).await;
    }
    server.advance(60);
    of(&server, "task.stale", "tasks/task").await;
    backfill(&server, "task", -25, -15).await;
    let run = succeeds(&server, &mut stage).await;
    still(&server, "task.stale", &run).await;

    // Nor does the repetition of one.
    backfill(&server, "task", -45, -35).await;
    let run = fails(&server, &mut stage).await;
    retry(&server, &run).await;
    let run = succeeds(&server, &mut stage).await;
    still(&server, "task.stale", &run).await;
    server.stop().await;
}

async fn a_repetition_of_an_old_slot_makes_nothing_fresh(database: Database) {
    let (_site, server, mut stage) = every_ten_minutes(database, |task| task).await;
    let mut failed = Vec::new();
    for _ in 0..3 {
        let run = slot(&server, &mut stage, 600).await.fails();
        failed.push(ended(&server, run).await);
    }
    server.advance(60);
    of(&server, "task.stale", "tasks/task").await;
    retry(&server, &failed[0]).await;
    let run = succeeds(&server, &mut stage).await;
    let problem = still(&server, "task.stale", &run).await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:21:00Z");

    // The second-newest is what counts.
    retry(&server, &failed[1]).await;
    succeeds(&server, &mut stage).await;
    over(&server, "task.stale", "tasks/task").await;
    server.stop().await;
}

async fn work_that_a_clock_ahead_has_noted_is_no_newer_than_now(database: Database) {
    let site = Site::new(database);
    site.clock.advance(SignedDuration::from_hours(24 * 365));
    let server = site.start().await;
    let task = instant().cron("*/10 * * * *");
    server.create("task", task).await;
    let run = server.trigger("task").await;
    server.ended(&run.name).await;
    server.stop().await;
    site.clock.set(noon());
    let server = site.start().await;
    // The first look takes it for as new as itself, and no later one for more.
    over(&server, "task.stale", "tasks/task").await;
    server.advance(21 * 60);
    of(&server, "task.stale", "tasks/task").await;
    server.stop().await;
}

async fn an_edit_of_the_schedule_owes_what_was_owed(database: Database) {
    let (_site, server, mut stage) = every_ten_minutes(database, |task| task).await;
    let mut task = server.task("task").await;
    let hangs = slot(&server, &mut stage, 600).await;
    server.advance(120);
    task.schedule.get_or_insert_default().cron = "*/15 * * * *".to_owned();
    let request = pb::UpdateTaskRequest {
        task: Some(pb::Task {
            etag: String::new(),
            ..task
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["schedule".to_owned()],
        }),
        ..Default::default()
    };
    server.client.tasks().update_task(request).await.unwrap();
    assert!(!has(&server, "task.stale", "tasks/task").await);
    server.advance(4 * 60);

    let problem = of(&server, "task.stale", "tasks/task").await;
    assert_eq!(at(&problem.since_time), "2026-03-02T12:16:00Z");
    hangs.succeeds();
    over(&server, "task.stale", "tasks/task").await;
    server.stop().await;
}
