//! What the handlers of `bench-token` wrote into the file that they share: who held which token when.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use uuid::Uuid;
use watchbell::clock::Stopwatch;

use super::pace::look_again;

/// A line of the file. The order of the lines is the order of the steps.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) run: Uuid,
    pub(super) token: i64,
    pub(super) what: String,
    pub(super) process: u32,
    /// When it was read, about 20 ms after it was written.
    pub(super) seen_at: Duration,
}

/// The file, read while it grows.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    file: PathBuf,
    watch: Stopwatch,
    read: Arc<Mutex<Read>>,
}

#[derive(Debug, Default)]
struct Read {
    upto: u64,
    /// The beginning of a line.
    rest: String,
    steps: Vec<Step>,
}

/// What the file says in the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) handlers: usize,
    pub(super) writes: usize,
    /// Writes that came after a newer token's start, and were refused: as they must be.
    pub(super) refused: usize,
    /// Writes that came after a newer token's start, and were let in.
    pub(super) overlapping: usize,
    /// Tokens that started twice.
    pub(super) doubled: usize,
    /// Tokens whose handler came to its end.
    pub(super) ended: BTreeSet<(Uuid, i64)>,
}

impl Tokens {
    /// Reads on beside the story. Instants are those of `watch`.
    pub(super) fn follow(file: PathBuf, watch: Stopwatch) -> Self {
        let tokens = Self {
            file,
            watch,
            read: Arc::default(),
        };
        let reader = tokens.clone();
        tokio::spawn(async move {
            loop {
                reader.read_on();
                look_again().await;
            }
        });
        tokens
    }

    /// Reads what has been added.
    fn read_on(&self) {
        let mut read = self.read.lock().unwrap();
        // It is made by the first handler.
        let Ok(mut file) = File::open(&self.file) else {
            return;
        };
        file.seek(SeekFrom::Start(read.upto)).unwrap();
        let mut added = String::new();
        read.upto += file.read_to_string(&mut added).unwrap() as u64;
        read.rest.push_str(&added);
        let seen_at = self.watch.elapsed();
        let text = std::mem::take(&mut read.rest);
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => read.steps.push(Step::read(line, seen_at)),
                None => line.clone_into(&mut read.rest),
            }
        }
    }

    /// Tokens whose handlers are under way in this process, by run.
    pub(super) fn held_by(&self, process: u32) -> BTreeMap<Uuid, i64> {
        self.read_on();
        let mut held = BTreeMap::new();
        for step in &self.read.lock().unwrap().steps {
            match step.what.as_str() {
                "start" if step.process == process => {
                    held.insert(step.run, step.token);
                }
                // A later attempt elsewhere takes it, too.
                "start" => {
                    held.remove(&step.run);
                }
                "end" | "refused" if held.get(&step.run) == Some(&step.token) => {
                    held.remove(&step.run);
                }
                _ => {}
            }
        }
        held
    }

    /// When a later token of this run started.
    pub(super) fn started_after(&self, run: Uuid, token: i64) -> Option<Duration> {
        let read = self.read.lock().unwrap();
        let mut steps = read.steps.iter();
        let started =
            steps.find(|step| step.run == run && token < step.token && step.what == "start");
        started.map(|step| step.seen_at)
    }

    pub(super) fn tally(&self) -> Tally {
        self.read_on();
        let read = self.read.lock().unwrap();
        assert_eq!(read.rest, "", "the last line is whole");
        let mut tally = Tally::default();
        let mut started: BTreeSet<(Uuid, i64)> = BTreeSet::new();
        let mut newest: BTreeMap<Uuid, i64> = BTreeMap::new();
        // The newest token that had started when a write was tried.
        let mut tried: BTreeMap<(Uuid, i64), i64> = BTreeMap::new();
        for step in &read.steps {
            let key = (step.run, step.token);
            match step.what.as_str() {
                "start" => {
                    tally.handlers += 1;
                    tally.doubled += usize::from(!started.insert(key));
                    let newest = newest.entry(step.run).or_default();
                    *newest = step.token.max(*newest);
                }
                "try" => {
                    tried.insert(key, newest.get(&step.run).copied().unwrap_or_default());
                }
                "written" => {
                    let newest = tried.get(&key).copied().unwrap_or(i64::MAX);
                    tally.writes += 1;
                    tally.overlapping += usize::from(step.token < newest);
                }
                "refused" => tally.refused += 1,
                "end" => {
                    tally.ended.insert(key);
                }
                other => panic!("a step {other}"),
            }
        }
        tally
    }
}

impl Step {
    fn read(line: &str, seen_at: Duration) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let [run, token, what, process] = words.as_slice() else {
            panic!("no line of a handler: {line:?}");
        };
        Self {
            run: run.parse().unwrap(),
            token: token.parse().unwrap(),
            what: (*what).to_owned(),
            process: process.parse().unwrap(),
            seen_at,
        }
    }
}
