//! A clock that jumps ahead: it is held back first, by the time that has passed for the machine.

use jiff::{SignedDuration, Timestamp};
use sea_orm::ConnectionTrait as _;
use tonic::Code;
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, Stage, TaskExt as _, at, instant, noon, on_both, on_postgresql,
    refused, scripted, until,
};

on_both!(
    a_jump_ahead_decides_nothing_until_it_is_put_right,
    a_jump_ahead_is_gone_by_after_five_minutes,
    a_jump_that_is_accepted_is_gone_by_at_once,
    a_start_with_a_clock_that_is_ahead_is_held_back,
    a_start_after_a_long_time_that_passed_is_not,
    a_task_that_was_decided_ahead_is_realigned_and_fires_again,
    a_retry_that_a_clock_which_was_ahead_has_put_off_is_not_waited_for,
);
on_postgresql!(
    what_is_accepted_on_one_server_is_gone_by_on_all,
    a_server_that_starts_while_another_holds_back_does_too,
    a_run_of_a_server_that_died_while_the_clock_was_ahead_is_taken_over,
);

pub(crate) fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

/// A server with a task that fires each minute, and that has been decided once.
pub(crate) async fn deciding(site: &Site) -> Server {
    let server = site.start().await;
    // Clocks of these stories go by nights, of which others tell.
    server.without_backups().await;
    server.create("task", instant().cron("* * * * *")).await;
    server.advance(60);
    server.done("task", server.now()).await;
    server
}

async fn accept(
    server: &Server,
) -> Result<tonic::Response<pb::AcceptClockResponse>, tonic::Status> {
    let request = pb::AcceptClockRequest {
        reason: "it is right".to_owned(),
    };
    server.client.scheduler().accept_clock(request).await
}

pub(crate) async fn is_over(server: &Server, kind: &str) {
    until(&format!("{kind} to be over"), async || {
        server.advance(1);
        let problems = server.status().await.problems;
        (!problems.iter().any(|problem| problem.r#type == kind)).then_some(())
    })
    .await;
}

pub(crate) async fn decided_until(server: &Server) -> Timestamp {
    let task = server.task("task").await;
    at(&task.decided_until_time).parse().unwrap()
}

async fn a_jump_ahead_decides_nothing_until_it_is_put_right(database: Database) {
    let site = Site::new(database);
    let server = deciding(&site).await;
    let decided = decided_until(&server).await;
    let right = server.now();

    site.clock.jump(right + hours(24 * 365));
    let problem = server.problem("clock.held").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert_eq!(at(&problem.since_time), right.to_string());
    let hold = server.status().await.clock_hold.unwrap();
    assert!(hold.message.contains("ahead"), "{}", hold.message);
    // What would close slots is refused; a run by hand goes on.
    let pause = pb::PauseTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    let (code, reason, _) = refused(server.client.tasks().pause_task(pause).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "CLOCK_HELD")
    );
    let run = server.trigger("task").await;
    server.ended(&run.name).await;
    server.advance(60);
    server.advance(60);
    assert_eq!(decided_until(&server).await, decided);
    let wrong = |problem: &pb::Problem| problem.r#type == "slot.undecided";
    assert!(!server.status().await.problems.iter().any(wrong));

    site.clock.jump(right + SignedDuration::from_secs(120));
    is_over(&server, "clock.held").await;
    server
        .decided("task", right + SignedDuration::from_secs(120))
        .await;
    // Only what came meanwhile: nothing was decided beyond.
    let slots = server.slots_of("task").await;
    let last = slots.last().unwrap();
    assert!(at(&last.upto_time) < (right + hours(1)).to_string());
    server.stop().await;
}

async fn a_jump_ahead_is_gone_by_after_five_minutes(database: Database) {
    let site = Site::new(database);
    let server = deciding(&site).await;
    let decided = decided_until(&server).await;
    site.clock.jump(server.now() + hours(5));
    server.problem("clock.held").await;
    server.advance(290);
    let status = server.status().await;
    assert!(status.clock_hold.is_some());
    assert_eq!(decided_until(&server).await, decided);

    server.advance(15);
    let now = server.now();
    server
        .decided("task", now - SignedDuration::from_secs(60))
        .await;
    is_over(&server, "clock.held").await;
    server.stop().await;
}

async fn a_jump_that_is_accepted_is_gone_by_at_once(database: Database) {
    let site = Site::new(database);
    let server = deciding(&site).await;
    let (code, reason, _) = refused(accept(&server).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "CLOCK_NOT_HELD")
    );
    site.clock.jump(server.now() + hours(5));
    server.problem("clock.held").await;

    let answer = accept(&server).await.unwrap().into_inner();
    assert!(answer.hold.unwrap().message.contains("5h"));
    let now = server.now();
    server
        .decided("task", now - SignedDuration::from_secs(60))
        .await;
    is_over(&server, "clock.held").await;
    // Who and why.
    let fate = site.database.connect(site.data()).await;
    let told = "SELECT payload FROM events WHERE kind = 'clock.accepted'";
    let told = sea_orm::Statement::from_string(fate.get_database_backend(), told);
    let told = fate.query_one_raw(told).await.unwrap().unwrap();
    let payload: String = told.try_get_by_index(0).unwrap();
    assert!(payload.contains("it is right"), "{payload}");
    server.stop().await;
}

async fn a_start_with_a_clock_that_is_ahead_is_held_back(database: Database) {
    let site = Site::new(database);
    let server = deciding(&site).await;
    let decided = decided_until(&server).await;
    server.stop().await;
    site.clock.jump(site_now(&site) + hours(24 * 30));

    let server = site.start().await;
    server.problem("clock.held").await;
    server.advance(30);
    assert_eq!(decided_until(&server).await, decided);
    accept(&server).await.unwrap();
    let now = server.now();
    server
        .decided("task", now - SignedDuration::from_secs(60))
        .await;
    server.stop().await;
}

async fn a_start_after_a_long_time_that_passed_is_not(database: Database) {
    let site = Site::new(database);
    let server = deciding(&site).await;
    server.stop().await;
    site.clock.advance(hours(24 * 30));

    let server = site.start().await;
    let now = server.now();
    server
        .decided("task", now - SignedDuration::from_secs(60))
        .await;
    assert!(server.status().await.clock_hold.is_none());
    server.stop().await;
}

pub(crate) fn site_now(site: &Site) -> Timestamp {
    watchbell::clock::Clock::now(&site.clock)
}

async fn a_task_that_was_decided_ahead_is_realigned_and_fires_again(database: Database) {
    let site = Site::new(database);
    let server = deciding(&site).await;
    let right = server.now();
    let realign = async || {
        let request = pb::RealignTaskRequest {
            name: "tasks/task".to_owned(),
            reason: "it was a day ahead".to_owned(),
            ..Default::default()
        };
        server.client.tasks().realign_task(request).await
    };
    let (code, reason, _) = refused(realign().await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "NOT_AHEAD")
    );
    // A day ahead, as if it were right.
    site.clock.set(right + hours(24));
    server.decided("task", right + hours(24)).await;
    let runs = server.runs_of("task").await;
    for run in &runs {
        server.ended(&run.name).await;
    }
    site.clock.set(right);
    server.advance(60);
    server.problem("clock.behind").await;
    let before = server.task("task").await;

    let task = realign().await.unwrap().into_inner().task.unwrap();
    assert_ne!(task.uid, before.uid);
    assert_eq!(task.schedule, before.schedule);
    assert_eq!(task.kind, before.kind);
    assert_eq!(
        server.runs_of("task").await.len(),
        runs.len(),
        "its history"
    );
    // Tasks that ship were decided ahead as well, and stay so: that is still told.
    server.advance(60);
    server.decided("task", server.now()).await;
    let slots = server.slots_of("task").await;
    assert!(slots[0].reason.contains("it was a day ahead"), "{slots:?}");
    assert!(runs.len() < server.runs_of("task").await.len(), "it fires");
    let fate = site.database.connect(site.data()).await;
    let told = "SELECT payload FROM events WHERE kind = 'task.realigned'";
    let told = sea_orm::Statement::from_string(fate.get_database_backend(), told);
    let told = fate.query_one_raw(told).await.unwrap().unwrap();
    let payload: String = told.try_get_by_index(0).unwrap();
    assert!(payload.contains("it was a day ahead"), "{payload}");
    server.stop().await;
}

async fn what_is_accepted_on_one_server_is_gone_by_on_all(database: Database) {
    let site = Site::new(database);
    let one = deciding(&site).await;
    let other = site.start().await;
    site.clock.jump(noon() + hours(24 * 30));
    one.problem("clock.held").await;
    other.problem("clock.held").await;

    accept(&one).await.unwrap();
    until("the other to hear of it", async || {
        other.status().await.clock_hold.is_none().then_some(())
    })
    .await;
    is_over(&one, "clock.held").await;
    one.stop().await;
    other.stop().await;
}

async fn a_server_that_starts_while_another_holds_back_does_too(database: Database) {
    let mut site = Site::new(database);
    let one = deciding(&site).await;
    // By less than a day, which a start alone would not see.
    site.clock.jump(one.now() + hours(5));
    one.problem("clock.held").await;
    until("it to be told", async || {
        one.advance(1);
        let fate = site.database.connect(site.data()).await;
        let held = "SELECT value FROM cluster WHERE key = 'clock_held' AND value <> 'null'";
        let held = sea_orm::Statement::from_string(fate.get_database_backend(), held);
        fate.query_one_raw(held).await.unwrap().map(drop)
    })
    .await;
    // Another host: it knows nothing of what has passed on the first.
    let host = watchbell::clock::ManualClock::at(one.now());
    site.port = Some(std::sync::Arc::new(host));
    let other = site.start().await;
    let hold = other.status().await.clock_hold.unwrap();
    assert!(hold.message.contains("another server"), "{}", hold.message);
    accept(&other).await.unwrap();
    until("the first to hear of it", async || {
        one.status().await.clock_hold.is_none().then_some(())
    })
    .await;
    other.kill().await;
    one.stop().await;
}

async fn a_retry_that_a_clock_which_was_ahead_has_put_off_is_not_waited_for(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    server.create("task", scripted(&stage).attempts(3)).await;
    site.clock.set(noon() + hours(24 * 365));
    let run = server.trigger("task").await;
    stage.enters().await.fails();
    server.reaches(&run.name, pb::RunState::RetryWait).await;

    site.clock.set(noon() + hours(1));
    until("the recovery to look", async || {
        server.advance(5);
        let run = server.run(&run.name).await;
        (run.state() != pb::RunState::RetryWait).then_some(())
    })
    .await;
    stage.enters().await.succeeds();
    server.ended(&run.name).await;
    server.stop().await;
}

async fn a_run_of_a_server_that_died_while_the_clock_was_ahead_is_taken_over(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let far = site.start().await;
    far.without_backups().await;
    far.create("task", scripted(&stage).attempts(2)).await;
    let run = far.trigger("task").await;
    let _lost = stage.enters().await;
    site.clock.set(noon() + hours(24 * 365));
    let fate = site.database.connect(site.data()).await;
    let ahead = (noon() + hours(24 * 300)).as_microsecond();
    for stamped in ["runs WHERE lease_until", "replicas WHERE seen_at"] {
        until(stamped, async || {
            far.advance(5);
            let select = format!("SELECT 1 FROM {stamped} > {ahead}");
            let select = sea_orm::Statement::from_string(fate.get_database_backend(), select);
            fate.query_one_raw(select).await.unwrap().map(drop)
        })
        .await;
    }
    far.kill().await;

    site.clock.set(noon() + hours(1));
    let near = site.start().await;
    until("the run to be taken over", async || {
        near.advance(5);
        let run = near.run(&run.name).await;
        (run.attempt == 2).then_some(())
    })
    .await;
    stage.enters().await.succeeds();
    near.ended(&run.name).await;
    let replicas = near
        .client
        .scheduler()
        .list_replicas(pb::ListReplicasRequest::default())
        .await;
    let replicas = replicas.unwrap().into_inner().replicas;
    let alive = replicas.iter().filter(|replica| replica.alive);
    assert!(alive.clone().all(|replica| replica.self_), "{replicas:?}");
    near.stop().await;
}
