//! The working process: does one thing as ordered, and asks the server that has started it before anything is to be seen.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use rustic_core::repofile::MasterKey;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Rustic, archive, check, copy, gate::lock, prune, quiet::lower_priority, warden::Warden,
    },
    findings, served_reading,
    served_records::Theirs,
    tasks::tell_archived,
    wire::{Answer, Fault, Heard, Order, Root, Said, Task, Told, What, say},
};
use crate::{
    backup::repository::{Hand, Job, Parent, Progress, RepositoryError, Result, Source},
    process::{Word, raise_open_files},
};

/// The step's name: `watchbell helper repository`.
pub(in crate::backup) const WORK: &str = "repository";

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(25);
/// Lines of records that wait to be taken.
const RECORDS_AHEAD: usize = 4;
/// How much rather than others the kernel takes this process where memory is short, of 1000.
const TAKEN_FIRST: &str = "500";

/// What all of the process says and hears.
pub(super) struct Link {
    to: Mutex<UnixStream>,
    cancel: CancellationToken,
    lost: Mutex<[Option<Fault>; 2]>,
    /// Held from a question to its answer.
    answers: Mutex<Receiver<std::result::Result<(), Fault>>>,
    pub(super) records: Mutex<Receiver<Told>>,
    files: AtomicU64,
    bytes: AtomicU64,
}

/// Where what is heard goes.
struct Hearing {
    link: Arc<Link>,
    answers: SyncSender<std::result::Result<(), Fault>>,
    records: SyncSender<Told>,
}

/// The server, as it decides on one repository.
struct Server {
    link: Arc<Link>,
    number: usize,
}

/// The server, as it holds the lock of what is only read: it looks itself whether that is lost.
struct Holder;

/// Works as the server orders by this process's standard input, which is a socket.
///
/// # Errors
/// Where the order cannot be read, or nobody hears the answer.
pub(in crate::backup) fn work() -> anyhow::Result<()> {
    lower_priority();
    // An archive holds the directories open that it is in, and those of files that wait: it was given what other programs
    // are to have.
    raise_open_files();
    // Where that cannot be had, the kernel chooses as ever.
    let _ = std::fs::write("/proc/self/oom_score_adj", TAKEN_FIRST);
    let socket = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(UnixStream::from);
    let from = socket(io::stdin().as_fd())?;
    let to = socket(io::stdout().as_fd())?;
    let mut heard = Heard::new(from);
    // What says why shows a part of it, which may be of the key.
    let order: Option<Order> = heard
        .next()
        .map_err(|_| anyhow!("the order cannot be read: it is of another version"))?;
    let order = order.context("there is no order")?;
    if let What::Read { snapshot, anew } = &order.what {
        let rustic = rustic(order.place, order.key, Arc::new(Holder));
        return served_reading::serve(&rustic, snapshot, *anew, heard, to);
    }
    let (answers, answered) = mpsc::sync_channel(1);
    let (records, recorded) = mpsc::sync_channel(RECORDS_AHEAD);
    let link = Arc::new(Link {
        to: Mutex::new(to),
        cancel: CancellationToken::new(),
        lost: Mutex::default(),
        answers: Mutex::new(answered),
        records: Mutex::new(recorded),
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    });
    let hearing = Hearing {
        link: Arc::clone(&link),
        answers,
        records,
    };
    thread::Builder::new()
        .name("backup-hears".to_owned())
        .spawn(move || hearing.hear(heard))?;
    let (over, is_over) = mpsc::sync_channel::<()>(0);
    let telling = Arc::clone(&link);
    let teller = thread::Builder::new()
        .name("backup-tells".to_owned())
        .spawn(move || telling.tell_progress(&is_over))?;
    let done = perform(order, &link);
    drop(over);
    // Nothing comes behind the answer.
    let _ = teller.join();
    let last = match done {
        Ok(answer) => Said::Done(answer),
        Err(error) => Said::Failed(error.into()),
    };
    link.say(&last).context("nobody hears the answer")
}

fn rustic(place: Word, key: MasterKey, warden: Arc<dyn Warden>) -> Rustic {
    Rustic {
        warden: Some(warden),
        ..Rustic::with_key(&path(place), key)
    }
}

fn path(word: Word) -> PathBuf {
    PathBuf::from(OsString::from(word))
}

fn perform(order: Order, link: &Arc<Link>) -> Result<Answer> {
    let server = |number| {
        let link = Arc::clone(link);
        Arc::new(Server { link, number })
    };
    let here = rustic(order.place, order.key, server(0));
    let hand = link.hand();
    Ok(match order.what {
        What::Archive(task) => {
            let archived = archive::archive(&here, &job(task, link), &hand)?;
            let told = tell_archived(archived, &mut |said| link.say(said));
            Answer::Archived(told.map_err(untold)?)
        }
        What::Check(read) => {
            let checked = check::check(&here, read, &hand)?;
            let told = findings::tell(checked, &mut |said| link.say(said));
            Answer::Checked(told.map_err(untold)?)
        }
        What::Forget(snapshots) => {
            prune::forget(&here, &snapshots)?;
            Answer::Forgotten
        }
        What::Prune {
            grace,
            dry_run,
            now,
        } => Answer::Pruned(prune::prune(&here, grace, dry_run, now, &hand)?),
        What::Copy { snapshots, to, key } => {
            let there = rustic(to, key, server(1));
            Answer::Copied(copy::copy(&here, &snapshots, &there, &hand)?)
        }
        What::Read { .. } => return Err(super::super::error::other("it is read elsewhere")),
    })
}

fn job(task: Task, link: &Arc<Link>) -> Job {
    Job {
        time: task.time,
        hostname: task.hostname,
        tags: task.tags,
        sources: task.sources.into_iter().map(source).collect(),
        parent: task.parent.map(|snapshot| Parent {
            snapshot,
            files: Arc::new(Theirs {
                link: Arc::clone(link),
            }),
        }),
    }
}

fn source(root: Root) -> Source {
    Source {
        from: path(root.from),
        to: root.to,
        include: root.include,
        exclude: root.exclude,
        all_or_nothing: root.all_or_nothing,
        name_special: root.name_special,
        own: root.own,
    }
}

impl Link {
    pub(super) fn say(&self, said: &Said) -> io::Result<()> {
        say(&mut *lock(&self.to), said)
    }

    fn hand(self: &Arc<Self>) -> Hand {
        let link = Arc::clone(self);
        Hand {
            cancel: self.cancel.clone(),
            progress: Arc::new(move |done| {
                link.files.store(done.files, Ordering::Relaxed);
                link.bytes.store(done.bytes, Ordering::Relaxed);
            }),
        }
    }

    /// Tells how far it is, until it is over.
    fn tell_progress(&self, is_over: &Receiver<()>) {
        let mut told = Progress::default();
        loop {
            let ended = is_over.recv_timeout(TELL_EVERY) != Err(RecvTimeoutError::Timeout);
            let done = Progress {
                files: self.files.load(Ordering::Relaxed),
                bytes: self.bytes.load(Ordering::Relaxed),
            };
            // Who does not hear it any more ends this.
            if done != told {
                told = done;
                let _ = self.say(&Said::Progress(done));
            }
            if ended {
                return;
            }
        }
    }

    /// Asks, and waits for the answer. A server that has gone says no.
    fn ask(&self, question: &Said) -> Result<()> {
        let answers = lock(&self.answers);
        self.say(question).map_err(|_| RepositoryError::Cancelled)?;
        let answer = answers.recv().map_err(|_| RepositoryError::Cancelled)?;
        answer.map_err(RepositoryError::from)
    }
}

/// That it is done, and could not be told.
fn untold(error: io::Error) -> RepositoryError {
    RepositoryError::Other {
        what: "could not tell what was done".to_owned(),
        source: Some(Box::new(error)),
    }
}

impl Hearing {
    /// Until the server has gone: then there is nothing to go on for.
    fn hear(self, mut heard: Heard<UnixStream>) {
        while let Ok(Some(told)) = heard.next::<Told>() {
            match told {
                Told::Stop => self.link.cancel.cancel(),
                Told::Lost(number, why) => {
                    if let Some(lost) = lock(&self.link.lost).get_mut(number) {
                        *lost = Some(why);
                    }
                }
                Told::Answer(answer) => drop(self.answers.send(answer)),
                records @ (Told::Records(_) | Told::RecordsEnd { .. }) => {
                    drop(self.records.send(records));
                }
            }
        }
        self.link.cancel.cancel();
    }
}

impl Warden for Server {
    fn trouble(&self) -> Option<RepositoryError> {
        let lost = lock(&self.link.lost);
        let lost = lost.get(self.number).and_then(Clone::clone);
        lost.map(RepositoryError::from)
    }

    fn settle(&self) -> Result<()> {
        self.link.ask(&Said::Settle(self.number))
    }

    fn commit(&self) -> Result<()> {
        self.link.ask(&Said::Commit(self.number))
    }
}

impl Warden for Holder {
    fn trouble(&self) -> Option<RepositoryError> {
        None
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Nothing is to be seen of it.
    fn commit(&self) -> Result<()> {
        Err(RepositoryError::Cancelled)
    }
}
