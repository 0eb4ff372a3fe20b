//! How many calls look into restore points at once: each takes memory of the process that schedules.

use std::sync::Arc;

use tokio::join;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use watchbell_client::pb;

use super::{
    faulty::{Fault, Faulty, Gate},
    vault::Vault,
};
use crate::support::{Database, Server, Site, on_both, refused, until};

on_both!(
    two_restores_are_planned_at_once_also_where_a_caller_is_gone,
    few_files_and_directories_are_looked_into_at_once,
);

async fn with_a_point(database: Database) -> (Site, Server, Faulty) {
    let mut site = Site::new(database).with_repository();
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    Vault::of(&server, &site).back_up("daily-full").await;
    (site, server, faults)
}

/// Has the next opening of a snapshot wait.
fn held(faults: &Faulty) -> Arc<Gate> {
    let gate = Arc::new(Gate::default());
    faults.will("read", Fault::Wait(gate.clone()));
    gate
}

async fn reached(gate: &Gate) {
    until("the repository to be read", async || {
        gate.is_reached().then_some(())
    })
    .await;
}

fn is_busy<T: std::fmt::Debug>(answer: Result<T, Status>, says: &str) {
    let (code, reason, status) = refused(answer);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "BUSY"));
    let details = status.get_error_details();
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    assert!(status.message().contains(says), "{status:?}");
}

async fn two_restores_are_planned_at_once_also_where_a_caller_is_gone(database: Database) {
    let (site, server, faults) = with_a_point(database).await;
    let vault = Vault::of(&server, &site);
    let (first, second) = (held(&faults), held(&faults));
    // Whoever gives up leaves behind what still reads.
    tokio::select! {
        planned = vault.plan("given-up") => panic!("{planned:?}"),
        () = reached(&first) => {}
    }
    let others = async {
        reached(&second).await;
        is_busy(vault.plan("third").await, "2 restores are planned");
        let open = async {
            first.open();
            second.open();
        };
        // It waits for the others a few seconds, and a busy machine may let them take longer.
        let fourth = until("a turn", async || match vault.plan("fourth").await {
            Err(status) if status.code() == Code::ResourceExhausted => None,
            planned => Some(planned),
        });
        let (waited, ()) = join!(fourth, open);
        waited
    };

    let (planned, waited) = join!(vault.plan("second"), others);

    assert!(!planned.unwrap().token.is_empty());
    assert!(!waited.unwrap().token.is_empty());
    server.stop().await;
}

async fn few_files_and_directories_are_looked_into_at_once(database: Database) {
    let (_site, server, faults) = with_a_point(database).await;
    let name = "restorePoints/latest".to_owned();
    let list = async || {
        let request = pb::ListRestorePointEntriesRequest {
            name: name.clone(),
            ..pb::ListRestorePointEntriesRequest::default()
        };
        let mut backups = server.client.backups();
        backups.list_restore_point_entries(request).await
    };
    let read = async || {
        let request = pb::ReadRestorePointFileRequest {
            name: name.clone(),
            path: "/content/none".to_owned(),
        };
        let mut backups = server.client.backups();
        backups.read_restore_point_file(request).await.map(drop)
    };
    let gates: [_; 4] = std::array::from_fn(|_| held(&faults));
    let after = async {
        for gate in &gates {
            reached(gate).await;
        }
        is_busy(list().await, "4 directories of restore points are listed");
        // They stand in no one's way but that of their own kind.
        assert_eq!(refused(read().await).0, Code::NotFound);
        gates.iter().for_each(|gate| gate.open());
    };
    let (one, two, three, four, ()) = join!(list(), list(), list(), list(), after);
    for listed in [one, two, three, four] {
        assert!(!listed.unwrap().into_inner().entries.is_empty());
    }

    let gates: [_; 4] = std::array::from_fn(|_| held(&faults));
    let after = async {
        for gate in &gates {
            reached(gate).await;
        }
        is_busy(read().await, "4 files of restore points are read");
        gates.iter().for_each(|gate| gate.open());
    };
    let (one, two, three, four, ()) = join!(read(), read(), read(), read(), after);
    for missing in [one, two, three, four] {
        assert_eq!(refused(missing).0, Code::NotFound);
    }
    server.stop().await;
}
