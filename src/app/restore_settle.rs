//! What a database that came back says of a past that has gone on without it, put right.

use super::{
    DataDir, Ports,
    restore::{Account, unreadable},
    serve::{location, offline_engine},
};
use crate::{
    backup::{Offline, OfflineFound, OfflineStanding},
    config::{Config, DatabaseUrl},
    domain::{
        Caller,
        backup::{PolicyKind, point::RestorePoint},
    },
    store::Store,
};

const PRINCIPAL: &str = "watchbell restore";
const WHY: &str =
    "restored from a backup: the original may still live; see that it does not, then resume";

/// Puts right what the database says of a past that has gone on without it.
pub(super) async fn settle(
    config: &Config,
    ports: &Ports,
    offline: &Offline,
    found: &[OfflineFound],
    account: &mut Account,
) -> anyhow::Result<()> {
    let exclusive = matches!(config.database, DatabaseUrl::Sqlite(_));
    let data = DataDir::open_unfinished(&config.data, exclusive)?;
    let store = Store::open(&location(config), ports.clock.clone()).await?;
    data.belong_to(&store.cluster_id().await?)?;
    let mut tx = store.begin().await?;
    tx.forget_original().await?;
    tx.commit().await?;
    let known = store.points_there().await?;
    for one in found {
        if let Some(there) = known.iter().find(|point| point.id == one.id) {
            follow(&store, one, there.clone()).await?;
            continue;
        }
        // What a failed run has left is no point.
        let is_left = one.standing == OfflineStanding::Unverified;
        if is_left || store.point(one.id).await.is_ok() {
            continue;
        }
        let mut point = match offline.manifest(one).await {
            Ok((_, point)) => point,
            Err(error) => {
                let remark = unreadable(one, &error);
                if !account.remarks.contains(&remark) {
                    account.remarks.push(remark);
                }
                continue;
            }
        };
        // Whoever made it is another instance's run; it is verified again before it counts.
        point.run.clear();
        put(&store, &point).await?;
        account.points_found += 1;
    }
    for mut point in known {
        let is_full = point.kind == PolicyKind::Full;
        if is_full && !found.iter().any(|one| one.id == point.id) {
            point.removed_at = Some(ports.clock.now());
            point.remove_reason =
                "it is not in the repository that the instance was restored from".to_owned();
            put(&store, &point).await?;
            account.points_gone += 1;
        }
    }
    let engine = offline_engine(config, ports, store.clone());
    let who = Caller {
        principal: PRINCIPAL.to_owned(),
    };
    let settled = engine.settle_restored(&who, WHY).await?;
    account.runs = settled.runs;
    account.tasks = settled.tasks;
    store.close().await;
    Ok(())
}

/// A point that the database knows, in a repository where its snapshots have other ids: that one is a copy.
async fn follow(
    store: &Store,
    found: &OfflineFound,
    mut point: RestorePoint,
) -> anyhow::Result<()> {
    let here = found.ids();
    let there = (point.snapshot.as_str(), point.manifest_snapshot.as_str());
    if point.kind != PolicyKind::Full || here.is_none() || here == Some(there) {
        return Ok(());
    }
    if let Some((data, manifest)) = here {
        point.snapshot = data.to_owned();
        point.manifest_snapshot = manifest.to_owned();
    }
    // It was read elsewhere, and not here.
    point.verified_at = None;
    point.drilled_at = None;
    put(store, &point).await
}

async fn put(store: &Store, point: &RestorePoint) -> anyhow::Result<()> {
    let mut tx = store.begin().await?;
    tx.point_put(point).await?;
    tx.commit().await?;
    Ok(())
}
