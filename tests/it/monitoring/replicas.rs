//! Several servers: one looks for the cluster, each for itself.

use std::sync::Arc;

use watchbell::monitor::Scope;

use super::events::Log;
use crate::support::{Database, PERIOD, Server, Site, Watchman, on_postgresql, trouble, until};

on_postgresql!(
    one_server_looks_for_the_cluster_and_another_takes_over_when_it_dies,
    a_server_that_stops_hands_over_at_once,
    problems_of_a_server_that_is_gone_are_cleared,
    a_prober_that_hangs_is_seen_by_every_server,
);

/// Beyond these a server that gives no sign of life is not counted any more.
const PULSE: i64 = 5;

async fn server_with(site: &mut Site, watchman: &Watchman) -> Server {
    site.probes = vec![Arc::new(watchman.clone())];
    site.start().await
}

/// The watchman of two that looks, and the other.
async fn two(database: Database) -> (Site, [Watchman; 2], [Server; 2]) {
    let watchmen = [Watchman::new(), Watchman::new()];
    let mut site = Site::new(database);
    let first = server_with(&mut site, &watchmen[0]).await;
    until("a look", async || (0 < watchmen[0].looks()).then_some(())).await;
    let second = server_with(&mut site, &watchmen[1]).await;
    (site, watchmen, [first, second])
}

/// Lets so much time pass as who looks for the cluster can follow: where its pulse gets no time to beat, another rightly
/// takes its place.
async fn passes(log: &Log, server: &Server, seconds: i64) {
    for _ in 0..seconds / PULSE {
        let before = log.lease().await;
        server.advance(PULSE);
        until("the pulse of who looks", async || {
            (log.lease().await != before).then_some(())
        })
        .await;
    }
}

async fn one_server_looks_for_the_cluster_and_another_takes_over_when_it_dies(database: Database) {
    let (site, [one, other], [first, second]) = two(database).await;
    let log = Log::of(&site).await;
    one.finds(&[trouble("a", "it burns")]);
    let before = one.looks();
    passes(&log, &first, PERIOD).await;
    until("a look", async || (before < one.looks()).then_some(())).await;
    // Whichever is asked.
    second.problem("health.load_per_core").await;
    assert_eq!(other.looks(), 0);

    first.kill().await;
    other.finds(&[trouble("a", "it burns")]);
    let mut left = 4 * PULSE + 60;
    // By then it looks; how long it takes on a machine that is busy until it has, is another matter.
    until("the other to look", async || {
        if 0 < other.looks() {
            return Some(());
        }
        if 0 < left {
            left -= 1;
            second.advance(1);
        }
        None
    })
    .await;
    second.advance(PERIOD);
    assert_eq!(
        log.told("health.load_per_core").await.len(),
        1,
        "it went on"
    );
    second.stop().await;
}

async fn a_server_that_stops_hands_over_at_once(database: Database) {
    let (_site, [_, other], [first, second]) = two(database).await;
    assert_eq!(other.looks(), 0);
    first.stop().await;
    second.advance(PULSE);
    until("the other to look", async || {
        (0 < other.looks()).then_some(())
    })
    .await;
    second.stop().await;
}

async fn problems_of_a_server_that_is_gone_are_cleared(database: Database) {
    let mut site = Site::new(database);
    let own = Watchman::of(Scope::Replica);
    own.finds(&[trouble("its disk", "it burns")]);
    let first = server_with(&mut site, &Watchman::of(Scope::Replica)).await;
    let second = server_with(&mut site, &own).await;
    let log = Log::of(&site).await;
    let problem = first.problem("health.load_per_core").await;
    assert!(problem.replica.starts_with("replicas/"), "{problem:?}");

    second.kill().await;

    let told = until("it to be cleared", async || {
        first.advance(10);
        let told = log.told("health.load_per_core").await;
        (2 <= told.len()).then_some(told)
    })
    .await;
    assert_eq!(told[1].what, "cleared");
    first.stop().await;
}

async fn a_prober_that_hangs_is_seen_by_every_server(database: Database) {
    let (site, [one, other], [first, second]) = two(database).await;
    let log = Log::of(&site).await;
    one.hangs();
    let before = one.looks();
    passes(&log, &first, PERIOD).await;
    until("the look", async || (before < one.looks()).then_some(())).await;
    for server in [&first, &second] {
        let problem = until("the probe to be stalled", async || {
            passes(&log, server, PULSE).await;
            let problems = server.status().await.problems;
            problems
                .into_iter()
                .find(|problem| problem.r#type == "monitor.stalled")
        })
        .await;
        assert_eq!(problem.subject, "probes/watchman");
    }
    assert_eq!(other.looks(), 0, "the pulse of the first goes on");
    first.stop().await;
    second.stop().await;
}
