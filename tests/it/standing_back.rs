//! A server whose configuration is not the one in force: it does no work by it, until it is.

use jiff::SignedDuration;
use tonic::Code;
use watchbell::clock::ManualClock;
use watchbell_client::pb;

use crate::support::{Database, Server, Site, noon, on_postgresql, refused, until};

on_postgresql!(
    a_server_with_an_older_file_takes_no_runs_and_no_edits,
    an_older_file_waits_until_nobody_serves_the_newer,
    a_server_takes_part_once_its_file_is_in_force_again,
    of_two_that_start_at_once_one_sees_the_other,
    a_server_that_is_not_started_anew_with_the_others_is_told,
    a_server_that_stands_back_looks_again_though_the_clock_is_set_back,
);

const OLD: &str = "[tasks.job]\nkind = \"instant\"\ndescription = \"old\"\n";
const NEW: &str = "[tasks.job]\nkind = \"instant\"\ndescription = \"new\"\n";
const OLDER: &str = "configuration.older";

/// Two servers: the first serves the newer file, the second was started with the older one.
async fn newer_and_older(site: &mut Site) -> (Server, Server) {
    site.configure(OLD);
    site.start().await.stop().await;
    site.configure(NEW);
    let newer = site.start().await;
    site.configure(OLD);
    let older = site.start().await;
    let problem = older.problem(OLDER).await;
    assert!(problem.message.contains("takes no runs"), "{problem:?}");
    (newer, older)
}

async fn stands_back(server: &Server) -> bool {
    let problems = server.status().await.problems;
    problems.iter().any(|problem| problem.r#type == OLDER)
}

/// Time passes until the server that stood back takes part.
async fn takes_part(server: &Server) {
    until("it to take part", async || {
        server.advance(10);
        (!stands_back(server).await).then_some(())
    })
    .await;
    let run = server.trigger("job").await;
    let ended = server.ended(&run.name).await;
    assert_eq!(ended.state(), pb::RunState::Succeeded);
}

async fn a_server_with_an_older_file_takes_no_runs_and_no_edits(database: Database) {
    let mut site = Site::new(database);
    let (newer, older) = newer_and_older(&mut site).await;
    let request = pb::DrainRequest {
        lasts_for: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        reason: String::new(),
    };
    newer.client.scheduler().drain(request).await.unwrap();

    let run = older.trigger("job").await;

    assert_eq!(run.state(), pb::RunState::Queued, "{run:?}");
    let request = pb::UpdateTaskRequest {
        task: Some(pb::Task {
            name: "tasks/job".to_owned(),
            priority: Some(9),
            ..pb::Task::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["priority".to_owned()],
        }),
        ..Default::default()
    };
    let edited = older.client.tasks().update_task(request.clone()).await;
    let (code, reason, status) = refused(edited);
    assert_eq!(code, Code::FailedPrecondition);
    assert_eq!(reason, "CONFIGURATION_OLDER");
    assert!(
        status.message().contains("ask another server"),
        "{status:?}"
    );
    newer.client.tasks().update_task(request).await.unwrap();
    assert_eq!(older.run(&run.name).await.state(), pb::RunState::Queued);
    let request = pb::EndDrainRequest {};
    newer.client.scheduler().end_drain(request).await.unwrap();
    let ended = older.ended(&run.name).await;
    assert_eq!(ended.state(), pb::RunState::Succeeded);
    older.stop().await;
    newer.stop().await;
}

async fn an_older_file_waits_until_nobody_serves_the_newer(database: Database) {
    let mut site = Site::new(database);
    let (newer, older) = newer_and_older(&mut site).await;
    // To be started anew is not to be gone.
    newer.stop().await;
    older.advance(60);
    site.configure(NEW);
    let newer = site.start().await;
    older.advance(60);
    assert_eq!(newer.task("job").await.description, "new");
    assert!(stands_back(&older).await);

    newer.kill().await;

    takes_part(&older).await;
    assert_eq!(older.task("job").await.description, "old");
    older.problem("configuration.rollback").await;
    older.stop().await;
}

async fn a_server_that_stands_back_looks_again_though_the_clock_is_set_back(database: Database) {
    let mut site = Site::new(database);
    let (newer, older) = newer_and_older(&mut site).await;
    newer.kill().await;

    site.clock
        .set(noon() - SignedDuration::from_hours(24 * 365));

    takes_part(&older).await;
    older.stop().await;
}

async fn a_server_takes_part_once_its_file_is_in_force_again(database: Database) {
    let mut site = Site::new(database);
    let (newer, older) = newer_and_older(&mut site).await;
    newer.stop().await;
    site.apply_older = true;
    let rolled_back = site.start().await;

    takes_part(&older).await;

    assert_eq!(older.task("job").await.description, "old");
    rolled_back.stop().await;
    older.stop().await;
}

async fn of_two_that_start_at_once_one_sees_the_other(database: Database) {
    let Database::Postgresql { server, name } = &database else {
        return;
    };
    let same = Database::Postgresql {
        server: server.clone(),
        name: name.clone(),
    };
    let mut site = Site::configured(database, OLD);
    site.start().await.stop().await;
    site.configure(NEW);
    site.start().await.stop().await;
    let mut other = Site::configured(same, OLD);
    other.clock = ManualClock::clone(&site.clock);

    // As where the power is back.
    let (newer, older) = tokio::join!(site.start(), other.start());

    let problem = newer.problem(OLDER).await;
    let back = match newer.task("job").await.description.as_str() {
        "new" => &older,
        _ => &newer,
    };
    let request = pb::GetDrainRequest {};
    let of = back.client.scheduler().get_drain(request).await.unwrap();
    assert_eq!(problem.subject, of.into_inner().drain.unwrap().replica);
    older.stop().await;
    newer.stop().await;
}

/// Waits until each server has given a sign of life of late: who gets no time for one while the clock goes on is taken for
/// dead.
async fn both_live(server: &Server) {
    until("signs of life", async || {
        let request = pb::ListReplicasRequest::default();
        let replicas = server.client.scheduler().list_replicas(request).await;
        let replicas = replicas.unwrap().into_inner().replicas;
        let late = server.now().as_second() - 10;
        let gives = |replica: &pb::Replica| late <= replica.seen_time.unwrap().seconds;
        replicas.iter().all(gives).then_some(())
    })
    .await;
}

async fn a_server_that_is_not_started_anew_with_the_others_is_told(database: Database) {
    let mut site = Site::configured(database, OLD);
    let forgotten = site.start().await;
    site.configure(NEW);
    let newer = site.start().await;

    let problem = until("it to be told", async || {
        forgotten.advance(10);
        both_live(&newer).await;
        let problems = newer.status().await.problems;
        problems.into_iter().find(|problem| problem.r#type == OLDER)
    })
    .await;

    assert!(problem.message.contains("goes on by"), "{problem:?}");
    let waited = forgotten.now().duration_since(noon());
    assert!(
        600 <= waited.as_secs(),
        "not while others are started: {waited}"
    );
    forgotten.stop().await;
    newer.stop().await;
}
