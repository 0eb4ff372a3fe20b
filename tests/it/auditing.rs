//! The auditor: independent of the scheduler, and not to be fooled.

use jiff::SignedDuration;
use sea_orm::ConnectionTrait as _;
use watchbell::{clock::Clock as _, engine, store::Store};
use watchbell_client::pb;

use crate::support::{Database, Site, TaskExt as _, instant, noon, on_both, until};

on_both!(
    a_hole_in_the_ledger_is_a_critical_problem,
    a_slot_that_is_not_decided_in_time_is_a_critical_problem,
    a_slot_decided_late_is_a_problem_until_its_work_is_done,
    slots_that_are_decided_in_time_are_no_problem,
    a_whole_audit_finds_what_is_torn_at_either_end_and_of_deleted_tasks,
);

async fn a_hole_in_the_ledger_is_a_critical_problem(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    for _ in 0..5 {
        server.advance(60);
        server.done("task", server.now()).await;
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
    fate.execute_unprepared(&delete).await.unwrap();
    server.advance(60);
    server.decided("task", server.now()).await;
    // The auditor looks at each row once: it must see these anew, also where it was looking at this moment, and notes
    // after this that it has.
    let unseen = "UPDATE tasks SET audited_at = created_at WHERE name = 'task'";
    until("the hole to be seen", async || {
        fate.execute_unprepared(unseen).await.unwrap();
        server.advance(30);
        let problems = server.status().await.problems;
        let seen = problems
            .iter()
            .any(|problem| problem.r#type == "ledger.hole");
        seen.then_some(())
    })
    .await;

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
    // Tasks that ship are late as well.
    let problem = until("the problem of the task", async || {
        let problems = server.status().await.problems;
        problems
            .into_iter()
            .find(|problem| problem.r#type == "slot.late" && problem.subject == "tasks/task")
    })
    .await;
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
            .all(|problem| problem.r#type != "slot.late" || problem.subject != "tasks/task")
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
        server.done("task", server.now()).await;
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

/// What `watchbell audit-slots` says of the rows of a task.
async fn whole_audit(site: &Site, task: &str) -> Vec<String> {
    let clock = std::sync::Arc::new(site.clock.clone());
    let store = Store::open_existing(&site.location(), clock).await.unwrap();
    let (now, grace) = (site.clock.now(), std::time::Duration::from_secs(60));
    let mut audit = engine::audit(&store, "UTC", now, grace).await.unwrap();
    let mut findings = audit.tasks.remove(task).unwrap_or_default();
    findings.retain(|found| found.kind.as_str() == "ledger.hole");
    findings.into_iter().map(|found| found.message).collect()
}

async fn a_whole_audit_finds_what_is_torn_at_either_end_and_of_deleted_tasks(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    for name in ["task", "gone"] {
        server.create(name, instant().cron("* * * * *")).await;
    }
    for _ in 0..4 {
        server.advance(60);
        server.decided("task", server.now()).await;
        server.decided("gone", server.now()).await;
    }
    let request = pb::DeleteTaskRequest {
        name: "tasks/gone".to_owned(),
        ..Default::default()
    };
    server.client.tasks().delete_task(request).await.unwrap();
    server.stop().await;
    let fate = site.database.connect(site.data()).await;
    let run = async |sql: String| fate.execute_unprepared(&sql).await.unwrap().rows_affected();
    let of = |name: &str| format!("task_id IN (SELECT id FROM tasks WHERE name = '{name}')");
    let minute = |minutes| (noon() + SignedDuration::from_mins(minutes)).as_microsecond();
    for name in ["task", "gone"] {
        assert_eq!(whole_audit(&site, name).await, [""; 0]);
    }

    // What is decided goes on where the ledger has ended, or ends before it.
    for (cursor, says) in [(5, "12:05:00"), (3, "12:03:00")] {
        let cursor = minute(cursor);
        let set = format!("UPDATE tasks SET cursor_at = {cursor} WHERE name = 'task'");
        assert_eq!(run(set).await, 1);
        let found = whole_audit(&site, "task").await;
        let [found] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(found.contains("ends at 2026-03-02T12:04:00"), "{found}");
        assert!(found.ends_with(&format!("{says}Z")), "{found}");
    }
    let cursor = minute(4);
    run(format!(
        "UPDATE tasks SET cursor_at = {cursor} WHERE name = 'task'"
    ))
    .await;
    // What was pruned reaches back to the creation, and not further.
    let (first, of_task) = (minute(1), of("task"));
    let pruned = format!(
        "UPDATE slots SET outcome = 'pruned', after_at = after_at - 1 WHERE upto_at = {first} AND {of_task}"
    );
    assert_eq!(run(pruned).await, 1);
    let found = whole_audit(&site, "task").await;
    assert!(
        found.len() == 1 && found[0].contains("created"),
        "{found:?}"
    );
    // The first row goes.
    let delete = format!("DELETE FROM slots WHERE upto_at = {first} AND {of_task}");
    assert_eq!(run(delete).await, 1);
    let found = whole_audit(&site, "task").await;
    assert!(
        found.len() == 1 && found[0].contains("12:02:00"),
        "{found:?}"
    );
    // One goes of the task that is deleted.
    let (second, of_gone) = (minute(2), of("gone"));
    let delete = format!("DELETE FROM slots WHERE upto_at = {second} AND {of_gone}");
    assert_eq!(run(delete).await, 1);
    let found = whole_audit(&site, "gone").await;
    assert!(
        found.len() == 1 && found[0].contains("12:03:00"),
        "{found:?}"
    );
}
