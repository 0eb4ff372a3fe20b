//! How far a backup is and what it became, and what the status says of one that failed.

use std::sync::Arc;

use watchbell_client::pb::{self, watch_backup_response::Message};

use super::{
    faulty::{Fault, Faulty, Gate},
    vault::Vault,
};
use crate::support::{Database, Site, TaskExt as _, instant, on_both, until, violations, within};

on_both!(
    a_watch_tells_each_step_and_ends_with_the_run,
    only_runs_of_backups_are_watched,
    a_backup_that_failed_is_a_problem_until_its_repetition_succeeds,
);

async fn a_watch_tells_each_step_and_ends_with_the_run(database: Database) {
    let mut site = Site::new(database).with_repository();
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let gate = Arc::new(Gate::default());
    faults.will("archive", Fault::Wait(gate.clone()));
    let run = vault.begin("daily-full").await.unwrap();
    until("the backup to archive", async || {
        gate.is_reached().then_some(())
    })
    .await;
    let request = pb::WatchBackupRequest {
        run: run.name.clone(),
    };
    let mut backups = server.client.backups();
    let mut watch = backups.watch_backup(request).await.unwrap().into_inner();
    let mut last = None;
    let mut phases = Vec::new();
    loop {
        // Progress is told once a second by the clock, which stands still.
        if phases.last().is_some_and(|phase| phase == "archive") {
            gate.open();
        }
        server.advance(1);
        let message = within("a message", watch.message()).await.unwrap().unwrap();
        match message.message.unwrap() {
            Message::Progress(progress) => {
                if phases.last() != Some(&progress.phase) {
                    phases.push(progress.phase.clone());
                }
                last = progress.run;
            }
            Message::Heartbeat(_) => {}
            Message::End(end) => {
                assert_eq!(end.reason, "RUN_ENDED");
                break;
            }
        }
    }
    assert_eq!(last.unwrap().state(), pb::RunState::Succeeded);
    assert!(phases.contains(&"archive".to_owned()), "{phases:?}");
    assert!(watch.message().await.unwrap().is_none());
    server.stop().await;
}

async fn only_runs_of_backups_are_watched(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    server.create("other", instant().every(3600)).await;
    let run = server.trigger("other").await;
    let request = pb::WatchBackupRequest { run: run.name };
    let status = server
        .client
        .backups()
        .watch_backup(request)
        .await
        .unwrap_err();
    assert_eq!(violations(&status), ["run"]);
    server.stop().await;
}

async fn a_backup_that_failed_is_a_problem_until_its_repetition_succeeds(database: Database) {
    let mut site = Site::new(database).with_repository();
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    for _ in 0..3 {
        faults.will("archive", Fault::Fail("the disk went away"));
    }
    let run = vault.begin("daily-full").await.unwrap();
    for (attempt, seconds) in [(1, 61), (2, 121)] {
        until("the attempt to fail", async || {
            let run = server.run(&run.name).await;
            (run.attempt == attempt && run.state() == pb::RunState::RetryWait).then_some(())
        })
        .await;
        server.advance(seconds);
    }
    let failed = server.ended(&run.name).await;
    assert_eq!(failed.state(), pb::RunState::Failed, "{failed:?}");
    let problem = server.problem("backup.failed").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert_eq!(problem.since_time, failed.finish_time, "since it failed");

    server.advance(3600);
    let request = pb::RetryRunRequest {
        name: run.name.clone(),
        ..pb::RetryRunRequest::default()
    };
    let mut runs = server.client.runs();
    let again = runs
        .retry_run(request)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    let again = server.ended(&again.name).await;
    assert_eq!(again.state(), pb::RunState::Succeeded, "{again:?}");
    until("the problem to be gone", async || {
        let problems = server.status().await.problems;
        let gone = problems
            .iter()
            .all(|problem| problem.r#type != "backup.failed");
        gone.then_some(())
    })
    .await;
    server.stop().await;
}
