//! Restores of one point, ours and theirs by turns, each compared with what was backed up. restic's is also measured until all
//! of it is on the disk, as ours is before it has succeeded.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::{
    Taken,
    files::Files,
    ours::Ours,
    rivals::{Repository, Rival, sync},
};

/// What a restore of ours or a rival's is called, and one of restic's that is synced.
pub(super) const RESTORE: &str = "restore";
pub(super) const SYNCED: &str = "restore, synced";

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Ours,
    Theirs(usize),
    Synced(usize),
}

/// Who restores, one after another. Who goes first changes from repeat to repeat.
fn turns(rivals: &[Repository], repeat: usize) -> Vec<Turn> {
    let mut turns = vec![Turn::Ours];
    for (at, rival) in rivals.iter().enumerate() {
        turns.push(Turn::Theirs(at));
        if rival.rival() == Rival::Restic {
            turns.push(Turn::Synced(at));
        }
    }
    if !repeat.is_multiple_of(2) {
        turns.reverse();
    }
    turns
}

/// Restores the point and the rivals' newest into folders below `place`, once each.
pub(super) async fn by_turns(
    me: &Ours,
    (point, files): (&str, &Files),
    rivals: &[Repository],
    (place, repeat): (&Path, usize),
    taken: &mut Taken,
) -> anyhow::Result<()> {
    for turn in turns(rivals, repeat) {
        // Nobody waits until what another has left is on the disk.
        sync(place)?;
        let (at, is_synced) = match turn {
            Turn::Ours => {
                let name = format!("restored-{repeat}");
                let took = me.restore(point, &name).await?;
                taken.ours.entry(RESTORE).or_default().push(took);
                let back = me.data.join("restores").join(name);
                files.compare(&back, true).context("ours")?;
                remove(&back)?;
                continue;
            }
            Turn::Theirs(at) => (at, false),
            Turn::Synced(at) => (at, true),
        };
        let (rival, into) = (&rivals[at], place.join(format!("back-{repeat}")));
        let (step, took) = match is_synced {
            true => (SYNCED, rival.restore_synced(&into)?),
            false => (RESTORE, rival.restore(&into)?),
        };
        taken.theirs[at].entry(step).or_default().push(took);
        match rival.rival() {
            Rival::Restic => files
                .compare(&into, rival.knows_holes())
                .context("restic")?,
            Rival::Borg => files.expect_all(&into).context("borg")?,
        }
        remove(&into)?;
    }
    Ok(())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("could not remove {}", folder.display()))
}
