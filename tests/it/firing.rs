//! From a due slot to a run and its row in the ledger.

use jiff::SignedDuration;
use watchbell_client::pb;

use crate::support::{
    Database, Site, Stage, TaskExt as _, at, instant, noon, on_both, on_postgresql, scripted,
    seconds, stamp, until,
};

on_both!(
    a_due_slot_runs_once_and_the_ledger_says_so,
    a_clock_that_is_set_back_fires_no_slot_again,
    a_clock_that_is_set_forward_catches_up,
    a_one_shot_fires_once_and_never_again,
    no_slot_lies_outside_start_and_end,
    a_spread_delays_by_the_same_amount_as_the_preview_says,
    three_hundred_tasks_due_at_once_all_run,
);
on_postgresql!(a_slot_is_decided_once_by_two_replicas);

async fn a_due_slot_runs_once_and_the_ledger_says_so(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut stage = Stage::new();
    let task = server
        .create("nightly", scripted(&stage).cron("0 * * * *"))
        .await;
    assert_eq!(at(&task.next_nominal_time), "2026-03-02T13:00:00Z");

    server.advance(3599);
    assert!(stage.is_empty());
    server.advance(1);
    let entered = stage.enters().await;
    assert_eq!(
        entered.context.nominal_at,
        Some(noon() + SignedDuration::from_hours(1))
    );
    let run = entered.succeeds().run;

    let run = server.ended(&format!("tasks/nightly/runs/{run}")).await;
    assert_eq!(run.state(), pb::RunState::Succeeded);
    assert_eq!(run.outcome(), pb::RunOutcome::Worked);
    assert_eq!(run.trigger(), pb::RunTrigger::Schedule);
    assert_eq!(run.counters["steps"], 1);
    assert_eq!(at(&run.nominal_time), "2026-03-02T13:00:00Z");
    let slots = server.slots_of("nightly").await;
    assert_eq!(slots.len(), 1);
    assert_eq!(slots[0].outcome(), pb::SlotOutcome::Dispatched);
    assert_eq!(slots[0].run, run.name);
    assert_eq!(at(&slots[0].after_time), "2026-03-02T12:00:00Z");
    assert_eq!(at(&slots[0].upto_time), "2026-03-02T13:00:00Z");

    let task = server.task("nightly").await;
    assert_eq!(at(&task.next_nominal_time), "2026-03-02T14:00:00Z");
    assert_eq!(task.last_run.unwrap().run, run.name);
    assert!(stage.is_empty());
    server.stop().await;
}

async fn a_clock_that_is_set_back_fires_no_slot_again(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("hourly", instant().cron("0 * * * *")).await;
    server.advance(3600);
    let one_o_clock = server.now();
    server.decided("hourly", one_o_clock).await;

    site.clock.set(noon() - SignedDuration::from_hours(5));
    let behind = server.problem("clock.behind").await;
    assert_eq!(behind.severity(), pb::Severity::Critical);
    assert!(behind.message.contains("T13:00:00Z"), "{}", behind.message);
    // The scheduler looks again: a task that is made now is seen, the old slot is not.
    server.create("other", instant().cron("0 8 * * *")).await;
    server.advance(3600);
    server
        .decided("other", noon() - SignedDuration::from_hours(4))
        .await;
    assert_eq!(server.runs_of("hourly").await.len(), 1);
    let agenda = server.agenda_of("hourly").await;
    assert_eq!(
        agenda[0].0, "2026-03-02T14:00:00Z",
        "what was decided ahead fires no more"
    );

    site.clock.set(noon() + SignedDuration::from_hours(2));
    let rows = server.decided("hourly", server.now()).await;
    let dispatched = ("DISPATCHED".to_owned(), 1);
    assert_eq!(rows, [dispatched.clone(), dispatched]);
    until("the clock to have caught up", async || {
        let problems = server.status().await.problems;
        let is_behind = |problem: &pb::Problem| problem.r#type == "clock.behind";
        (!problems.iter().any(is_behind)).then_some(())
    })
    .await;
    server.stop().await;
}

async fn a_clock_that_is_set_forward_catches_up(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("hourly", instant().cron("0 * * * *")).await;

    site.clock
        .set(noon() + SignedDuration::from_mins(5 * 60 + 30));
    let rows = server
        .decided("hourly", noon() + SignedDuration::from_hours(5))
        .await;

    assert_eq!(
        rows,
        [("COALESCED".to_owned(), 4), ("DISPATCHED".to_owned(), 1)]
    );
    let runs = server.runs_of("hourly").await;
    assert_eq!(runs.len(), 1);
    let coalesced = runs[0].coalesced.as_ref().unwrap();
    assert_eq!(coalesced.count, 4);
    assert_eq!(at(&coalesced.first_nominal_time), "2026-03-02T13:00:00Z");
    assert_eq!(at(&coalesced.last_nominal_time), "2026-03-02T16:00:00Z");
    server.stop().await;
}

async fn a_one_shot_fires_once_and_never_again(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut once = instant();
    once.schedule.get_or_insert_default().at = Some(stamp(noon() + SignedDuration::from_secs(90)));
    server.create("once", once).await;

    server.advance(90);
    server.done("once", server.now()).await;
    server.without_backups().await;
    server.advance(100_000);

    let task = server.task("once").await;
    assert_eq!(task.next_nominal_time, None);
    assert_eq!(server.runs_of("once").await.len(), 1);
    server.stop().await;
}

async fn no_slot_lies_outside_start_and_end(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut bounded = instant().cron("* * * * *");
    let schedule = bounded.schedule.as_mut().unwrap();
    schedule.start_time = Some(stamp(noon() + SignedDuration::from_mins(2)));
    schedule.end_time = Some(stamp(noon() + SignedDuration::from_mins(3)));
    bounded.catch_up.get_or_insert_default().max_count = 100;
    bounded.catch_up.as_mut().unwrap().window = Some(seconds(3600));
    let bounded = bounded.catch_up(pb::CatchUpMode::All);
    server.create("bounded", bounded).await;

    server.advance(600);
    let rows = server
        .decided("bounded", noon() + SignedDuration::from_mins(3))
        .await;

    let dispatched = ("DISPATCHED".to_owned(), 1);
    assert_eq!(rows, [dispatched.clone(), dispatched]);
    assert_eq!(server.task("bounded").await.next_nominal_time, None);
    server.stop().await;
}

async fn a_spread_delays_by_the_same_amount_as_the_preview_says(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut spread = instant().cron("0 * * * *");
    spread.schedule.as_mut().unwrap().spread = Some(seconds(1800));
    server.create("spread", spread).await;
    let preview = pb::PreviewScheduleRequest {
        task: "tasks/spread".to_owned(),
        ..Default::default()
    };
    let preview = server.client.tasks().preview_schedule(preview).await;
    let fire = preview.unwrap().into_inner().fires.remove(0);
    let due_at: jiff::Timestamp = at(&fire.due_time).parse().unwrap();
    let delay = due_at.duration_since(noon() + SignedDuration::from_hours(1));
    assert!(SignedDuration::ZERO < delay && delay < SignedDuration::from_mins(30));

    site.clock.set(due_at - SignedDuration::from_secs(1));
    // Whoever looks before it is due finds nothing to decide.
    server.create("witness", instant().every(1)).await;
    assert!(server.runs_of("spread").await.is_empty());
    site.clock.set(due_at);

    server
        .decided("spread", noon() + SignedDuration::from_hours(1))
        .await;
    let run = server.runs_of("spread").await.remove(0);
    assert_eq!(at(&run.nominal_time), "2026-03-02T13:00:00Z");
    assert_eq!(run.due_time, fire.due_time);
    assert_eq!(run.queue_time, fire.due_time);
    server.stop().await;
}

async fn three_hundred_tasks_due_at_once_all_run(database: Database) {
    let lines: String = (0..300)
        .map(|n| {
            format!(
                "[tasks.burst-{n}]\nkind = \"instant\"\nschedule = {{ cron = \"0 * * * *\" }}\n"
            )
        })
        .collect();
    let site = Site::configured(database, &lines);
    let server = site.start().await;

    let own = |task: &str| task.starts_with("tasks/burst-");
    server.advance(3600);
    // A status is a moment old, and may be that of the queue before it was filled: the runs themselves tell.
    let runs = until("all to succeed and the queue to be empty", async || {
        let request = pb::ListRunsRequest {
            states: vec![pb::RunState::Succeeded.into()],
            page_size: 1000,
            ..Default::default()
        };
        let answer = server.client.runs().list_runs(request).await.unwrap();
        let mut runs = answer.into_inner().runs;
        runs.retain(|run| own(&run.task));
        let runner = server.status().await.runner?;
        let is_empty = runner.queued_count == 0 && runner.running_count == 0;
        (300 <= runs.len() && is_empty).then_some(runs)
    })
    .await;

    let tasks: std::collections::BTreeSet<&str> =
        runs.iter().map(|run| run.task.as_str()).collect();
    assert_eq!((runs.len(), tasks.len()), (300, 300));
    server.stop().await;
}

async fn a_slot_is_decided_once_by_two_replicas(database: Database) {
    let site = Site::new(database);
    let (first, second) = (site.start().await, site.start().await);
    for n in 0..10 {
        first
            .create(&format!("task-{n}"), instant().cron("* * * * * *"))
            .await;
    }

    // Both wake at the same instants, and decide what they can get.
    for _ in 0..15 {
        first.advance(1);
        for n in 0..10 {
            first.decided(&format!("task-{n}"), first.now()).await;
        }
    }

    for n in 0..10 {
        let slots = second.slots_of(&format!("task-{n}")).await;
        let counted: i64 = slots.iter().map(|slot| slot.count).sum();
        assert_eq!(counted, 15, "{slots:?}");
        let mut nominal: Vec<String> = second
            .runs_of(&format!("task-{n}"))
            .await
            .iter()
            .map(|run| at(&run.nominal_time))
            .collect();
        let all = nominal.len();
        nominal.dedup();
        assert_eq!(nominal.len(), all, "no instant ran twice");
    }
    let replicas = pb::ListReplicasRequest::default();
    let replicas = first.client.scheduler().list_replicas(replicas).await;
    assert_eq!(replicas.unwrap().into_inner().replicas.len(), 2);
    second.stop().await;
    first.stop().await;
}
