//! What a run of the room is given, and how it does what blocks.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    child::Stopped,
    repository::{Hand, Progress, RepositoryError},
    rustic::lower_priority,
};
use crate::{
    clock::Stopwatch,
    domain::{RunId, TaskName, backup::point::Phase},
    error::Result,
    host::{self, Question, Unanswered},
    store::Tx,
};

/// What another attempt would meet again, so that none is made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Lasting(pub String);

/// How far a step of a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub phase: &'static str,
    pub done_bytes: u64,
    /// 0 where it is not known.
    pub total_bytes: u64,
    pub done_files: u64,
    pub remaining: Option<Duration>,
}

/// A run, as this room sees it.
pub trait Work: Send + Sync {
    fn task(&self) -> &TaskName;
    fn run(&self) -> RunId;
    fn attempt(&self) -> i64;
    fn dry_run(&self) -> bool;
    fn cancel(&self) -> &CancellationToken;
    fn log(&self, line: &str);
    fn step(&self, step: Step);
    /// A write that holds only while the attempt does.
    fn begin(&self) -> BoxFuture<'_, Result<Tx>>;
}

/// A run under way.
#[derive(Clone)]
pub struct Job {
    work: Arc<dyn Work>,
    phases: Arc<Mutex<Vec<Phase>>>,
    /// What is held until the run ends.
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// Something that is given up when it goes.
pub(super) type Kept = Box<dyn std::any::Any + Send + Sync>;

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("run", &self.work.run())
            .finish_non_exhaustive()
    }
}

impl Job {
    pub fn new(work: Arc<dyn Work>) -> Self {
        Self {
            work,
            phases: Arc::default(),
            kept: Arc::default(),
        }
    }

    pub fn run(&self) -> RunId {
        self.work.run()
    }

    pub fn attempt(&self) -> i64 {
        self.work.attempt()
    }

    /// `tasks/{task}/runs/{run}`.
    pub fn name(&self) -> String {
        format!("tasks/{}/runs/{}", self.work.task(), self.work.run())
    }

    pub fn dry_run(&self) -> bool {
        self.work.dry_run()
    }

    pub fn log(&self, line: impl AsRef<str>) {
        self.work.log(line.as_ref());
    }

    pub fn cancel(&self) -> &CancellationToken {
        self.work.cancel()
    }

    /// Holds something until the run ends.
    pub(super) fn keep(&self, kept: Kept) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(kept);
    }

    pub async fn begin(&self) -> Result<Tx> {
        self.work.begin().await
    }

    /// What has been done so far, and how long it took.
    pub fn phases(&self) -> Vec<Phase> {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases.clone()
    }

    /// Does something that blocks, on a thread of its own: as one step, whose time is kept. `total` bytes are expected,
    /// where that is known.
    ///
    /// # Errors
    /// What it fails with, and [`Stopped`] where the run was asked to stop.
    pub async fn step<T: Send + 'static>(
        &self,
        phase: &'static str,
        total: u64,
        work: impl FnOnce(&Hand) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.stop_here()?;
        let watch = Stopwatch::start();
        let hand = self.hand(phase, total);
        let done = blocking(phase, move || work(&hand)).await;
        self.note(phase, &watch);
        let done = done?;
        // What was asked to stop says so, whatever it failed with.
        if self.cancel().is_cancelled() {
            return Err(Stopped.into());
        }
        done
    }

    /// Does something that waits, as one step.
    ///
    /// # Errors
    /// As [`Job::step`].
    pub async fn wait<T>(
        &self,
        phase: &'static str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.stop_here()?;
        let watch = Stopwatch::start();
        self.work.step(Step {
            phase,
            ..Step::default()
        });
        let done = work.await;
        self.note(phase, &watch);
        done
    }

    /// # Errors
    /// [`Stopped`] where the run was asked to stop.
    pub fn stop_here(&self) -> anyhow::Result<()> {
        match self.cancel().is_cancelled() {
            true => Err(Stopped.into()),
            false => Ok(()),
        }
    }

    fn note(&self, phase: &'static str, watch: &Stopwatch) {
        let took_ms = i64::try_from(watch.elapsed().as_millis()).unwrap_or(i64::MAX);
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        match phases.iter_mut().find(|known| known.phase == phase) {
            Some(known) => known.took_ms += took_ms,
            None => phases.push(Phase {
                phase: phase.to_owned(),
                took_ms,
            }),
        }
    }

    fn hand(&self, phase: &'static str, total: u64) -> Hand {
        let work = self.work.clone();
        let watch = Stopwatch::start();
        let told = AtomicU64::new(0);
        work.step(Step {
            phase,
            total_bytes: total,
            ..Step::default()
        });
        let progress = move |done: Progress| {
            // A handful of times a second is as often as anyone is told.
            let tenth = u64::try_from(watch.elapsed().as_millis() / 100).unwrap_or(u64::MAX);
            if told.swap(tenth + 1, Ordering::Relaxed) == tenth + 1 {
                return;
            }
            work.step(Step {
                phase,
                done_bytes: done.bytes,
                total_bytes: total,
                done_files: done.files,
                remaining: remaining(done.bytes, total, watch.elapsed()),
            });
        };
        Hand {
            cancel: self.cancel().clone(),
            progress: Arc::new(progress),
        }
    }
}

/// By the speed so far; none before a hundredth is done.
fn remaining(done: u64, total: u64, took: Duration) -> Option<Duration> {
    if total == 0 || done.saturating_mul(100) < total {
        return None;
    }
    let left = total.saturating_sub(done) as f64 / done.max(1) as f64;
    Duration::try_from_secs_f64(took.as_secs_f64() * left).ok()
}

/// Runs something that blocks on a thread of its own, and waits for it.
///
/// # Errors
/// Where no thread can be had, or it panicked.
pub(super) async fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let (done, answer) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("backup-{name}").chars().take(15).collect())
        .spawn(move || {
            // What it starts, threads and programs, is as modest.
            lower_priority();
            // Nobody may be waiting any more.
            drop(done.send(work()));
        })
        .context("could not start a thread")?;
    answer
        .await
        .map_err(|_| anyhow::anyhow!("the thread of step {name} panicked"))
}

/// Asks something of a file, briefly; `what` is what is done with it, such as "looking at". One that hangs is told.
///
/// # Errors
/// Where no answer comes.
pub(super) async fn asked<T: Send + 'static>(
    path: &Path,
    what: &str,
    work: impl FnOnce(&Path) -> T + Send + 'static,
) -> std::result::Result<T, Unanswered> {
    let question = Question::of_file(path, format!("{what} {}", path.display()));
    let path = path.to_owned();
    host::ask(question, move || work(&path)).await
}

/// Makes a folder, and those that it is in, for their owner alone; one that is there stays as it is. Blocks.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// As [`make_folder`]; an error says which one could not be made.
pub(super) fn make_directory(path: &Path) -> anyhow::Result<()> {
    make_folder(path).with_context(|| format!("could not make {}", path.display()))
}

/// Makes a file that only its owner reads, where nothing is yet. Blocks.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Removes something beside everything else, where nobody waits for it. `shown` is what it is called where that fails.
pub(super) fn remove_beside(
    shown: String,
    remove: impl FnOnce() -> io::Result<()> + Send + 'static,
) {
    let remove = move || {
        if let Err(error) = remove() {
            tracing::warn!(%error, "could not remove {shown}; a cleanup will");
        }
    };
    let thread = std::thread::Builder::new().name("backup-remove".to_owned());
    if let Err(error) = thread.spawn(remove) {
        tracing::warn!(%error, "could not start a thread; a cleanup removes what is left");
    }
}

/// That what is stored is not what was stored, wherever in the chain that stands.
pub(super) fn is_damage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<RepositoryError>(),
            Some(RepositoryError::Damaged { .. })
        )
    })
}

/// That it was asked to stop, wherever in the chain that stands.
pub fn is_stopped(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Stopped>()
            || matches!(
                cause.downcast_ref::<RepositoryError>(),
                Some(RepositoryError::Cancelled)
            )
    })
}
