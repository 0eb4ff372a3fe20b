//! A start with a clock that nothing has set yet, as the kernel says of it.

use jiff::SignedDuration;
use watchbell::clock::ManualClock;

use crate::{
    held::{decided_until, deciding, hours, is_over, site_now},
    support::{Database, Site, on_postgresql},
};

on_postgresql!(a_start_goes_by_the_database_and_not_by_a_host_that_nothing_has_set);

/// The clock of a machine that was started so long ago, an hour after what `site` has seen, which nothing has set.
fn started_anew(site: &mut Site, ago: SignedDuration) {
    site.clock = ManualClock::at(site_now(site) + hours(1) - ago);
    site.clock.advance(ago);
    site.clock.synchronise(Some(false));
}

/// On SQLite, where the host's clock is what all is decided by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_a_clock_that_nothing_has_set_is_held_until_something_does() {
    let mut site = Site::new(Database::sqlite());
    let server = deciding(&site).await;
    let decided = decided_until(&server).await;
    server.stop().await;
    started_anew(&mut site, SignedDuration::from_secs(20));

    let server = site.start().await;
    let problem = server.problem("clock.held").await;
    assert!(problem.message.contains("nothing has set"), "{problem:?}");
    server.advance(60);
    server.problem("clock.held").await;
    assert_eq!(decided_until(&server).await, decided);
    site.clock.synchronise(Some(true));
    is_over(&server, "clock.held").await;
    let now = server.now();
    server
        .decided("task", now - SignedDuration::from_secs(60))
        .await;
    server.stop().await;

    // Believed since the machine was started, it is not doubted again at each start of the server.
    site.clock.synchronise(Some(false));
    decides_at_once(&site).await;
    // By a host that never calls it set, once in each start of the machine, however long ago that was.
    started_anew(&mut site, hours(3));
    let server = site.start().await;
    server.problem("clock.held").await;
    server.advance(290);
    assert!(server.status().await.clock_hold.is_some());
    server.advance(15);
    is_over(&server, "clock.held").await;
    let now = server.now();
    server
        .decided("task", now - SignedDuration::from_secs(60))
        .await;
    server.stop().await;
    decides_at_once(&site).await;
}

async fn a_start_goes_by_the_database_and_not_by_a_host_that_nothing_has_set(database: Database) {
    let mut site = Site::new(database);
    deciding(&site).await.stop().await;
    started_anew(&mut site, SignedDuration::from_secs(20));
    decides_at_once(&site).await;
}

/// That a server that is started now holds nothing back.
async fn decides_at_once(site: &Site) {
    let server = site.start().await;
    assert!(server.status().await.clock_hold.is_none());
    let now = server.now();
    server
        .decided("task", now - SignedDuration::from_secs(60))
        .await;
    server.stop().await;
}
