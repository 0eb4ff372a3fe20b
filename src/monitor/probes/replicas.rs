//! Servers that give no sign of life, and those that have other rules of time zones than the others.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    domain::{
        problem::{Problem, ProblemKind, Severity},
        rules::ZoneRules,
    },
    engine::Engine,
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
            let mut problems: Vec<Problem> = silent.collect();
            problems.extend(unlike(&replicas, now));
            Ok(Look::of(problems))
        })
    }
}

fn silent(replica: &ReplicaRow, now: Timestamp) -> Option<Problem> {
    if replica.is_alive(now) {
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

/// Those whose rules differ from the newest that one of them has. Where a zone differs that both use, one time of day is
/// two instants, by who decides.
fn unlike(replicas: &[ReplicaRow], now: Timestamp) -> Vec<Problem> {
    let alive = replicas.iter().filter(|replica| replica.is_alive(now));
    let told: Vec<(&ReplicaRow, ZoneRules)> = alive
        .filter_map(|replica| Some((replica, ZoneRules::read(&replica.rules)?)))
        .collect();
    let newest = told
        .iter()
        .map(|(_, rules)| rules)
        .max_by(|a, b| a.order(b));
    let Some(newest) = newest else {
        return Vec::new();
    };
    let problem = |(replica, rules): &(&ReplicaRow, ZoneRules)| {
        let message = format!("on {}: {}", replica.host, rules.told_beside(newest)?);
        let subject = format!("replicas/{}", replica.id);
        let problem = Problem::new(ProblemKind::ReplicaTzdata, subject, message, now);
        Some(match rules.zones_unlike(newest).is_empty() {
            true => problem,
            false => problem.severity(Severity::Critical),
        })
    };
    told.iter().filter_map(problem).collect()
}
