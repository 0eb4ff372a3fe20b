//! Servers that give no sign of life.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    domain::problem::{Problem, ProblemKind},
    engine::{ALIVE_FOR, Engine},
    error::Result,
    monitor::probe::{Look, Probe, Scope},
    store::ReplicaRow,
};

const PERIOD: Duration = Duration::from_secs(10);

/// The servers of the cluster.
#[derive(Debug)]
pub(in crate::monitor) struct ReplicasProbe(pub(in crate::monitor) Engine);

impl Probe for ReplicasProbe {
    fn name(&self) -> &'static str {
        "replicas"
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            let (own, now) = (self.0.replica().id, self.0.clock().now());
            // On SQLite the lock of the data directory proves that no other lives, and none is missed.
            if self.0.store().file().is_some() {
                return Ok(Look::default());
            }
            let replicas = self.0.store().replicas().await?;
            let silent = replicas
                .iter()
                .filter(|replica| replica.id != own)
                .filter_map(|replica| silent(replica, now));
            Ok(Look::of(silent.collect()))
        })
    }
}

fn silent(replica: &ReplicaRow, now: Timestamp) -> Option<Problem> {
    if now.duration_since(replica.seen_at) <= ALIVE_FOR {
        return None;
    }
    let message = format!(
        "on {}: no sign of life since {}",
        replica.host, replica.seen_at
    );
    let subject = format!("replicas/{}", replica.id);
    let kind = ProblemKind::ReplicaSilent;
    Some(Problem::new(kind, subject, message, replica.seen_at))
}
