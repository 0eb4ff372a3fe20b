//! A snapshot that another process has open: asked entry by entry and piece by piece, by several threads at once.

use std::{
    collections::HashMap,
    io::Write,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    super::{
        error::{other, other_io},
        gate::{Operation, lock},
    },
    astray,
    call::{Guarded, LOOK_EVERY, Worker},
    listed::Listed,
    told,
    wire::{Asked, Fault, Order, Question, Replied, Reply, line},
};
use crate::{
    backup::{
        child::Helpers,
        repository::{Entry, EntryKind, Met, RepositoryError, Result, SnapshotReader},
    },
    domain::backup::manifest::SnapshotPath,
};

/// How long the end of its process is waited for, which a disk may hold up.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Entries that are asked for at once; so many are held of each directory that a walk is in.
const AT_ONCE: usize = 512;

/// An open snapshot of another process. Dropped, it ends the process, whose lock is held until that has ended.
pub(super) struct Reading {
    operation: Arc<Operation>,
    to: Mutex<UnixStream>,
    last: AtomicU64,
    waiting: Arc<Waiting>,
    /// Told once the process has ended, and its lock is given up.
    ended: Mutex<Receiver<()>>,
}

/// An answer, and the bytes that came with it.
type Answered = Result<(Reply, Vec<u8>)>;

/// Who waits for an answer.
#[derive(Default)]
struct Waiting {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_number: HashMap<u64, SyncSender<Answered>>,
    /// Why none comes any more.
    over: Option<Fault>,
}

/// An answer that is to come.
struct Coming<'a> {
    reading: &'a Reading,
    number: u64,
    answer: Receiver<Answered>,
}

impl Reading {
    /// Has a snapshot opened.
    ///
    /// # Errors
    /// What stands in the way, or how the process ended.
    pub(super) fn begin(helpers: &Helpers, order: &Order, guarded: Guarded) -> Result<Self> {
        let mut worker = Worker::start(helpers, &guarded.operation.place, order)?;
        match worker.heard.next::<Replied>() {
            Ok(Some(replied)) => match replied.reply.map_err(told)? {
                Reply::Open => {}
                _ => return astray(),
            },
            Ok(None) | Err(_) => return Err(worker.died()),
        }
        let failed = |error| other(format!("could not read apart: {error}"));
        let to = worker.to.try_clone().map_err(failed)?;
        let waiting = Arc::new(Waiting::default());
        let heard = Arc::clone(&waiting);
        let operation = Arc::clone(&guarded.operation);
        let (over, ended) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("backup-hears".to_owned())
            .spawn(move || {
                heard.hear(worker);
                drop(guarded);
                // Nobody may be waiting any more.
                let _ = over.send(());
            })
            .map_err(failed)?;
        Ok(Self {
            operation,
            to: Mutex::new(to),
            last: AtomicU64::new(0),
            waiting,
            ended: Mutex::new(ended),
        })
    }

    fn ask(&self, question: Question) -> Result<Coming<'_>> {
        self.operation.expect_to_go_on()?;
        let number = 1 + self.last.fetch_add(1, Ordering::Relaxed);
        let asked = line(&Asked { number, question }).map_err(|error| other(error.to_string()))?;
        let (answer, answered) = mpsc::sync_channel(1);
        let mut state = lock(&self.waiting.state);
        if let Some(over) = &state.over {
            return Err(over.clone().into());
        }
        state.by_number.insert(number, answer);
        drop(state);
        // Where it cannot be asked, whoever hears knows why.
        let _ = lock(&self.to).write_all(&asked);
        Ok(Coming {
            reading: self,
            number,
            answer: answered,
        })
    }

    fn piece(&self, path: &SnapshotPath, number: u64) -> Result<Coming<'_>> {
        self.ask(Question::Piece {
            path: path.clone(),
            number,
        })
    }

    /// Some entries of a directory, and whether there may be more; none where there is no such directory.
    fn list(
        &self,
        path: &SnapshotPath,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Option<(Vec<Entry>, bool)>> {
        let question = Question::List {
            path: path.clone(),
            after: after.map(|after| SnapshotPath(after.to_vec())),
            most,
        };
        match self.ask(question)?.wait(None)? {
            (Reply::List(None, _), _) => Ok(None),
            (Reply::List(Some(listed), more), _) => {
                let entries = listed.into_iter().map(Listed::entry);
                match entries.collect::<Option<Vec<_>>>() {
                    Some(entries) => Ok(Some((entries, more))),
                    None => astray(),
                }
            }
            _ => astray(),
        }
    }

    fn walk_in(&self, path: &SnapshotPath, each: &mut dyn FnMut(Met) -> Result<()>) -> Result<()> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let listed = match self.list(path, after.as_deref(), AT_ONCE) {
                Err(RepositoryError::Damaged { what }) if after.is_none() => {
                    return each(Met::Damaged(path.clone(), what));
                }
                listed => listed?,
            };
            let Some((entries, more)) = listed else {
                // It was named, or it is the root, which every snapshot has.
                let what = format!("{path}: it is listed, and is not there");
                return each(Met::Damaged(path.clone(), what));
            };
            after = entries.last().map(|last| name_of(&last.path).to_vec());
            for entry in entries {
                let below = (entry.kind == EntryKind::Directory).then(|| entry.path.clone());
                each(Met::Entry(entry))?;
                if let Some(below) = below {
                    self.walk_in(&below, each)?;
                }
            }
            if !more || after.is_none() {
                return Ok(());
            }
        }
    }
}

fn name_of(path: &SnapshotPath) -> &[u8] {
    path.as_bytes()
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default()
}

impl Waiting {
    /// Gives each answer to whom it is for, until no more come.
    fn hear(&self, mut worker: Worker) {
        while let Ok(Some(Replied { number, reply })) = worker.heard.next::<Replied>() {
            let bytes = match &reply {
                Ok(Reply::Piece(count, _)) => worker.heard.bytes(*count),
                _ => Ok(Vec::new()),
            };
            let Ok(bytes) = bytes else { break };
            let waiting = lock(&self.state).by_number.remove(&number);
            if let Some(waiting) = waiting {
                let reply = reply.map(|reply| (reply, bytes));
                // There is room for it; nobody may be waiting any more.
                let _ = waiting.send(reply.map_err(told));
            }
        }
        let why = Fault::from(worker.died());
        let mut state = lock(&self.state);
        state.over = Some(why.clone());
        for (_, waiting) in state.by_number.drain() {
            let _ = waiting.send(Err(why.clone().into()));
        }
    }
}

impl Coming<'_> {
    fn wait(self, cancel: Option<&CancellationToken>) -> Answered {
        loop {
            match self.answer.recv_timeout(LOOK_EVERY) {
                // What is not there any more, once the lock is lost, is no damage.
                Ok(Err(error)) => {
                    let trouble = self.reading.operation.lock_trouble();
                    return Err(trouble.unwrap_or(error));
                }
                Ok(answered) => return answered,
                Err(RecvTimeoutError::Disconnected) => return astray(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if cancel.is_some_and(CancellationToken::is_cancelled) {
                return Err(RepositoryError::Cancelled);
            }
            self.reading.operation.expect_to_go_on()?;
        }
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let waiting = &self.reading.waiting;
        lock(&waiting.state).by_number.remove(&self.number);
    }
}

impl SnapshotReader for Reading {
    fn walk(&self, each: &mut dyn FnMut(Met) -> Result<()>) -> Result<()> {
        self.walk_in(&SnapshotPath(Vec::new()), each)
    }

    fn entry(&self, path: &SnapshotPath) -> Result<Option<Entry>> {
        match self.ask(Question::Entry(path.clone()))?.wait(None)? {
            (Reply::Entry(None), _) => Ok(None),
            (Reply::Entry(Some(listed)), _) => {
                listed.entry().map_or_else(astray, |one| Ok(Some(one)))
            }
            _ => astray(),
        }
    }

    fn children(
        &self,
        path: &SnapshotPath,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Option<Vec<Entry>>> {
        let mut found: Vec<Entry> = Vec::new();
        loop {
            let after = found.last().map(|last| name_of(&last.path)).or(after);
            let Some((entries, more)) = self.list(path, after, most - found.len())? else {
                return Ok(None);
            };
            let is_end = entries.is_empty();
            found.extend(entries);
            if is_end || !more || most <= found.len() {
                return Ok(Some(found));
            }
        }
    }

    fn read(&self, file: &Entry, into: &mut dyn Write, cancel: &CancellationToken) -> Result<()> {
        if file.kind != EntryKind::File {
            return Err(other(format!("{} is no file", file.path)));
        }
        let mut number = 0;
        let mut next = Some(self.piece(&file.path, number)?);
        while let Some(coming) = next.take() {
            if cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            let (Reply::Piece(_, more), bytes) = coming.wait(Some(cancel))? else {
                return astray();
            };
            if more {
                // Asked for while this one is written.
                number += 1;
                next = Some(self.piece(&file.path, number)?);
            }
            into.write_all(&bytes).map_err(|error| {
                let place = &self.operation.place;
                other_io("write what was read from", place, error)
            })?;
        }
        Ok(())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = lock(&self.to).shutdown(Shutdown::Both);
        // Who comes next finds its lock given up; a disk that hangs keeps nobody for longer.
        let _ = lock(&self.ended).recv_timeout(ENDS_WITHIN);
    }
}
