//! Backups of files, first, unchanged and with 1 % changed, checks and restores, beside restic and borg in the same
//! minutes; the dump and restore of a database; and how soon a trigger starts while a backup runs.

mod databases;
mod disturbed;
mod drills;
mod files;
pub(super) mod memory;
mod ours;
mod restores;
mod rivals;
mod trees;

use std::collections::BTreeMap;

use super::Scene;
use crate::{database::Kind, report::Report};

/// Seconds, by what was done.
type Times = BTreeMap<&'static str, Vec<f64>>;

/// Seconds of what is done with a set of files, in each repeat.
#[derive(Debug)]
struct Taken {
    /// Times of ours: of backups, those of the archive alone.
    ours: Times,
    /// Times of the whole runs of backups, with their checks.
    whole: Times,
    /// Of each rival.
    theirs: Vec<Times>,
}

/// Files and MiB of each set.
const SETS: [(usize, usize); 2] = [(2_000, 300), (20_000, 1_024)];
const QUICK: [(usize, usize); 1] = [(400, 30)];

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    // Files are the same on both databases; once is enough.
    if kind == Kind::Sqlite {
        let sets: &[(usize, usize)] = if scene.quick { &QUICK } else { &SETS };
        for (files, mib) in sets {
            trees::of_files(scene, *files, *mib, report).await?;
        }
    }
    databases::of_database(scene, kind, report).await
}

/// Drills beside restores of the same.
pub(super) async fn drills(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    drills::measure(scene, kind, report).await
}
