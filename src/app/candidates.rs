//! Which restore points of a repository a restore may take by itself: of the cluster that is meant, and no leftovers.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::{
    backup::{OfflineFound, OfflineStanding},
    domain::backup::verdict::Sound,
};

/// The points of one cluster: the one that was asked for by the beginning of its id, or the only one there is. Points
/// that say of no cluster go with any, as what an older version has made.
///
/// # Errors
/// Where there are several and none was asked for, or there is none of that name.
pub(super) fn of_cluster(
    found: Vec<OfflineFound>,
    wanted: Option<&str>,
) -> anyhow::Result<Vec<OfflineFound>> {
    let clusters: BTreeSet<String> = found.iter().filter_map(|one| one.cluster.clone()).collect();
    let mut named = clusters.iter();
    let all: Vec<&str> = clusters.iter().map(String::as_str).collect();
    let chosen = match wanted {
        None if 1 < clusters.len() => bail!(
            "the repository holds restore points of {} servers: name one by --cluster: {}",
            clusters.len(),
            all.join(", ")
        ),
        None => named.next(),
        Some(wanted) => {
            let mut fits = named.filter(|one| one.starts_with(wanted));
            match (fits.next(), fits.next()) {
                (Some(one), None) => Some(one),
                (None, _) => bail!(
                    "the repository holds no restore points of a cluster {wanted}; those that are there are of: {}",
                    all.join(", ")
                ),
                (Some(_), Some(_)) => bail!(
                    "--cluster {wanted} fits several: name more of its id: {}",
                    all.join(", ")
                ),
            }
        }
    };
    let fits = |one: &OfflineFound| one.cluster.is_none() || one.cluster.as_ref() == chosen;
    Ok(found.into_iter().filter(fits).collect())
}

/// Why a restore does not take a point by itself, where it does not; `named` says that it was asked for.
pub(super) fn objection(found: &OfflineFound, named: bool) -> Option<String> {
    let why = match found.standing {
        OfflineStanding::Unknown | OfflineStanding::Found(Sound::Verified, _) => return None,
        OfflineStanding::Unverified => {
            "was never verified, as what a failed backup has left".to_owned()
        }
        OfflineStanding::Found(Sound::Partial, 0) => "is partial".to_owned(),
        OfflineStanding::Found(Sound::Partial, names) => {
            format!("is partial: {names} files of it were found missing")
        }
        OfflineStanding::Found(Sound::Damaged, _) => "was found damaged".to_owned(),
    };
    let but = match named {
        true => "",
        false => ", and is left out; --point takes it all the same",
    };
    let (id, at) = (found.id, found.frozen_at);
    Some(format!("restore point {id} as of {at} {why}{but}"))
}
