//! An update of the tz database on one host after the other, while tasks fire every second.

use std::{fs, time::Duration};

use watchbell_client::pb;

use super::{arena::Arena, form::Form, pace::soon, workload::Load};
use crate::{
    process::zoneinfo::{ZONE, Zoneinfo},
    support::{Database, on_both},
};

const LEASE: &str = "15s";
const HOUR: i32 = 3600;
/// It is looked at every 10 s, and later where the machine is busy.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

on_both!(an_update_of_the_tz_database_loses_and_doubles_no_slot);

async fn an_update_of_the_tz_database_loses_and_doubles_no_slot(database: Database) {
    let hosts = if database.is_postgresql() { 2 } else { 1 };
    let form = Form::now();
    let mut arena = Arena::new("tz update", database.into(), LEASE, Load::storm(form)).await;
    let file = arena.place.path("watchbell.toml");
    let configuration = fs::read_to_string(file).unwrap();
    let zoned = format!("time_zone = \"{ZONE}\"\n{configuration}");
    arena.place.configure(&zoned);
    let mut zones = Vec::new();
    for host in 0..hosts {
        let folder = arena.place.path(&format!("zoneinfo-{host}"));
        let zoneinfo = Zoneinfo::new(folder, "2099a", 0);
        let (name, folder) = zoneinfo.variable();
        arena.environment = vec![(name.to_owned(), folder.display().to_string())];
        arena.start().await;
        zones.push(zoneinfo);
    }
    arena.begin().await;
    for (turn, version) in ["2099b", "2099c", "2099d"]
        .iter()
        .enumerate()
        .take(arena.form.pick(1, 3))
    {
        // By whole hours: each second stays a slot.
        let offset = HOUR * i32::try_from(turn + 1).unwrap();
        for (host, zoneinfo) in zones.iter().enumerate() {
            zoneinfo.update(version, offset);
            arena.figures.blows += 1;
            let seen = soon("the update to be seen", SEEN_WITHIN, async || {
                let client = arena.client_of(arena.replicas[host].address);
                let info = client
                    .scheduler()
                    .get_server_info(pb::GetServerInfoRequest {})
                    .await;
                (info.ok()?.into_inner().tzdata_version == *version).then_some(())
            });
            seen.await;
            arena.decides("deciding to go on").await;
            if host + 1 < zones.len() {
                let told = soon("the difference to be told", SEEN_WITHIN, async || {
                    differs(&arena).await.filter(|differs| *differs).map(drop)
                });
                told.await;
            }
        }
        let over = soon("all to agree again", SEEN_WITHIN, async || {
            differs(&arena).await.filter(|differs| !differs).map(drop)
        });
        over.await;
    }
    arena.settle().await;
}

/// Whether a problem tells that replicas have other rules.
async fn differs(arena: &Arena) -> Option<bool> {
    let client = arena.client();
    let status = client.scheduler().get_status(pb::GetStatusRequest {}).await;
    let problems = status.ok()?.into_inner().status?.problems;
    Some(
        problems
            .iter()
            .any(|problem| problem.r#type == "replica.tzdata"),
    )
}
