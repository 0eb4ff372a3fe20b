//! When probes last looked, and which server looks for the cluster.

use jiff::Timestamp;
use sea_orm::FromQueryResult;
use serde::{Deserialize, Serialize};

use super::{
    Store, Tx,
    convert::{self, micros},
    problems::replica_text,
    rows::{Column, Type, column},
};
use crate::{domain::ReplicaId, error::Result};

const LEASE: &str = "monitor_lease";

const COLUMNS: &[Column] = &[
    column("name", Type::Text),
    column("replica", Type::Text),
    column("looks", Type::Big),
    column("looked_at", Type::Big),
    column("period", Type::Big),
];

/// How far a probe has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub name: String,
    /// The server that it is of; none where it looks for the cluster.
    pub replica: Option<ReplicaId>,
    /// How often it has looked: whether it goes on does not depend on any clock.
    pub looks: i64,
    pub looked_at: Timestamp,
    pub period: std::time::Duration,
}

/// The right to look for the cluster. It is held while `beat` moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeLease {
    pub holder: ReplicaId,
    pub beat: i64,
}

#[derive(FromQueryResult)]
struct Row {
    name: String,
    replica: String,
    looks: i64,
    looked_at: i64,
    period: i64,
}

impl Store {
    /// When each probe of each server last looked; at most 10,000.
    pub async fn probe_marks(&self) -> Result<Vec<Mark>> {
        let select = "SELECT name, replica, looks, looked_at, period FROM probes LIMIT 10000";
        let rows: Vec<Row> = self.all(self.sql(select).done()).await?;
        let read = |row: Row| {
            Ok(Mark {
                name: row.name,
                replica: row.replica.parse().ok(),
                looks: row.looks,
                looked_at: convert::instant(row.looked_at)?,
                period: std::time::Duration::from_micros(row.period.unsigned_abs()),
            })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// Who looks for the cluster, locked until this write is over.
    pub async fn probe_lease_locked(&mut self) -> Result<Option<ProbeLease>> {
        let found = self.value::<Option<ProbeLease>>(LEASE, " FOR UPDATE");
        Ok(found.await?.flatten())
    }

    /// Says who looks for the cluster from now on.
    pub async fn set_probe_lease(&mut self, lease: Option<&ProbeLease>) -> Result<()> {
        self.set_value(LEASE, &lease).await
    }

    /// Notes that probes have looked.
    pub async fn probes_looked(&mut self, marks: &[Mark]) -> Result<()> {
        let rows = marks.iter().map(|mark| {
            vec![
                mark.name.clone().into(),
                replica_text(mark.replica).into(),
                mark.looks.into(),
                micros(mark.looked_at).into(),
                i64::try_from(mark.period.as_micros())
                    .unwrap_or(i64::MAX)
                    .into(),
            ]
        });
        self.insert(
            "probes",
            COLUMNS,
            &[],
            rows.collect(),
            " ON CONFLICT (name, replica) DO UPDATE SET looks = excluded.looks, \
             looked_at = excluded.looked_at, period = excluded.period",
        )
        .await
    }
}
