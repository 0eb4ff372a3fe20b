//! Loops that a panic does not end unseen: it is told at once, and the loop is started again, or the process ends.

use std::{
    any::Any,
    collections::VecDeque,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;

use super::{memory::Memory, sentry::PANICKED_STAYS};
use crate::{
    clock::{SharedClock, Stopwatch},
    domain::{
        problem::{Problem, ProblemKind},
        retry::later,
    },
};

/// A loop that panics more often within this span is not started again.
const STARTS_AT_MOST: usize = 5;
const STARTS_WITHIN: Duration = Duration::from_secs(10 * 60);
/// Before it is started again, real time.
const START_AFTER: Duration = Duration::from_millis(500);

/// What keeps the process's loops; cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor {
    memory: Memory,
    clock: SharedClock,
    loops: TaskTracker,
    failed: CancellationToken,
    why: Arc<Mutex<Option<String>>>,
}

impl Supervisor {
    pub(super) fn new(memory: Memory, clock: SharedClock) -> Self {
        Self {
            memory,
            clock,
            loops: TaskTracker::new(),
            failed: CancellationToken::new(),
            why: Arc::default(),
        }
    }

    /// Runs a loop until `stop`. One that panics, or ends before, is started again, as long as that is not too often;
    /// then the process is to end.
    pub fn keep<F>(
        &self,
        name: &'static str,
        stop: &CancellationToken,
        mut start: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (this, stop) = (self.clone(), stop.clone());
        self.loops.spawn(async move {
            let mut starts: VecDeque<Stopwatch> = VecDeque::new();
            loop {
                let ended = AssertUnwindSafe(async { start().await })
                    .catch_unwind()
                    .await;
                let Some(how) = how_it_ended(ended, &stop) else {
                    return;
                };
                this.tell(name, &how);
                starts.retain(|start| start.elapsed() < STARTS_WITHIN);
                starts.push_back(Stopwatch::start());
                if STARTS_AT_MOST < starts.len() {
                    this.fail(name, &how);
                    return;
                }
                stop.run_until_cancelled(tokio::time::sleep(START_AFTER))
                    .await;
            }
        });
    }

    /// Runs a loop until `stop` that cannot be started again: where it panics, or ends before, the process is to end.
    pub fn once<T: Send + 'static>(
        &self,
        name: &'static str,
        stop: &CancellationToken,
        run: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let (this, stop) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            let ended = AssertUnwindSafe(run).catch_unwind().await;
            if let Some(how) = how_it_ended(ended.map(drop), &stop) {
                this.tell(name, &how);
                this.fail(name, &how);
            }
        })
    }

    /// Completes once the process is to end, and says why.
    pub async fn failed(&self) -> String {
        self.failed.cancelled().await;
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        why.clone().unwrap_or_default()
    }

    /// Why the process is to end, where it is.
    pub fn failure(&self) -> Option<String> {
        self.why
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the loops that are kept, whose `stop` has come.
    pub async fn wait(&self) {
        self.loops.close();
        self.loops.wait().await;
    }

    fn tell(&self, name: &str, how: &str) {
        error!("the loop {name} {how}");
        let now = self.clock.now();
        let message = format!("the loop {name} {how}");
        let kind = ProblemKind::LoopPanicked;
        let problem = Problem::new(kind, format!("loops/{name}"), message, now);
        self.memory.raise(problem, Some(later(now, PANICKED_STAYS)));
    }

    fn fail(&self, name: &str, how: &str) {
        let why = format!("the loop {name} {how}, and cannot be started again: the process ends");
        error!("{why}");
        let mut first = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(why);
        drop(first);
        self.failed.cancel();
    }
}

/// How a loop has ended that should not have.
fn how_it_ended(
    ended: Result<(), Box<dyn Any + Send>>,
    stop: &CancellationToken,
) -> Option<String> {
    match ended {
        Ok(()) if stop.is_cancelled() => None,
        Ok(()) => Some("ended by itself".to_owned()),
        Err(panic) => Some(format!("panicked: {}", panic_text(&*panic))),
    }
}

/// What a panic says.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it says nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use jiff::Timestamp;

    use super::*;
    use crate::{clock::ManualClock, domain::ReplicaId};

    fn supervisor() -> (Supervisor, Memory) {
        let memory = Memory::new(ReplicaId::new());
        let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        (Supervisor::new(memory.clone(), clock), memory)
    }

    #[tokio::test]
    async fn a_loop_that_panics_again_and_again_ends_the_process() {
        let (supervisor, memory) = supervisor();
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = starts.clone();
        supervisor.keep("some", &CancellationToken::new(), move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { panic!("as ever") }
        });
        let why = supervisor.failed().await;
        assert!(why.contains("the loop some panicked: as ever"), "{why}");
        assert_eq!(starts.load(Ordering::SeqCst), STARTS_AT_MOST + 1);
        assert!(memory.is_open(ProblemKind::LoopPanicked, "loops/some"));
        supervisor.wait().await;
    }

    #[tokio::test]
    async fn a_loop_that_ends_before_it_is_told_to_is_no_loop() {
        let (supervisor, _) = supervisor();
        let ended = supervisor.once("some", &CancellationToken::new(), async {});
        assert!(supervisor.failed().await.contains("ended by itself"));
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn a_loop_that_is_told_to_stop_has_ended_well() {
        let (supervisor, memory) = supervisor();
        let stop = CancellationToken::new();
        let until = stop.clone();
        supervisor.keep("some", &stop, move || until.clone().cancelled_owned());
        stop.cancel();
        supervisor.wait().await;
        assert_eq!(supervisor.failure(), None);
        assert!(!memory.is_open(ProblemKind::LoopPanicked, "loops/some"));
    }
}
