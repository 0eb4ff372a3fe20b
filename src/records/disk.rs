//! Work that waits for the disk of contents and imports: on few of the threads that all share, so that a disk which gives
//! no answer takes none from others.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::sync::Semaphore;

use crate::{
    error::{Error, Result},
    host::{self, Question},
};

/// Threads for it: a small part of those that the process has.
const THREADS: usize = 64;
/// How long work waits for one. Each piece of work takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a look may take that a transaction waits for: the database ends one in which nothing comes for 5 s.
const LOOKS_WITHIN: Duration = Duration::from_secs(4);

static DISK: LazyLock<Disk> = LazyLock::new(|| Disk::of(THREADS, PATIENCE));

#[derive(Debug)]
struct Disk {
    threads: Arc<Semaphore>,
    count: usize,
    patience: Duration,
}

/// Does work that waits for the disk, where nothing else waits for it. Where whoever asked has gone, it goes on to its end,
/// and is counted for as long.
///
/// # Errors
/// What the work ends with; where none of the threads gets free.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    DISK.blocking(what, work).await
}

/// Looks at the disk for whoever is in a transaction: where it gives no answer, the transaction is given up, and who asks
/// next is refused at once.
///
/// # Errors
/// What the look ends with; where no answer comes in time.
pub(super) async fn look<T: Send + 'static>(
    what: &'static str,
    place: &Path,
    look: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let question = Question::of_file(place, format!("looking at {}", place.display()));
    let looked = host::ask(question.within(LOOKS_WITHIN), look).await;
    looked.unwrap_or_else(|unanswered| Err(Error::unavailable(what, unanswered)))
}

impl Disk {
    fn of(count: usize, patience: Duration) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(count)),
            count,
            patience,
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let thread = self.threads.clone().acquire_owned();
        let thread = tokio::time::timeout(self.patience, thread).await;
        let thread = thread.map_err(|_| {
            let (count, patience) = (self.count, self.patience.as_secs());
            let why =
                format!("its disk answers none of {count} that wait for it, for {patience} s");
            Error::unavailable(what, std::io::Error::other(why))
        })?;
        let thread = thread.map_err(Error::internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(thread);
            done
        });
        done.await.map_err(Error::internal)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::clock::Stopwatch;

    const FEW: usize = 4;
    const SOON: Duration = Duration::from_millis(100);

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let builder = builder.worker_threads(1).max_blocking_threads(FEW + 2);
        builder.enable_all().build().unwrap()
    }

    #[test]
    fn a_disk_that_hangs_takes_no_thread_from_others() {
        let runtime = runtime();
        let disk = Arc::new(Disk::of(FEW, SOON));
        let (end, hangs) = mpsc::channel::<()>();
        let hangs = Arc::new(std::sync::Mutex::new(hangs));
        runtime.block_on(async {
            let hang = || {
                let (disk, hangs) = (disk.clone(), hangs.clone());
                tokio::spawn(async move {
                    let work = move || {
                        let _ = hangs.lock().unwrap().recv();
                        Ok(())
                    };
                    disk.blocking("the content store", work).await
                })
            };
            let mut hung: Vec<_> = (0..FEW).map(|_| hang()).collect();
            while 0 < disk.threads.available_permits() {
                tokio::task::yield_now().await;
            }
            // As many more as there are threads: they are refused, and hold none.
            let watch = Stopwatch::start();
            for more in (0..FEW + 2).map(|_| hang()).collect::<Vec<_>>() {
                let refused = more.await.unwrap().unwrap_err();
                assert!(refused.is_transient(), "{refused}");
                assert!(
                    refused.to_string().contains("the content store"),
                    "{refused}"
                );
            }
            assert!(SOON <= watch.elapsed());
            let other = tokio::task::spawn_blocking(|| 1).await.unwrap();
            assert_eq!(other, 1);
            // Who has gone leaves what hangs counted.
            hung.pop().unwrap().abort();
            assert_eq!(disk.threads.available_permits(), 0);
            drop(end);
            for hung in hung {
                hung.await.unwrap().unwrap();
            }
            disk.blocking("the content store", || Ok(())).await.unwrap();
        });
    }

    #[tokio::test]
    async fn a_look_that_a_transaction_waits_for_says_what_it_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_owned();
        let looked = look("the content store", &place, || Ok(7)).await;
        assert_eq!(looked.unwrap(), 7);
    }
}
