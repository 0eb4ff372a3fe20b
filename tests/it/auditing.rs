//! The auditor: independent of the scheduler, and not to be fooled.

use jiff::SignedDuration;
use sea_orm::ConnectionTrait as _;
use watchbell_client::pb;

use crate::support::{Database, Site, TaskExt as _, instant, noon, on_both, until};

on_both!(
    a_hole_in_the_ledger_is_a_critical_problem,
    a_slot_that_is_not_decided_in_time_is_a_critical_problem,
    a_slot_decided_late_is_a_problem_until_its_work_is_done,
    slots_that_are_decided_in_time_are_no_problem,
);

async fn a_hole_in_the_ledger_is_a_critical_problem(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    for _ in 0..5 {
        server.advance(60);
        server.decided("task", server.now()).await;
    }
    let mut task = server.task("task").await;
    assert_eq!(task.consecutive_failures, 0);
    task.name.clear();
    // A second scheduler, or a careless hand: a row goes, as if it had never been decided.
    let fate = site.database.connect(site.data()).await;
    let upto = (noon() + SignedDuration::from_mins(5)).as_microsecond();
    let delete = format!(
        "DELETE FROM slots WHERE upto_at = {upto} AND task_id IN (SELECT id FROM tasks WHERE name = 'task')"
    );
    // The auditor looks at each row once: it must not have seen these yet.
    let unseen = "UPDATE tasks SET audited_at = created_at WHERE name = 'task'";
    fate.execute_unprepared(unseen).await.unwrap();
    fate.execute_unprepared(&delete).await.unwrap();
    server.advance(60);
    server.decided("task", server.now()).await;
    server.advance(30);

    let problem = server.problem("ledger.hole").await;

    assert_eq!(problem.subject, "tasks/task");
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert!(problem.message.contains("12:05:00"), "{}", problem.message);
    assert!(problem.action.contains("audit-slots"), "{}", problem.action);
    // The audit at the stop would say so, rightly.
    server.kill().await;
}

async fn a_slot_that_is_not_decided_in_time_is_a_critical_problem(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("0 * * * *")).await;
    // The scheduler is dead for this task: what wakes it has gone.
    let fate = site.database.connect(site.data()).await;
    let deafen = "UPDATE tasks SET wake_at = NULL WHERE name = 'task'";
    fate.execute_unprepared(deafen).await.unwrap();

    server.advance(3600 + 61);

    // Of this task: on a busy machine the others may be late for a moment, too.
    let problem = until("the problem", async || {
        let mut problems = server.status().await.problems.into_iter();
        problems
            .find(|problem| problem.r#type == "slot.undecided" && problem.subject == "tasks/task")
    })
    .await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert!(problem.message.contains("13:00:00"), "{}", problem.message);
    assert_eq!(server.status().await.overall(), pb::Severity::Critical);
    server.stop().await;
}

async fn a_slot_decided_late_is_a_problem_until_its_work_is_done(database: Database) {
    let mut stage = crate::support::Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let task = crate::support::scripted(&stage).cron("0 13 * * *");
    server.create("task", task).await;
    server.stop().await;
    site.clock.advance(SignedDuration::from_mins(90));

    let server = site.start().await;
    let entered = stage.enters().await;
    let problem = server.problem("slot.late").await;
    assert_eq!(problem.subject, "tasks/task");
    assert!(
        problem.message.contains("decided at 2026-03-02T13:30:00"),
        "{}",
        problem.message
    );

    server.advance(5);
    let run = entered.succeeds().run;
    server.ended(&format!("tasks/task/runs/{run}")).await;
    server.advance(30);
    until("the problem to be over", async || {
        let problems = server.status().await.problems;
        problems
            .iter()
            .all(|problem| problem.r#type != "slot.late")
            .then_some(())
    })
    .await;
    server.stop().await;
}

async fn slots_that_are_decided_in_time_are_no_problem(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    for _ in 0..3 {
        server.advance(60);
        server.decided("task", server.now()).await;
    }
    server.advance(31);
    // The round of the auditor has gone by once the next of the rounds rings.
    until("an audit", async || {
        let rounds = server.status().await.rounds;
        let audit = rounds.iter().find(|round| round.name == "keep-house")?;
        (0 < audit.ring_count).then_some(())
    })
    .await;
    let own = |problem: &&pb::Problem| problem.subject == "tasks/task";
    let status = server.status().await;
    assert!(
        !status.problems.iter().any(|problem| own(&problem)),
        "{:?}",
        status.problems
    );
    server.stop().await;
}
