//! Heavy work on threads of its own, which leave the processor and the disk to whoever is in more of a hurry.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use rustix::{process, thread as system};

use super::{
    error::{broke_down, other},
    gate::Operation,
};
use crate::{
    backup::repository::{RepositoryError, Result},
    clock::Stopwatch,
};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// For so long it is waited for an operation that is to stop.
const STOPS_WITHIN: Duration = Duration::from_millis(120);

/// So many cores at most work for one operation, whatever the machine has: what each holds in memory adds up.
const CORES_AT_MOST: usize = 4;

/// Gives the calling thread, and those that it will start, the lowest priority for good. Linux derives the
/// best-effort priority for input and output from it where none was set, so it is the lowest there, too.
pub fn lower_priority() {
    // Who may not do even that works as loudly as before.
    let _ = process::setpriority_process(None, 19);
}

/// Does `work` on a quiet thread, with a pool of quiet ones for what it does side by side.
///
/// Where the operation is to stop, it ends by itself at the next look. On a machine that is busy with something else
/// even that may take long at this priority: then it is left alone, with its lock, and has no effect any more.
pub(super) fn quietly<T: Send + 'static>(
    operation: &Arc<Operation>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (answer, answered) = mpsc::sync_channel(1);
    let at_work = Arc::clone(operation);
    let worker = thread::Builder::new()
        .name("backup".to_owned())
        .spawn(move || {
            let done = on_few_cores(&at_work, work);
            // Nobody may be waiting any more.
            let _ = answer.send(done);
        })
        .map_err(|error| other(format!("could not start a thread: {error}")))?;
    let mut stopping: Option<Stopwatch> = None;
    loop {
        match answered.recv_timeout(LOOK_EVERY) {
            Ok(done) => return done,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                operation.close();
                let panic = worker.join().err();
                return Err(match panic.as_deref() {
                    Some(panic) => other(broke_down(panic)),
                    None => other("the engine ended without an answer"),
                });
            }
        }
        if operation.cancelled() {
            let since = stopping.get_or_insert_with(Stopwatch::start);
            if since.elapsed() >= STOPS_WITHIN && operation.abandon() {
                return Err(RepositoryError::Cancelled);
            }
        }
    }
}

fn on_few_cores<T: Send>(
    operation: &Arc<Operation>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    lower_priority();
    let cores = few_cores();
    let at_work = Arc::clone(operation);
    // The one more is for the work itself, which waits for the others.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(cores + 1)
        .thread_name(|number| format!("backup-{number}"))
        // Of what nobody waits for: without this it would end the process, and with it a list may be short.
        .panic_handler(move |panic| at_work.break_down(broke_down(&*panic)))
        .build()
        .map_err(|error| other(format!("could not start threads: {error}")))?;
    let done = pool.install(work);
    operation.expect_unbroken()?;
    done
}

/// Binds the calling thread, and those that it will start, to a few of the cores that it may use. The library
/// starts a thread for each core that it sees.
pub(super) fn few_cores() -> usize {
    let Ok(allowed) = system::sched_getaffinity(None) else {
        return CORES_AT_MOST;
    };
    let mut few = system::CpuSet::new();
    let cores = (0..system::CpuSet::MAX_CPU)
        .rev()
        .filter(|core| allowed.is_set(*core));
    let mut count = 0;
    for core in cores.take(CORES_AT_MOST) {
        few.set(core);
        count += 1;
    }
    if count < allowed.count() as usize {
        let _ = system::sched_setaffinity(None, &few);
    }
    count.max(1)
}
