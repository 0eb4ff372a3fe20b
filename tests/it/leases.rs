//! Replicas that die, are cut off or stop while runs are under way.

use jiff::SignedDuration;
use watchbell::{engine::RunContext, error::Error};
use watchbell_client::pb;

use crate::support::{
    Database, Entered, Proxy, Server, Site, Stage, TaskExt as _, instant, on_both, on_postgresql,
    scripted, until,
};

on_both!(
    a_run_of_a_killed_server_is_queued_again_at_once,
    a_run_that_may_not_be_repeated_is_abandoned,
    a_drain_waits_for_what_ends_in_time,
    a_drain_gives_back_what_does_not_end_and_charges_no_attempt,
    a_drained_run_that_may_not_be_repeated_is_abandoned,
    slots_of_a_killed_server_are_decided_by_the_next,
);
on_postgresql!(
    a_run_whose_replica_dies_is_taken_over_within_its_lease,
    a_replica_that_was_cut_off_can_write_no_more,
    a_cancel_during_a_lost_lease_wins,
    a_run_is_never_claimed_by_the_replica_that_still_hosts_it,
);

fn name_of(entered: &Entered) -> String {
    format!(
        "tasks/{}/runs/{}",
        entered.context.task, entered.context.run
    )
}

async fn a_run_of_a_killed_server_is_queued_again_at_once(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage).attempts(2)).await;
    let run = server.trigger("task").await;
    let _lost = stage.enters().await;
    server.kill().await;
    if site.database.is_postgresql() {
        // Nothing proves there that the other is dead, but the end of its lease.
        site.clock.advance(SignedDuration::from_secs(16));
    }

    let server = site.start().await;
    let again = stage.enters().await;
    assert_eq!(again.context.token, 2);
    again.succeeds();

    let run = server.ended(&run.name).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::Succeeded, 2));
    assert_eq!(run.attempts[0].reason, "LEASE_LOST");
    server.stop().await;
}

async fn a_run_that_may_not_be_repeated_is_abandoned(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = scripted(&stage).attempts(5);
    task.set_execution(pb::Execution::AtMostOnce);
    server.create("task", task).await;
    let run = server.trigger("task").await;
    let _lost = stage.enters().await;
    server.kill().await;
    site.clock.advance(SignedDuration::from_secs(16));

    let server = site.start().await;
    let run = server.ended(&run.name).await;

    assert_eq!(
        (run.state(), run.reason.as_str()),
        (pb::RunState::Abandoned, "LEASE_LOST")
    );
    assert!(stage.is_empty());
    // Once it is known that the other looks for the cluster's problems no more.
    let problem = server.problem_in_time("task.failing").await;
    assert_eq!(problem.subject, "tasks/task");
    server.stop().await;
}

async fn a_drain_waits_for_what_ends_in_time(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let (run, entered) = stage.busy(&server, "task").await;

    server.drain();
    let refused = until("calls to be refused", async || {
        let mut scheduler = server.client.scheduler();
        scheduler.get_status(pb::GetStatusRequest {}).await.err()
    });
    assert_eq!(refused.await.code(), tonic::Code::Unavailable);
    assert!(!entered.context.cancel.is_cancelled());
    entered.succeeds();
    server.stopped().await;

    let server = site.start().await;
    let run = server.run(&run.name).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::Succeeded, 1));
    server.stop().await;
}

async fn a_drain_gives_back_what_does_not_end_and_charges_no_attempt(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let run = server.trigger("task").await;
    let _asked_to_stop = stage.enters().await;

    server.cut();
    server.stopped().await;
    let server = site.start().await;
    let again = stage.enters().await;
    // The only attempt it may have was not charged to it.
    assert_eq!(again.context.token, 2);
    again.fails();

    let run = server.ended(&run.name).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::Failed, 2));
    assert_eq!(run.attempts[0].reason, "DRAINED");
    server.stop().await;
}

async fn a_drained_run_that_may_not_be_repeated_is_abandoned(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = scripted(&stage);
    task.set_execution(pb::Execution::AtMostOnce);
    server.create("task", task).await;
    let run = server.trigger("task").await;
    let _asked_to_stop = stage.enters().await;

    server.cut();
    server.stopped().await;

    let server = site.start().await;
    let run = server.run(&run.name).await;
    assert_eq!(
        (run.state(), run.reason.as_str()),
        (pb::RunState::Abandoned, "DRAINED")
    );
    server.stop().await;
}

async fn slots_of_a_killed_server_are_decided_by_the_next(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    server.advance(60);
    server.decided("task", server.now()).await;
    let run = server.runs_of("task").await.remove(0);
    server.ended(&run.name).await;
    server.kill().await;
    site.clock.advance(SignedDuration::from_mins(10));

    let server = site.start().await;
    server.decided("task", server.now()).await;

    let slots = server.slots_of("task").await;
    assert_eq!(slots.iter().map(|slot| slot.count).sum::<i64>(), 11);
    assert_eq!(slots[1].outcome(), pb::SlotOutcome::Coalesced);
    assert_eq!(slots[1].count, 9);
    server.stop().await;
}

/// Two replicas, of which the first runs the task: the other has no place.
async fn two_replicas(site: &Site, task: pb::Task, stage: &mut Stage) -> (Server, Server, Entered) {
    let first = site.start().await;
    first.create("task", task).await;
    first.trigger("task").await;
    let entered = stage.enters().await;
    let second = site.start().await;
    (first, second, entered)
}

async fn a_run_whose_replica_dies_is_taken_over_within_its_lease(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let task = scripted(&stage).attempts(2);
    let (first, second, lost) = two_replicas(&site, task, &mut stage).await;
    let run = name_of(&lost);
    let dead = second.run(&run).await.replica;
    first.kill().await;

    // Nobody takes it while the lease holds.
    for _ in 0..2 {
        site.clock.advance(SignedDuration::from_secs(5));
        assert_eq!(second.run(&run).await.state(), pb::RunState::Running);
    }
    site.clock.advance(SignedDuration::from_secs(6));
    let taken = stage.enters().await;

    assert_eq!(name_of(&taken), run);
    assert_eq!(taken.context.token, 2);
    assert_ne!(second.run(&run).await.replica, dead);
    taken.succeeds();
    second.ended(&run).await;
    site.clock.advance(SignedDuration::from_secs(60));
    let problem = until("the dead replica to be told of", async || {
        // The look that saw it as it was before may have ended after the clock moved.
        site.clock.advance(SignedDuration::from_secs(1));
        let problems = second.status().await.problems;
        problems
            .into_iter()
            .find(|problem| problem.r#type == "replica.silent")
    })
    .await;
    assert_eq!(problem.subject, dead);
    second.stop().await;
}

/// A replica behind a wire, which runs the task; and one that is not.
async fn one_behind_a_wire(
    site: &Site,
    task: pb::Task,
    stage: &mut Stage,
) -> (Proxy, Server, Server, Entered) {
    let wire = Proxy::to(&site.database.url()).await;
    let far = site.start_on(&wire.url(&site.database.url())).await;
    far.create("task", task).await;
    far.trigger("task").await;
    let entered = stage.enters().await;
    let near = site.start().await;
    (wire, far, near, entered)
}

/// Lets a lease run out, step by step, so that whoever can renews it.
async fn let_the_lease_run_out(site: &Site, near: &Server, run: &str) {
    until("the lease to run out", async || {
        site.clock.advance(SignedDuration::from_secs(1));
        let run = near.run(run).await;
        (run.state() != pb::RunState::Running || 1 < run.attempt).then_some(())
    })
    .await;
}

async fn write(context: &RunContext) -> Result<(), Error> {
    let tx = context.begin().await?;
    tx.commit().await
}

async fn a_replica_that_was_cut_off_can_write_no_more(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let task = scripted(&stage).attempts(3);
    let (wire, far, near, entered) = one_behind_a_wire(&site, task, &mut stage).await;
    let run = name_of(&entered);
    write(&entered.context).await.unwrap();

    wire.stall();
    let_the_lease_run_out(&site, &near, &run).await;
    let taken = stage.enters().await;
    assert_eq!(taken.context.token, 2);
    wire.mend();

    // The old attempt's handler still lives, with a connection that works again.
    let stale = until("the write to be refused", async || {
        let stale = write(&entered.context).await.unwrap_err();
        // The first that it gets may have been silent for too long.
        (!matches!(stale, Error::Unavailable { .. })).then_some(stale)
    })
    .await;
    let is_lost = matches!(
        stale,
        Error::Aborted {
            reason: watchbell::error::Reason::LeaseLost,
            ..
        }
    );
    assert!(is_lost, "{stale:?}");
    // Its end is not the run's.
    entered.succeeds();
    far.client
        .scheduler()
        .get_status(pb::GetStatusRequest {})
        .await
        .unwrap();
    write(&taken.context).await.unwrap();
    assert_eq!(near.run(&run).await.state(), pb::RunState::Running);
    taken.fails();
    let waiting = near.reaches(&run, pb::RunState::RetryWait).await;
    assert_eq!((waiting.attempt, waiting.attempts.len()), (2, 2));
    far.stop().await;
    near.stop().await;
}

async fn a_cancel_during_a_lost_lease_wins(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let task = scripted(&stage).attempts(3);
    let (wire, far, near, entered) = one_behind_a_wire(&site, task, &mut stage).await;
    let run = name_of(&entered);

    wire.stall();
    let request = pb::CancelRunRequest {
        name: run.clone(),
        reason: "never mind".to_owned(),
        ..Default::default()
    };
    let answer = near.client.runs().cancel_run(request).await.unwrap();
    assert_eq!(
        answer.into_inner().run.unwrap().state(),
        pb::RunState::Running
    );
    let_the_lease_run_out(&site, &near, &run).await;

    let ended = near.ended(&run).await;
    assert_eq!(ended.state(), pb::RunState::Cancelled);
    assert_eq!(ended.attempt, 1, "it was not repeated");
    wire.mend();
    entered.succeeds();
    // What the old attempt says now changes nothing.
    far.stop().await;
    assert_eq!(near.run(&run).await, ended);
    assert!(stage.is_empty());
    near.stop().await;
}

async fn a_run_is_never_claimed_by_the_replica_that_still_hosts_it(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let wire = Proxy::to(&site.database.url()).await;
    let server = site.start_on(&wire.url(&site.database.url())).await;
    server.create("task", scripted(&stage).attempts(3)).await;
    let run = server.trigger("task").await;
    let entered = stage.enters().await;

    wire.cut();
    site.clock.advance(SignedDuration::from_mins(5));
    server.problem("database.unreachable").await;
    wire.mend();
    until("the database to be back", async || {
        let database = server.status().await.database?;
        database.reachable.then_some(())
    })
    .await;
    server.recovers().await;

    // The lease had ended long ago, but the handler is here: it goes on, and its end counts.
    let seen = server.run(&run.name).await;
    assert_eq!((seen.state(), seen.attempt), (pb::RunState::Running, 1));
    write(&entered.context).await.unwrap();
    entered.succeeds();
    let run = server.ended(&run.name).await;
    assert_eq!((run.state(), run.attempt), (pb::RunState::Succeeded, 1));
    assert!(stage.is_empty());
    server.stop().await;
}
