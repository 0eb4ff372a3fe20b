//! What a database that came back says of a past that has gone on without it, put right.

use jiff::Timestamp;

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
        backup::{
            PolicyKind,
            point::{NOT_FOUND_AT_RESTORE, RestorePoint},
        },
    },
    error::is_there,
    store::Store,
};

const PRINCIPAL: &str = "watchbell restore";
const WHY: &str =
    "restored from a backup: the original may still live; see that it does not, then resume";

/// Puts right what the database says of a past that has gone on without it. `read`: the point whose manifest was read
/// already, with the cluster that it is of, and with what it says of itself.
pub(super) async fn settle(
    config: &Config,
    ports: &Ports,
    offline: &Offline,
    found: &[OfflineFound],
    read: (&OfflineFound, &str, &RestorePoint),
    account: &mut Account,
) -> anyhow::Result<()> {
    let exclusive = matches!(config.database, DatabaseUrl::Sqlite(_));
    let data = DataDir::open_unfinished(&config.data, exclusive)?;
    let store = Store::open(&location(config), ports.clock.clone()).await?;
    let cluster = store.cluster_id().await?;
    data.belong_to(&cluster)?;
    let mut tx = store.begin().await?;
    tx.forget_original().await?;
    tx.commit().await?;
    let known = store.points_there().await?;
    for one in found {
        if let Some(there) = known.iter().find(|point| point.id == one.id) {
            let now = ports.clock.now();
            let remark = follow(&store, offline, one, there, now).await?;
            account.remarks.extend(remark);
            continue;
        }
        // What a failed run has left is no point.
        let is_left = one.standing == OfflineStanding::Unverified;
        if is_left || is_there(store.point(one.id).await)? {
            continue;
        }
        let said = match read {
            (chosen, of, point) if chosen == one => Ok((of.to_owned(), point.clone())),
            _ => {
                let read = offline.manifest(one).await;
                read.map(|(stored, point)| (stored.manifest.cluster, point))
            }
        };
        let mut point = match said {
            // It says of no cluster beside it, and is another server's.
            Ok((of, _)) if of != cluster => continue,
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
        let is_gone = match point.kind {
            PolicyKind::Full => !found.iter().any(|one| one.id == point.id),
            // This was the archive: what was a copy is the point itself now. Where it is an archive as well, it is found.
            PolicyKind::Archive => found
                .iter()
                .filter_map(OfflineFound::ids)
                .any(|(_, manifest)| manifest == point.manifest_snapshot),
            PolicyKind::Export => false,
        };
        if is_gone {
            point.removed_at = Some(ports.clock.now());
            NOT_FOUND_AT_RESTORE.clone_into(&mut point.remove_reason);
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

/// A point that the database knows: where its snapshots have other ids here, this is a copy; and what was said of it
/// since, as that it is damaged or was accepted, the database may be too old to know. Says what of that cannot be read.
async fn follow(
    store: &Store,
    offline: &Offline,
    found: &OfflineFound,
    known: &RestorePoint,
    now: Timestamp,
) -> anyhow::Result<Option<String>> {
    if known.kind != PolicyKind::Full {
        return Ok(None);
    }
    let (mut point, mut remark) = (known.clone(), None);
    let there = (known.snapshot.as_str(), known.manifest_snapshot.as_str());
    let here = found.ids();
    if let Some((data, manifest)) = here.filter(|here| *here != there) {
        point.snapshot = data.to_owned();
        point.manifest_snapshot = manifest.to_owned();
        // It was read elsewhere, and not here.
        point.verified_at = None;
        point.drilled_at = None;
    }
    if found.was_judged() || here.is_none() {
        match offline.manifest(found).await {
            Ok((_, said)) => point.follow(&said),
            Err(error) => {
                let why = format!(
                    "restore point {} as of {} is {}, as the repository says; what that is cannot be read: {error:#}",
                    found.id, found.frozen_at, found.standing
                );
                if point.damage.is_none() && (here.is_none() || found.is_broken(&error)) {
                    point.found_damaged(now, &why);
                }
                found.count_lacking(&mut point);
                remark = Some(why);
            }
        }
    }
    if point != *known {
        put(store, &point).await?;
    }
    Ok(remark)
}

async fn put(store: &Store, point: &RestorePoint) -> anyhow::Result<()> {
    let mut tx = store.begin().await?;
    tx.point_put(point).await?;
    tx.commit().await?;
    Ok(())
}
