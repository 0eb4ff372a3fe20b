//! Questions to this host that may never be answered: of files on a mount whose server is gone, of users whom a directory
//! knows that is away, of names that nobody resolves.
//!
//! Each is asked on a thread of its own and has its time; one that is over its time hangs. A thread that hangs cannot be
//! ended, so that threads are counted: by place, such that a dead one costs those alone who need it, and in all. Where a
//! place has as many as it may, and all of them hang, whoever asks next is refused at once; who waits for others that do
//! not hang yet waits as long as for an answer.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, oneshot};

use crate::clock::Stopwatch;

/// How long a question waits for its answer, where whoever asks says nothing else.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Threads at one place.
const AT_A_PLACE: usize = 4;
/// Threads in all.
const IN_ALL: usize = 128;
/// What is mounted where.
const MOUNTS: &str = "/proc/self/mountinfo";

static ALL: LazyLock<Places> = LazyLock::new(|| Places::of(IN_ALL));

/// What is asked, of what, and how long an answer may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    what: String,
    of: Of,
    within: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    /// Of a file: asked where it is mounted.
    File(PathBuf),
    Other(String),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("{what} hangs: {place} has given no answer for {} s", within.as_secs())]
    Hangs {
        what: String,
        place: String,
        within: Duration,
    },
    #[error(
        "{what} was not tried: {hang} earlier questions of {place} still hang, the oldest for {} s", since.as_secs()
    )]
    Refused {
        what: String,
        place: String,
        hang: usize,
        since: Duration,
    },
    #[error("{what} was not tried: {hang} earlier questions to this host still hang")]
    Full { what: String, hang: usize },
    #[error("{what} could not be tried: {why}")]
    NoThread { what: String, why: String },
}

impl Question {
    /// A question of a file; `what` says what is done, such as "looking at the program /usr/bin/true".
    pub fn of_file(path: &Path, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            of: Of::File(path.to_owned()),
            within: ANSWERS_WITHIN,
        }
    }

    /// A question of something else, such as "user backup".
    pub fn of(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            of: Of::Other(place.into()),
            within: ANSWERS_WITHIN,
        }
    }

    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }
}

/// Asks, on a thread that may hang.
///
/// # Errors
/// Where no answer comes in time, or too many hang already.
pub async fn ask<T: Send + 'static>(
    question: Question,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unanswered> {
    ALL.ask(question, work).await
}

/// Begins something that may hang and takes no thread of this process, such as the start of a program. As many as like may
/// be under way; those that hang are counted with the threads of their place.
///
/// # Errors
/// Where too many hang there already.
pub async fn begin(question: Question) -> Result<UnderWay, Unanswered> {
    ALL.begin(question).await
}

/// Something that is under way until this is dropped.
#[derive(Debug)]
pub struct UnderWay {
    question: Question,
    place: Arc<Place>,
    number: u64,
}

#[derive(Debug)]
struct Places {
    known: Mutex<HashMap<String, Weak<Place>>>,
    threads: Arc<Semaphore>,
    most: usize,
    numbers: AtomicU64,
}

/// What is under way at one place.
#[derive(Debug)]
struct Place {
    name: String,
    threads: Arc<Semaphore>,
    under_way: Mutex<HashMap<u64, Asked>>,
}

/// When something was asked, and how long it may take.
#[derive(Debug)]
struct Asked {
    since: Stopwatch,
    within: Duration,
}

impl Places {
    fn of(most: usize) -> Self {
        Self {
            known: Mutex::default(),
            threads: Arc::new(Semaphore::new(most)),
            most,
            numbers: AtomicU64::new(0),
        }
    }

    async fn begin(&self, question: Question) -> Result<UnderWay, Unanswered> {
        let name = match &question.of {
            Of::Other(name) => name.clone(),
            Of::File(path) => {
                let path = path.clone();
                // Told by the kernel, which asks no mount for it.
                let found = tokio::task::spawn_blocking(move || place_of(&path));
                let found = found.await;
                found.map_err(|error| no_thread(&question, error.to_string()))?
            }
        };
        let place = self.place(&name);
        place.refuse(&question)?;
        let hang = self.hang();
        if self.most <= hang {
            let what = question.what;
            return Err(Unanswered::Full { what, hang });
        }
        let under_way = UnderWay {
            question,
            place,
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
        };
        under_way.anew();
        Ok(under_way)
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: Question,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let asked = self.begin(question).await?;
        let (question, place) = (asked.question.clone(), asked.place.clone());
        let both = async {
            let here = place.threads.clone().acquire_owned().await.ok()?;
            Some((here, self.threads.clone().acquire_owned().await.ok()?))
        };
        let Ok(Some(permits)) = tokio::time::timeout(question.within, both).await else {
            place.refuse(&question)?;
            return Err(hangs(&question, &place));
        };
        // What it waited for others is not its own.
        asked.anew();
        let (tell, answer) = oneshot::channel();
        let spawned = std::thread::Builder::new()
            .name("host".to_owned())
            .spawn(move || {
                let done = work();
                drop((asked, permits));
                // Nobody may be waiting any more.
                drop(tell.send(done));
            });
        spawned.map_err(|error| no_thread(&question, error.to_string()))?;
        match tokio::time::timeout(question.within, answer).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(no_thread(&question, "its thread panicked".to_owned())),
            Err(_) => Err(hangs(&question, &place)),
        }
    }

    fn place(&self, name: &str) -> Arc<Place> {
        let mut known = lock(&self.known);
        if let Some(place) = known.get(name).and_then(Weak::upgrade) {
            return place;
        }
        known.retain(|_, place| 0 < place.strong_count());
        let place = Arc::new(Place {
            name: name.to_owned(),
            threads: Arc::new(Semaphore::new(AT_A_PLACE)),
            under_way: Mutex::default(),
        });
        known.insert(name.to_owned(), Arc::downgrade(&place));
        place
    }

    /// How many hang, everywhere.
    fn hang(&self) -> usize {
        let known = lock(&self.known);
        let places = known.values().filter_map(Weak::upgrade);
        places.map(|place| place.hang().count).sum()
    }
}

/// How many hang at a place, and for how long the oldest has.
struct Hang {
    count: usize,
    since: Duration,
}

impl Place {
    /// Refuses where all that may be asked here hangs.
    fn refuse(&self, question: &Question) -> Result<(), Unanswered> {
        let hang = self.hang();
        if hang.count < AT_A_PLACE {
            return Ok(());
        }
        Err(Unanswered::Refused {
            what: question.what.clone(),
            place: self.name.clone(),
            hang: hang.count,
            since: hang.since,
        })
    }

    fn hang(&self) -> Hang {
        let under_way = lock(&self.under_way);
        let all = under_way
            .values()
            .map(|asked| (asked.since.elapsed(), asked.within));
        let over: Vec<Duration> = all
            .filter(|(since, within)| within <= since)
            .map(|(since, _)| since)
            .collect();
        Hang {
            count: over.len(),
            since: over.into_iter().max().unwrap_or_default(),
        }
    }
}

impl UnderWay {
    /// That it hangs, for who has waited for it as long as it may take.
    pub fn hangs(&self) -> Unanswered {
        hangs(&self.question, &self.place)
    }

    /// Counts its time from now on.
    fn anew(&self) {
        let asked = Asked {
            since: Stopwatch::start(),
            within: self.question.within,
        };
        lock(&self.place.under_way).insert(self.number, asked);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.place.under_way).remove(&self.number);
    }
}

fn no_thread(question: &Question, why: String) -> Unanswered {
    Unanswered::NoThread {
        what: question.what.clone(),
        why,
    }
}

fn hangs(question: &Question, place: &Place) -> Unanswered {
    Unanswered::Hangs {
        what: question.what.clone(),
        place: place.name.clone(),
        within: question.within,
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a file is mounted, as its path says; by itself, where that is the root: it may be a link to anywhere. Blocks.
fn place_of(path: &Path) -> String {
    let mounts = std::fs::read_to_string(MOUNTS).unwrap_or_default();
    let mount = mount_of(path, &mounts).filter(|mount| *mount != "/");
    let place = mount.map_or_else(|| path.to_string_lossy().into_owned(), unescaped);
    // What lies in a folder of one path is asked together.
    place.chars().take(200).collect()
}

fn mount_of<'a>(path: &Path, mounts: &'a str) -> Option<&'a str> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let above = points.filter(|point| path.starts_with(unescaped(point)));
    above.max_by_key(|point| point.len())
}

/// A path as the kernel shows it, with what it writes as three octal digits.
fn unescaped(point: &str) -> String {
    [
        (r"\040", " "),
        (r"\011", "\t"),
        (r"\012", "\n"),
        (r"\134", "\\"),
    ]
    .iter()
    .fold(point.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests;
