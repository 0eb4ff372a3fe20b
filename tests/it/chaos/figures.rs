//! What a story measured: a line of a table for people, and a line of JSON to quote from.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::form::Form;

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) story: &'static str,
    pub(super) database: &'static str,
    pub(super) replicas: usize,
    pub(super) tasks: usize,
    /// How often the story struck.
    pub(super) blows: usize,
    pub(super) seconds: f64,
    pub(super) slots: Slots,
    /// Runs by the state in which they ended.
    pub(super) runs: BTreeMap<String, usize>,
    /// Attempts that were taken from their replica.
    pub(super) leases_lost: i64,
    pub(super) calls: Calls,
    pub(super) tokens: Tokens,
    pub(super) watchers: Vec<Watched>,
    /// Seconds from the death of a replica to the next attempt of each of its handlers elsewhere.
    pub(super) taken_over_s: Vec<f64>,
    /// Seconds from when the database takes connections to the first slot decided, and to the first call
    /// answered.
    pub(super) decided_again_s: Vec<f64>,
    pub(super) answered_again_s: Vec<f64>,
    /// Seconds that a stop in order took.
    pub(super) stopped_s: Vec<f64>,
    pub(super) load_average: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Slots {
    /// By arithmetic, from each task's creation to its cursor.
    pub(super) expected: i64,
    pub(super) recorded: i64,
    pub(super) by_outcome: BTreeMap<String, i64>,
    pub(super) lost: i64,
    pub(super) double_decided: i64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Calls {
    pub(super) answered: u64,
    pub(super) runs: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tokens {
    pub(super) handlers: usize,
    pub(super) writes: usize,
    pub(super) refused: usize,
    pub(super) overlapping: usize,
    pub(super) doubled: usize,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Watched {
    pub(super) watcher: &'static str,
    pub(super) told: usize,
    pub(super) seen: usize,
    pub(super) missed: usize,
    pub(super) repeated: usize,
    pub(super) out_of_order: usize,
    pub(super) reconnects: usize,
}

const HEAD: &str = "\
story                 database   repl blows    s |  slots recorded dispatched coalesced skipped lost twice |  \
runs succeeded failed timed_out expired abandoned | leases_lost handlers refused overlap | events   seen missed \
again | takeover_s decided_s answered_s | load";

impl Figures {
    /// Keeps them beside what Cargo builds, where it is the long form; and shows them.
    pub(super) fn keep(&self, form: Form) {
        let row = self.row();
        println_to_test(&format!("{HEAD}\n{row}"));
        if form == Form::Long {
            append("chaos.json", &serde_json::to_string(self).unwrap(), "");
            append("chaos.txt", &row, HEAD);
        }
    }

    fn row(&self) -> String {
        let outcome = |name: &str| {
            let outcomes = self.slots.by_outcome.iter();
            let matching = outcomes.filter(|(outcome, _)| outcome.starts_with(name));
            matching.map(|(_, count)| count).sum::<i64>()
        };
        let state = |name: &str| self.runs.get(name).copied().unwrap_or(0);
        let sum = |of: fn(&Watched) -> usize| self.watchers.iter().map(of).sum::<usize>();
        let most = |seconds: &[f64]| match seconds.iter().copied().reduce(f64::max) {
            Some(most) => format!("{most:.2}"),
            None => "-".to_owned(),
        };
        let Self { slots, tokens, .. } = self;
        let [recorded, expected] = [slots.recorded, slots.expected];
        let what = format!(
            "{:<21} {:<10} {:>4} {:>5} {:>4.0} |",
            self.story, self.database, self.replicas, self.blows, self.seconds
        );
        let ledger = format!(
            " {expected:>6} {recorded:>8} {:>10} {:>9} {:>7} {:>4} {:>5} |",
            outcome("dispatched"),
            outcome("coalesced"),
            outcome("skipped"),
            slots.lost,
            slots.double_decided,
        );
        let runs = format!(
            " {:>5} {:>9} {:>6} {:>9} {:>7} {:>9} |",
            self.runs.values().sum::<usize>(),
            state("succeeded"),
            state("failed"),
            state("timed_out"),
            state("expired"),
            state("abandoned"),
        );
        let handlers = format!(
            " {:>11} {:>8} {:>7} {:>7} |",
            self.leases_lost,
            tokens.handlers,
            tokens.refused,
            tokens.overlapping + tokens.doubled,
        );
        let events = format!(
            " {:>6} {:>6} {:>6} {:>5} |",
            sum(|watched| watched.told),
            sum(|watched| watched.seen),
            sum(|watched| watched.missed + watched.out_of_order),
            sum(|watched| watched.repeated),
        );
        let times = format!(
            " {:>10} {:>9} {:>10} | {:>4.1}",
            most(&self.taken_over_s),
            most(&self.decided_again_s),
            most(&self.answered_again_s),
            self.load_average,
        );
        [what, ledger, runs, handlers, events, times].concat()
    }
}

/// How busy the machine is.
pub(super) fn load_average() -> f64 {
    let said = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = said.split_whitespace().next();
    first.and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

fn println_to_test(text: &str) {
    eprintln!("{text}");
}

fn append(name: &str, line: &str, head: &str) {
    let file = target().join(name);
    let is_new = !file.exists();
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .unwrap();
    if is_new && !head.is_empty() {
        writeln!(file, "{head}").unwrap();
    }
    writeln!(file, "{line}").unwrap();
}

fn target() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).to_owned()
}
