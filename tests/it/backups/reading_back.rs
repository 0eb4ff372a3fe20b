//! What a backup has stored is read back from the disk, and not from what the system remembers of it.

use std::{fs, io::IoSliceMut, path::Path};

use rustix::{
    fs::{Advice, fadvise},
    io::{Errno, ReadWriteFlags, preadv2},
};
use watchbell_client::pb;

use super::{vault::Vault, verifying::largest};
use crate::support::{Database, Site, on_both, tell};

on_both!(what_is_read_back_comes_from_the_disk);

const PAGE: usize = 4096;

/// Bytes that no program makes fewer of.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let words = std::iter::repeat_with(next).take(count.div_ceil(8));
    words.flatten().take(count).collect()
}

/// Number of pages of a file that the system holds, and of all; none where it does not tell.
fn cached(path: &Path) -> Option<(usize, usize)> {
    let file = fs::File::open(path).unwrap();
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let (mut held, mut all) = (0, 0);
    // Backwards: a look at one page has the next ones read.
    for offset in (0..length).step_by(PAGE).rev() {
        let mut byte = [0];
        let into = &mut [IoSliceMut::new(&mut byte)];
        all += 1;
        match preadv2(&file, into, offset as u64, ReadWriteFlags::NOWAIT) {
            Ok(_) => held += 1,
            Err(Errno::AGAIN) => {}
            Err(_) => return None,
        }
    }
    Some((held, all))
}

/// Whether the disk's file system tells, and forgets when it is asked to.
fn forgets(folder: &Path) -> bool {
    let path = folder.join("control");
    fs::write(&path, vec![7; 100 * PAGE]).unwrap();
    let file = fs::File::open(&path).unwrap();
    file.sync_all().unwrap();
    let before = cached(&path);
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let after = cached(&path);
    fs::remove_file(&path).unwrap();
    before == Some((100, 100)) && after.is_some_and(|(held, _)| held < 100)
}

async fn what_is_read_back_comes_from_the_disk(database: Database) {
    let site = Site::new(database).with_repository();
    if !forgets(site.data()) {
        return tell("not tested, reading back from the disk: this file system forgets nothing");
    }
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &noise(8_000_000)).await;

    let run = vault.back_up("daily-full").await;

    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    // The content beside the dump was written a moment ago, and nobody has read it since: before the dump was read
    // back, the system was made to forget the pack that holds both.
    let pack = largest(&vault.repository());
    let (held, all) = cached(&pack).unwrap();
    assert!(8_000_000 / PAGE <= all, "{all}");
    assert!(held < all / 2, "{held} of {all} pages");
    server.stop().await;
}
