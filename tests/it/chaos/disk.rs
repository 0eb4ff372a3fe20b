//! The disk is full while tasks fire, and then it is not.

use std::{fs, io::Write as _, path::Path, time::Duration};

use watchbell_client::call::request_id;

use super::{
    arena::{Arena, Ground},
    form::Form,
    pace::soon,
    workload::{Load, trigger},
};
use crate::process::mount::Mount;

const REFUSED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing() {
    let form = Form::now();
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let Some(_disk) = Mount::small_disk(&disk, form.pick(64, 256) << 20) else {
        return;
    };
    // The handlers' file is elsewhere: it must be whole.
    let ground = Ground::Sqlite(Some(disk.join("watchbell.db")));
    let mut arena = Arena::new("disk full", ground, "15s", Load::storm(form)).await;
    arena.start().await;
    arena.begin().await;
    let filling = disk.join("filling");
    for _ in 0..form.pick(1, 4) {
        arena
            .blow_for(form.pick(Duration::from_secs(1), Duration::from_secs(4)))
            .await;
        fill(&filling);
        arena.figures.blows += 1;
        let (client, mut answered) = (arena.client(), 0);
        let refused = soon("calls to be refused", REFUSED_WITHIN, async || {
            let id = request_id();
            let refused = trigger(&client, &id).await.is_err();
            answered += u64::from(!refused);
            refused.then_some(id)
        });
        let (id, _) = refused.await;
        arena.figures.calls.answered += answered;
        arena
            .blow_for(form.pick(Duration::from_secs(2), Duration::from_secs(10)))
            .await;
        fs::remove_file(&filling).unwrap();
        arena.serves_again(&id).await;
    }
    arena.settle().await;
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}
