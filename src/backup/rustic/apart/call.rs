//! The server's side of an operation that another process does: what that asks is decided here, and how it ends is told.

use std::{
    any::Any,
    io::Write as _,
    net::Shutdown,
    os::unix::{net::UnixStream, process::ExitStatusExt as _},
    path::Path,
    process::ExitStatus,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    super::{error::other, gate::Operation, holding::Holding},
    lines::records_in_lines,
    served::WORK,
    told,
    wire::{Answer, Fault, Heard, Order, Said, Told, line},
};
use crate::{
    backup::{
        child::{Helpers, last_bytes, launchers},
        repository::{Hand, Records, RepositoryError, Result},
    },
    clock::Stopwatch,
    process::{Attended, Order as Start, is_for_now},
};

/// The time between two looks whether it is to stop, has lost its lock, or is waited for any more.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// For so long it is waited for an operation that is to stop.
const STOPS_WITHIN: Duration = Duration::from_millis(120);
/// For so long it may go on alone then: less than others wait for its lock on this host.
const GOES_ON_FOR: Duration = Duration::from_secs(5);
/// For so long it is waited for the end of a process that says nothing any more.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Characters of a process's last words that are passed on.
const WORDS_MAX: usize = 500;

/// What an operation does in one repository, and its lock there.
pub(super) struct Guarded {
    pub(super) operation: Arc<Operation>,
    pub(super) _held: Option<Arc<Holding>>,
}

/// A process that works, and what it says.
pub(super) struct Worker {
    place: String,
    /// Dropped, it ends the process. None where that was seen to have ended.
    attended: Option<Attended>,
    pub(super) heard: Heard<UnixStream>,
    pub(super) to: UnixStream,
    complaint: Option<JoinHandle<String>>,
}

/// An operation under way. What it holds is given up after its process has ended.
pub(super) struct Call {
    worker: Worker,
    guarded: Vec<Guarded>,
    told_lost: Vec<bool>,
    /// Since it is waited for its end.
    stopping: Option<Stopwatch>,
    told_stop: bool,
    records: Option<Arc<dyn Records>>,
    /// Given up once it is over.
    kept: Vec<Box<dyn Any + Send>>,
}

impl Worker {
    /// Starts it, and gives it its order.
    pub(super) fn start(helpers: &Helpers, place: &Path, order: &Order) -> Result<Self> {
        let failed = |error: anyhow::Error| {
            other(format!(
                "could not start a process for {}: {error:#}",
                place.display()
            ))
        };
        let mut start = Start::of([helpers.program.clone().into_os_string()]);
        start.args(["helper", WORK]);
        let begun = launchers(&helpers.program).converse(WORK, start);
        let (attended, socket, stderr) = begun.map_err(failed)?;
        let complaint = thread::Builder::new()
            .name("backup-words".to_owned())
            .spawn(move || last_bytes(stderr))
            .map_err(|error| failed(error.into()))?;
        let to = socket.try_clone().map_err(|error| failed(error.into()))?;
        let mut worker = Self {
            place: place.display().to_string(),
            attended: Some(attended),
            heard: Heard::new(socket),
            to,
            complaint: Some(complaint),
        };
        let order = line(order).map_err(|error| failed(error.into()))?;
        match worker.to.write_all(&order) {
            Ok(()) => Ok(worker),
            Err(_) => Err(worker.died()),
        }
    }

    /// How it ended, which it did before it had answered.
    pub(super) fn died(&mut self) -> RepositoryError {
        let _ = self.to.shutdown(Shutdown::Both);
        let since = Stopwatch::start();
        let mut attended = self.attended.take();
        let ended = attended
            .as_mut()
            .map(|attended| attended.until_ended(|| ENDS_WITHIN <= since.elapsed()));
        let has_ended = matches!(ended, Some(Ok(Some(_))));
        let mut how = match ended {
            Some(Ok(Some(status))) => in_words(status),
            Some(Ok(None)) | None => "says nothing any more".to_owned(),
            Some(Err(error)) => format!("is gone: {error:#}"),
        };
        // With its launcher its last words end.
        drop(attended);
        // Who hangs may keep them open for as long as that lasts.
        if let Some(complaint) = self.complaint.take()
            && has_ended
        {
            let words = complaint.join().unwrap_or_default();
            let words: Vec<&str> = words.split_whitespace().collect();
            if !words.is_empty() {
                let words: String = words.join(" ").chars().take(WORDS_MAX).collect();
                how = format!("{how}: {words}");
            }
        }
        RepositoryError::Died {
            place: self.place.clone(),
            how,
        }
    }
}

/// That a snapshot was asked for which is said to be there. Of a copy, and of what was pruned, there may be none.
fn expect_granted(answer: Answer, operation: &Operation) -> Result<Answer> {
    match answer {
        Answer::Archived(_) if !operation.has_committed() => Err(other(
            "a helper says that it has archived, and has not asked whether it may",
        )),
        answer => Ok(answer),
    }
}

/// How a process ended that had not answered.
fn in_words(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(9), _) => "was killed (signal 9): perhaps out of memory".to_owned(),
        (Some(6), _) => "gave up (signal 6): perhaps out of memory".to_owned(),
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, code) => format!(
            "ended with code {} before it had answered",
            code.unwrap_or(-1)
        ),
    }
}

impl Call {
    /// # Errors
    /// Where no process can be had, or it died at once.
    pub(super) fn begin(helpers: &Helpers, order: &Order, guarded: Vec<Guarded>) -> Result<Self> {
        let place = guarded
            .first()
            .map(|guarded| guarded.operation.place.clone())
            .unwrap_or_default();
        let worker = Worker::start(helpers, &place, order)?;
        let times = [
            worker.to.set_read_timeout(Some(LOOK_EVERY)),
            worker.to.set_write_timeout(Some(LOOK_EVERY)),
        ];
        for set in times {
            set.map_err(|error| other(format!("could not talk to a helper: {error}")))?;
        }
        Ok(Self {
            worker,
            told_lost: vec![false; guarded.len()],
            guarded,
            stopping: None,
            told_stop: false,
            records: None,
            kept: Vec::new(),
        })
    }

    /// With the files of the parent.
    pub(super) fn with_records(mut self, records: Option<Arc<dyn Records>>) -> Self {
        self.records = records;
        self
    }

    /// With what is to be held until it is over.
    pub(super) fn keeping(mut self, kept: impl Any + Send) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    /// Waits for the answer; `each` is given what is told before it. One that is to stop and does not do so soon is left
    /// alone, and has no effect any more.
    ///
    /// # Errors
    /// What it failed with, or how its process ended.
    pub(super) fn answer(mut self, hand: &Hand, each: &mut dyn FnMut(Said)) -> Result<Answer> {
        loop {
            if let Some(said) = self.next()? {
                match said {
                    Said::Done(Answer::Checked(checked)) => {
                        return self.trouble().map_or(Ok(Answer::Checked(checked)), Err);
                    }
                    Said::Done(answer) => return self.granted(answer),
                    Said::Failed(fault) => return Err(self.failed(fault)),
                    Said::Progress(progress) => (hand.progress)(progress),
                    said => each(said),
                }
            }
            let waited = self.stopping.as_ref().map(Stopwatch::elapsed);
            if waited.is_some_and(|waited| STOPS_WITHIN <= waited) && self.abandon() {
                self.leave();
                return Err(RepositoryError::Cancelled);
            }
        }
    }

    /// What is said next, if something is soon; questions are answered.
    fn next(&mut self) -> Result<Option<Said>> {
        self.watch()?;
        let said = match self.worker.heard.next::<Said>() {
            Ok(Some(said)) => said,
            Err(error) if is_for_now(&error) => return Ok(None),
            Ok(None) | Err(_) => return Err(self.worker.died()),
        };
        match said {
            Said::Settle(of) => {
                let guarded = self.guarded(of);
                let answer = guarded.and_then(|guarded| guarded.operation.settle());
                self.tell(&Told::Answer(answer.map_err(Fault::from)))?;
            }
            Said::Commit(of) => {
                let answer = self.guarded(of).and_then(|guarded| {
                    let operation = &guarded.operation;
                    operation.expect_to_go_on()?;
                    operation.commit()
                });
                self.tell(&Told::Answer(answer.map_err(Fault::from)))?;
            }
            Said::Records => self.tell_records()?,
            said => return Ok(Some(said)),
        }
        Ok(None)
    }

    fn guarded(&self, number: usize) -> Result<&Guarded> {
        self.guarded
            .get(number)
            .ok_or_else(|| other("a helper speaks of a repository that it was not given"))
    }

    fn is_cancelled(&self) -> bool {
        let mut all = self.guarded.iter();
        all.any(|guarded| guarded.operation.cancelled())
    }

    /// The answer, where all that it says was asked for before it was done. A lock that is lost by then changes nothing.
    fn granted(&self, answer: Answer) -> Result<Answer> {
        let operation = self.guarded(0).map(|guarded| &guarded.operation)?;
        expect_granted(answer, operation)
    }

    /// What it failed with: for want of its lock, where that is lost, whatever has followed from it.
    fn failed(&self, fault: Fault) -> RepositoryError {
        match fault {
            Fault::Cancelled if self.is_cancelled() => RepositoryError::Cancelled,
            fault => self.trouble().unwrap_or_else(|| told(fault)),
        }
    }

    /// Why one of its locks is lost: what is not there any more is no damage then.
    fn trouble(&self) -> Option<RepositoryError> {
        let mut all = self.guarded.iter();
        all.find_map(|guarded| guarded.operation.lock_trouble())
    }

    /// Tells of a stop, and of a lock that is lost.
    fn watch(&mut self) -> Result<()> {
        if !self.told_stop && self.is_cancelled() {
            self.told_stop = true;
            // From when it is told, however long a line before it has waited.
            self.stopping = Some(Stopwatch::start());
            self.tell(&Told::Stop)?;
        }
        for number in 0..self.guarded.len() {
            if self.told_lost[number] {
                continue;
            }
            if let Some(why) = self.guarded[number].operation.lock_trouble() {
                self.told_lost[number] = true;
                self.tell(&Told::Lost(number, why.into()))?;
            }
        }
        Ok(())
    }

    /// The parent's files; what of them cannot be read is as if it was not there.
    fn tell_records(&mut self) -> Result<()> {
        let whole = match self.records.clone() {
            None => false,
            Some(records) => records_in_lines(&*records, &mut |some| {
                // There may be many: a stop, and a lock that is lost, do not wait for the last.
                self.watch()?;
                if self.is_cancelled() {
                    return Ok(false);
                }
                self.tell(&Told::Records(some)).map(|()| true)
            })?,
        };
        self.tell(&Told::RecordsEnd { whole })
    }

    /// Where it does not listen, it is waited for as long as it is to be waited for at all.
    fn tell(&mut self, told: &Told) -> Result<()> {
        let line = line(told).map_err(|error| other(error.to_string()))?;
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match self.worker.to.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if is_for_now(&error) => {
                    if self.is_cancelled() {
                        let since = self.stopping.get_or_insert_with(Stopwatch::start);
                        if GOES_ON_FOR <= since.elapsed() {
                            return Err(RepositoryError::Cancelled);
                        }
                    }
                }
                Err(_) => return Err(self.worker.died()),
            }
        }
        Ok(())
    }

    /// Whether nothing of it is to be seen, nor will be.
    fn abandon(&self) -> bool {
        let mut all = self.guarded.iter();
        all.all(|guarded| guarded.operation.abandon())
    }

    /// Nobody waits any more: what it has stored is of use to the next, if it has a moment to note it.
    fn leave(mut self) {
        let watch = move || {
            let since = Stopwatch::start();
            while since.elapsed() < GOES_ON_FOR {
                match self.next() {
                    Ok(Some(Said::Done(_) | Said::Failed(_))) | Err(_) => break,
                    Ok(_) => {}
                }
            }
        };
        let thread = thread::Builder::new().name("backup-leaves".to_owned());
        if let Err(error) = thread.spawn(watch) {
            tracing::warn!(%error, "could not start a thread: a process was ended at once");
        }
    }
}

#[cfg(test)]
mod tests;
