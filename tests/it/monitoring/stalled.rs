//! The reader judges how old what it shows is.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use watchbell::{clock::Clock as _, monitor::Scope};
use watchbell_client::pb;

use crate::support::{Database, PERIOD, Server, Site, Watchman, on_both, trouble, until};

on_both!(
    a_probe_that_hangs_is_a_problem_after_three_periods,
    a_probe_that_never_looked_is_a_problem,
    a_clock_that_is_set_makes_no_probe_old,
    a_probe_of_each_server_that_hangs_names_the_server,
);

async fn started(database: Database, watchman: &Watchman) -> (Site, Server) {
    let mut site = Site::new(database);
    site.probes = vec![Arc::new(watchman.clone())];
    let server = site.start().await;
    (site, server)
}

fn stalled(status: &pb::Status) -> Option<&pb::Problem> {
    let mut problems = status.problems.iter();
    // On a crowded machine others may be late, too.
    problems
        .find(|problem| problem.r#type == "monitor.stalled" && problem.subject == "probes/watchman")
}

async fn a_probe_that_hangs_is_a_problem_after_three_periods(database: Database) {
    let watchman = Watchman::new();
    watchman.finds(&[trouble("a", "it burns")]);
    let (_site, server) = started(database, &watchman).await;
    server.problem("health.load_per_core").await;
    watchman.hangs();
    server.advance(PERIOD);
    watchman.hung().await;
    server.advance(PERIOD * 2 - 1);
    let status = server.status().await;
    assert_eq!(stalled(&status), None);

    server.advance(2);

    // It says so to whoever asks first.
    let status = server.status().await;
    let problem = stalled(&status).expect("it is told");
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert_eq!(problem.subject, "probes/watchman");
    let known = status
        .problems
        .iter()
        .any(|problem| problem.r#type == "health.load_per_core");
    assert!(known, "what it has found stays");
    // Nobody waits for it again: whoever did would wait for a second each time. On a machine that is busy, some of these
    // may take as long all the same.
    let asked = Duration::from_millis(900);
    for _ in 0..3 {
        let status = until("an answer at once", async || {
            server.advance(1);
            let status = tokio::time::timeout(asked, server.status()).await;
            status.ok()
        })
        .await;
        assert!(stalled(&status).is_some());
    }
    server.stop().await;
}

async fn a_probe_that_never_looked_is_a_problem(database: Database) {
    let watchman = Watchman::new();
    watchman.hangs();
    let (_site, server) = started(database, &watchman).await;
    until("the look", async || (0 < watchman.looks()).then_some(())).await;
    // Nothing is known of what it looks after, from the first.
    let status = server.status().await;
    let problem = stalled(&status).expect("it is told");
    assert_eq!(problem.severity(), pb::Severity::Warning);
    server.advance(PERIOD * 3 + 1);
    let status = server.status().await;
    let problem = stalled(&status).expect("it is told");
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert!(
        problem
            .message
            .contains("has not looked yet since the start at"),
        "{}",
        problem.message
    );
    server.stop().await;
}

async fn a_clock_that_is_set_makes_no_probe_old(database: Database) {
    let watchman = Watchman::new();
    let (site, server) = started(database, &watchman).await;
    // It is told as one that has not looked until its first look is over.
    until("the look", async || {
        stalled(&server.status().await).is_none().then_some(())
    })
    .await;
    for hours in [48, -48] {
        site.clock
            .set(site.clock.now() + SignedDuration::from_hours(hours));
        assert_eq!(stalled(&server.status().await), None);
    }
    // And one that hangs does not look young by a clock that was set back.
    watchman.hangs();
    server.advance(PERIOD);
    watchman.hung().await;
    site.clock
        .set(site.clock.now() + SignedDuration::from_hours(-24));
    server.advance(PERIOD * 2 + 1);
    assert!(stalled(&server.status().await).is_some());
    server.kill().await;
}

async fn a_probe_of_each_server_that_hangs_names_the_server(database: Database) {
    let watchman = Watchman::of(Scope::Replica);
    let (_site, server) = started(database, &watchman).await;
    until("the look", async || (0 < watchman.looks()).then_some(())).await;
    watchman.hangs();
    server.advance(PERIOD);
    watchman.hung().await;
    server.advance(PERIOD * 3);
    let status = server.status().await;
    let info = pb::GetServerInfoRequest {};
    let info = server.client.scheduler().get_server_info(info).await;
    let own = info.unwrap().into_inner().replica;
    assert_eq!(stalled(&status).expect("it is told").replica, own);
    let answer = tokio::time::timeout(Duration::from_secs(5), server.status()).await;
    assert!(answer.is_ok());
    server.stop().await;
}
