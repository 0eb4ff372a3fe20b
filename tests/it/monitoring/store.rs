//! Problems of the database itself: shown at once, and written with their true onset once it is back.

use jiff::{SignedDuration, Timestamp};
use sea_orm::ConnectionTrait as _;
use watchbell_client::pb;

use super::events::Log;
use crate::support::{
    Database, Proxy, Server, Site, TaskExt as _, at, instant, on_both, on_postgresql, until,
};

on_postgresql!(
    a_database_that_was_away_is_entered_later_with_its_true_onset,
    a_database_that_comes_and_goes_is_entered_each_time,
    a_database_that_only_reads_is_entered_when_it_can_be_written,
);
on_both!(
    a_clock_that_was_set_back_is_told_and_over_when_it_has_caught_up,
    a_row_that_another_took_for_a_dead_servers_is_written_again,
);

async fn reachable(server: &Server) {
    until("the database to be back", async || {
        let database = server.status().await.database?;
        database.reachable.then_some(())
    })
    .await;
}

async fn a_database_that_was_away_is_entered_later_with_its_true_onset(database: Database) {
    let site = Site::new(database);
    let wire = Proxy::to(&site.database.url()).await;
    let server = site.start_on(&wire.url(&site.database.url())).await;
    let log = Log::of(&site).await;
    server.advance(100);

    wire.cut();
    let problem = server.problem("database.unreachable").await;
    let onset = at(&problem.since_time);
    server.advance(600);
    let still = server.problem("database.unreachable").await;
    assert_eq!(at(&still.since_time), onset, "it goes on");
    assert!(log.told("database.unreachable").await.is_empty());
    wire.mend();
    reachable(&server).await;

    // It began and was over while nothing could be written.
    let told = log.tells("database.unreachable", 2).await;
    assert_eq!(
        (told[0].what.as_str(), told[1].what.as_str()),
        ("raised", "cleared")
    );
    assert_eq!(told[0].since, onset);
    assert_eq!(told[1].since, onset);
    let over = told[1].cleared_at.clone().unwrap();
    assert_eq!(over, at(&server.status().await.check_time));
    server.problem_is_over("database.unreachable").await;
    server.stop().await;
}

async fn a_database_that_comes_and_goes_is_entered_each_time(database: Database) {
    let site = Site::new(database);
    let wire = Proxy::to(&site.database.url()).await;
    let server = site.start_on(&wire.url(&site.database.url())).await;
    let log = Log::of(&site).await;
    for times in 1..=2 {
        server.advance(60);
        wire.cut();
        server.problem("database.unreachable").await;
        wire.mend();
        reachable(&server).await;
        log.tells("database.unreachable", 2 * times).await;
    }
    let told = log.told("database.unreachable").await;
    assert_eq!(told.len(), 4);
    assert!(told[0].since < told[2].since, "{told:?}");
    server.stop().await;
}

async fn a_database_that_only_reads_is_entered_when_it_can_be_written(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let log = Log::of(&site).await;
    let fate = site.database.connect(site.data()).await;
    let set = |to: &str| {
        format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {to}', \
             current_database()); END $$"
        )
    };
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND pid <> pg_backend_pid() AND application_name <> ''";
    fate.execute_unprepared(&set("on")).await.unwrap();
    let all = cut.replace(" AND application_name <> ''", "");
    fate.execute_unprepared(&all).await.unwrap();

    let problem = until("the problem", async || {
        server.advance(5);
        let problems = server.status().await.problems;
        problems
            .into_iter()
            .find(|problem| problem.r#type == "database.unwritable")
    })
    .await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    let onset = at(&problem.since_time);
    let off = format!("SET default_transaction_read_only = off; {}", set("off"));
    fate.execute_unprepared(&off).await.unwrap();
    fate.execute_unprepared(&all).await.unwrap();

    until("it to be over", async || {
        server.advance(5);
        let problems = server.status().await.problems;
        let mut open = problems.iter();
        (!open.any(|problem| problem.r#type == "database.unwritable")).then_some(())
    })
    .await;
    // The log's connection was among those that were ended.
    drop(log);
    let log = Log::of(&site).await;
    let told = log.tells("database.unwritable", 2).await;
    assert_eq!(told[0].since, onset);
    assert_eq!(told[1].what, "cleared");
    server.stop().await;
}

/// A server that has decided slots, and whose clock was then set back by half an hour; and what the time was.
async fn set_back(site: &Site) -> (Server, Timestamp) {
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    server.advance(3600);
    server.decided("task", server.now()).await;
    let right = server.now();
    site.clock.set(right - SignedDuration::from_mins(30));
    server.advance(5);
    (server, right)
}

async fn a_row_that_another_took_for_a_dead_servers_is_written_again(database: Database) {
    let site = Site::new(database);
    let (server, _) = set_back(&site).await;
    let log = Log::of(&site).await;
    server.problem("clock.behind").await;
    log.tells("clock.behind", 1).await;

    log.run("DELETE FROM problems WHERE kind = 'clock.behind'")
        .await;

    let told = until("it to be written again", async || {
        server.advance(5);
        let told = log.told("clock.behind").await;
        (2 <= told.len()).then_some(told)
    })
    .await;
    assert_eq!(told[1].what, "raised");
    assert_eq!(told[1].since, told[0].since, "its onset stays");
    server.stop().await;
}

async fn a_clock_that_was_set_back_is_told_and_over_when_it_has_caught_up(database: Database) {
    let site = Site::new(database);
    let (server, right) = set_back(&site).await;
    let log = Log::of(&site).await;
    let problem = server.problem("clock.behind").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    site.clock.set(right);
    server.advance(5);

    let told = log.tells("clock.behind", 2).await;
    assert_eq!(
        (told[0].what.as_str(), told[1].what.as_str()),
        ("raised", "cleared")
    );
    server.stop().await;
}

/// SQLite passes over what stands behind the end of its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_someone_reads_for_long_is_told_and_begins_anew_afterwards() {
    let site = Site::new(Database::sqlite());
    let server = site.start().await;
    let reader = site.database.connect(site.data()).await;
    for step in ["BEGIN", "SELECT count(*) FROM tasks"] {
        reader.execute_unprepared(step).await.unwrap();
    }
    server.create("task", instant()).await;
    let log = site.data().join("watchbell.db-wal");
    let file = std::fs::OpenOptions::new().write(true).open(&log);
    file.unwrap().set_len(300 << 20).unwrap();

    server.advance(11);
    let problem = server.problem("database.log_long").await;
    assert!(problem.message.contains("300 MiB"), "{}", problem.message);
    server.trigger("task").await;
    reader.execute_unprepared("COMMIT").await.unwrap();
    until("the log to begin anew", async || {
        let length = std::fs::metadata(&log).unwrap().len();
        (length < 32 << 20).then_some(())
    })
    .await;
    server.advance(11);
    until("nothing to be told of it any more", async || {
        let told = server.status().await.problems;
        let is_told = told.iter().any(|told| told.r#type == "database.log_long");
        (!is_told).then_some(())
    })
    .await;
    server.stop().await;
}
