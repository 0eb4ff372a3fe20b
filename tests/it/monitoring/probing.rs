//! What a probe finds is told once, kept while it lasts, and cleared when it is over.

use std::sync::Arc;

use watchbell::domain::problem::{Problem, ProblemKind, Severity};
use watchbell_client::pb;

use super::events::Log;
use crate::support::{
    Database, PERIOD, Server, Site, Stage, Watchman, at, noon, on_both, scripted, trouble, until,
};

on_both!(
    what_lasts_is_told_once_and_keeps_its_onset,
    a_number_that_moves_is_shown_and_no_news,
    what_a_probe_that_cannot_look_has_found_stays,
    a_problem_that_ends_by_itself_says_so,
    a_task_that_goes_takes_its_problems_along_and_says_so,
    a_task_of_a_name_that_another_had_has_problems_of_its_own,
    a_task_that_fails_is_an_event_and_its_success_another,
    a_row_of_an_unknown_kind_hides_nothing,
    a_thousand_old_warnings_hide_nothing_grave,
    a_probe_that_finds_the_same_thing_twice_tells_it_once,
);

const KIND: &str = "health.load_per_core";

async fn watched(database: Database) -> (Site, Watchman, Server) {
    let watchman = Watchman::new();
    let mut site = Site::new(database);
    site.probes = vec![Arc::new(watchman.clone())];
    let server = site.start().await;
    (site, watchman, server)
}

/// What the status shows of the watchman's problems once it is so.
async fn shows(server: &Server, is: impl Fn(&[pb::Problem]) -> bool) -> Vec<pb::Problem> {
    until("the status to show it", async || {
        let mut problems = server.status().await.problems;
        problems.retain(|problem| problem.r#type == KIND);
        is(&problems).then_some(problems)
    })
    .await
}

/// Lets the probes look several times.
async fn looks_again(server: &Server, watchman: &Watchman) {
    for _ in 0..2 {
        let before = watchman.looks();
        server.advance(PERIOD);
        until("a look", async || (before < watchman.looks()).then_some(())).await;
    }
}

async fn what_lasts_is_told_once_and_keeps_its_onset(database: Database) {
    let (site, watchman, server) = watched(database).await;
    let log = Log::of(&site).await;
    watchman.finds(&[trouble("a", "it burns")]);
    looks_again(&server, &watchman).await;
    let shown = shows(&server, |problems| problems.len() == 1).await;
    let onset = at(&shown[0].since_time);

    // It lasts, and whoever looks says another onset.
    let later = Problem {
        since: server.now(),
        ..trouble("a", "it burns")
    };
    watchman.finds(std::slice::from_ref(&later));
    looks_again(&server, &watchman).await;
    let told = log.told(KIND).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].what.as_str(), told[0].probe.as_str()),
        ("raised", "watchman")
    );

    watchman.finds(&[later.clone().severity(Severity::Critical)]);
    looks_again(&server, &watchman).await;
    let shown = shows(&server, |problems| {
        problems
            .first()
            .is_some_and(|problem| problem.severity() == pb::Severity::Critical)
    })
    .await;
    assert_eq!(at(&shown[0].since_time), onset, "it goes on");
    watchman.finds(&[]);
    looks_again(&server, &watchman).await;
    shows(&server, <[_]>::is_empty).await;

    let told = log.tells(KIND, 3).await;
    let whats: Vec<&str> = told.iter().map(|told| told.what.as_str()).collect();
    assert_eq!(whats, ["raised", "changed", "cleared"]);
    assert!(told.iter().all(|told| told.since == onset), "{told:?}");
    assert_eq!(told[1].severity, "critical");
    assert!(told[2].cleared_at.is_some());
    server.stop().await;
}

async fn a_number_that_moves_is_shown_and_no_news(database: Database) {
    let (site, watchman, server) = watched(database).await;
    let log = Log::of(&site).await;
    for left in [12, 11, 9] {
        watchman.finds(&[trouble("a", &format!("{left} days are left"))]);
        looks_again(&server, &watchman).await;
    }
    shows(&server, |problems| {
        problems
            .first()
            .is_some_and(|problem| problem.message == "9 days are left")
    })
    .await;
    assert_eq!(log.told(KIND).await.len(), 1);

    watchman.finds(&[trouble("a", "9 days were left, and the disk is gone")]);
    looks_again(&server, &watchman).await;
    let told = log.tells(KIND, 2).await;
    assert_eq!(told[1].what, "changed");
    assert!(told[1].message.contains("gone"), "{told:?}");
    server.stop().await;
}

async fn what_a_probe_that_cannot_look_has_found_stays(database: Database) {
    let (site, watchman, server) = watched(database).await;
    let log = Log::of(&site).await;
    watchman.finds(&[trouble("a", "it burns")]);
    looks_again(&server, &watchman).await;
    shows(&server, |problems| problems.len() == 1).await;

    watchman.fails("the glasses are broken");
    server.advance(PERIOD);
    let blind = server.problem("monitor.blind").await;
    assert_eq!(blind.subject, "probes/watchman");
    assert!(
        blind.message.contains("the glasses are broken"),
        "{}",
        blind.message
    );
    shows(&server, |problems| problems.len() == 1).await;
    let told = log.tells("monitor.blind", 1).await;
    assert_eq!(told[0].what, "raised");

    watchman.finds(&[]);
    shows(&server, <[_]>::is_empty).await;
    let told = log.tells("monitor.blind", 2).await;
    assert_eq!(told[1].what, "cleared");
    server.stop().await;
}

async fn a_problem_that_ends_by_itself_says_so(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let log = Log::of(&site).await;
    let ends = noon().as_microsecond() + 3_600_000_000;
    let insert = format!(
        "INSERT INTO problems (kind, subject, replica, probe, severity, message, action, since, until) VALUES \
         ('slot.late', 'tasks/gone-by', '', 'auditor', 'critical', 'm', 'a', {}, {ends})",
        noon().as_microsecond()
    );
    log.run(&insert).await;
    server.problem("slot.late").await;

    server.advance(2 * 3600);

    // Other tasks may be late by then, too, and told of first.
    let told = until("its end", async || {
        let mut told = log.told("slot.late").await.into_iter();
        told.find(|told| told.subject == "tasks/gone-by")
    })
    .await;
    assert_eq!(told.what, "cleared");
    // However late someone saw to it.
    assert_eq!(told.cleared_at.as_deref(), Some("2026-03-02T13:00:00Z"));
    server.stop().await;
}

async fn a_task_that_goes_takes_its_problems_along_and_says_so(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let log = Log::of(&site).await;
    let task = server.create("task", scripted(&stage)).await;
    let run = server.trigger("task").await;
    stage.enters().await.fails();
    server.ended(&run.name).await;
    log.tells("task.failing", 1).await;

    let request = pb::DeleteTaskRequest {
        name: task.name,
        ..Default::default()
    };
    server.client.tasks().delete_task(request).await.unwrap();

    let told = log.tells("task.failing", 2).await;
    assert_eq!(told[1].what, "cleared");
    assert_eq!(told[1].subject, "tasks/task");
    assert_eq!(told.len(), 2);
    server.stop().await;
}

async fn a_task_of_a_name_that_another_had_has_problems_of_its_own(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let log = Log::of(&site).await;
    let fails = async |stage: &mut Stage| {
        let run = server.trigger("task").await;
        stage.enters().await.fails();
        server.ended(&run.name).await;
    };
    for _ in 0..3 {
        server.create("task", scripted(&stage)).await;
        fails(&mut stage).await;
        // Nothing of the one before makes it graver, or older.
        let now = server.now().to_string();
        let problem = until("the problem of this one", async || {
            let problem = server.problem("task.failing").await;
            // A status that was being read when the one before went is shown to who asks right after.
            (at(&problem.since_time) == now).then_some(problem)
        })
        .await;
        assert_eq!(problem.severity(), pb::Severity::Warning, "{problem:?}");
        let request = pb::DeleteTaskRequest {
            name: "tasks/task".to_owned(),
            ..Default::default()
        };
        server.client.tasks().delete_task(request).await.unwrap();
        server.advance(60);
    }
    // The last has none yet, whatever looks meanwhile.
    server.create("task", scripted(&stage)).await;
    server.advance(PERIOD);
    server.problem_is_over("task.failing").await;
    let told = log.tells("task.failing", 6).await;
    let whats: Vec<&str> = told.iter().map(|told| told.what.as_str()).collect();
    assert_eq!(whats, ["raised", "cleared"].repeat(3), "{told:?}");
    server.stop().await;
}

async fn a_task_that_fails_is_an_event_and_its_success_another(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let log = Log::of(&site).await;
    server.create("task", scripted(&stage)).await;
    for failures in 1..=3 {
        let run = server.trigger("task").await;
        stage.enters().await.fails();
        server.ended(&run.name).await;
        // Nobody has asked for the status.
        log.tells("task.failing", failures).await;
    }
    let problem = server.problem("task.failing").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);

    let run = server.trigger("task").await;
    stage.enters().await.succeeds();
    server.ended(&run.name).await;
    let told = log.tells("task.failing", 4).await;
    let whats: Vec<&str> = told.iter().map(|told| told.what.as_str()).collect();
    assert_eq!(whats, ["raised", "changed", "changed", "cleared"]);
    server.stop().await;
}

async fn a_row_of_an_unknown_kind_hides_nothing(database: Database) {
    let (site, watchman, server) = watched(database).await;
    let log = Log::of(&site).await;
    log.run(
        "INSERT INTO problems (kind, subject, replica, probe, severity, message, action, since) VALUES \
         ('moon.full', 'moon', '', 'astronomer', 'dreadful', 'it is full', 'wait', 1)",
    )
    .await;
    watchman.finds(&[trouble("a", "it burns")]);
    looks_again(&server, &watchman).await;
    shows(&server, |problems| problems.len() == 1).await;
    let problem = server.problem("moon.full").await;
    assert_eq!(
        problem.severity(),
        pb::Severity::Critical,
        "not known is not well"
    );
    server.stop().await;
}

async fn a_thousand_old_warnings_hide_nothing_grave(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let log = Log::of(&site).await;
    log.run(
        "INSERT INTO problems (kind, subject, replica, probe, severity, message, action, since) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
         SELECT 'task.paused', 'tasks/' || i, '', 'astronomer', 'warning', 'it waits', 'wait', i FROM n",
    )
    .await;
    log.run(
        "INSERT INTO problems (kind, subject, replica, probe, severity, message, action, since) VALUES \
         ('moon.full', 'moon', '', 'astronomer', 'critical', 'it is full', 'wait', 1000000)",
    )
    .await;
    server.problem("moon.full").await;
    let more = server.problem("monitor.more").await;
    assert!(more.message.starts_with("and 1 more"), "{}", more.message);
    let status = server.status().await;
    assert_eq!(status.problems[0].r#type, "moon.full", "gravest first");
    server.stop().await;
}

async fn a_probe_that_finds_the_same_thing_twice_tells_it_once(database: Database) {
    let (site, watchman, server) = watched(database).await;
    let log = Log::of(&site).await;
    watchman.finds(&[
        trouble("a", "it burns"),
        trouble("a", "it smokes").severity(Severity::Critical),
    ]);
    looks_again(&server, &watchman).await;
    let shown = shows(&server, |problems| problems.len() == 1).await;
    assert_eq!(shown[0].message, "it burns; it smokes");
    assert_eq!(shown[0].severity(), pb::Severity::Critical);
    looks_again(&server, &watchman).await;
    assert_eq!(log.told(KIND).await.len(), 1);
    assert!(ProblemKind::parse(KIND).is_some());
    server.stop().await;
}
