//! An archive that is killed at any moment leaves a repository that is sound, and the next one succeeds.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use watchbell::backup::{
    repository::{Hand, Repository as _},
    rustic::Rustic,
};

use super::stage::{PASSWORD, Stage, helpers, job, never, noise, source};

/// Where the process that is killed finds its work.
const FOLDER: &str = "WATCHBELL_TEST_ARCHIVE";
/// How far it comes.
const MOMENT: &str = "WATCHBELL_TEST_ARCHIVE_MOMENT";

/// The process that is killed: this program again, for this test alone. In every other run there is nothing to do.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn whoever_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let place = folder.join("repository");
    let repository = Rustic::open(&place, PASSWORD, &helpers(), &never()).unwrap();
    let moment: u64 = std::env::var(MOMENT).unwrap().parse().unwrap();
    let told = AtomicU64::new(0);
    let hand = Hand {
        cancel: never(),
        progress: Arc::new(move |_| {
            let count = told.fetch_add(1, Ordering::Relaxed);
            // Past the captured output, which would come at the end.
            let _ = writeln!(std::io::stderr(), "step {count}");
            // The rest goes on, and cannot come to an end before the signal is there.
            if count == moment {
                loop {
                    thread::park();
                }
            }
        }),
    };
    let job = job(vec![source(folder.join("source"), "/files")]);
    repository.archive(&job, &hand).unwrap();
}

#[test]
fn an_archive_that_is_killed_leaves_a_sound_repository() {
    let stage = Stage::new();
    for number in 0..40 {
        stage.write(format!("{number}"), noise(number, 2 << 20));
    }
    // A file of 2 MB is told of three times.
    for moment in [0, 1, 5, 12, 25, 47, 70, 90, 110, 118] {
        kill_at(&stage, moment);
        // Its lock is that of a process that is no more, which restic removes when it is asked.
        if let Some(restic) = stage.restic() {
            restic.must(&["unlock"]);
        }
        stage.is_sound();
    }
    let archived = stage.archive();
    assert_eq!(archived.files.len(), 40);
    stage.comes_back(&archived.snapshot);
}

fn kill_at(stage: &Stage, moment: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "backups::engine::killed::whoever_is_killed",
            "--nocapture",
        ])
        .env(FOLDER, stage.path())
        .env(MOMENT, moment.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let reached = stderr
        .lines()
        .map_while(Result::ok)
        .any(|line| line == format!("step {moment}"));
    child.kill().unwrap();
    let ended = child.wait().unwrap();
    assert!(
        reached && !ended.success(),
        "it was at work at step {moment}"
    );
}
