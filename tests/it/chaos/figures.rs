//! What a story measured, and what it must reach.

use std::collections::BTreeMap;

use serde::Serialize;

use super::form::Form;

/// A dead replica's runs begin elsewhere within so many seconds.
const TAKEN_OVER_WITHIN_S: f64 = 20.0;
/// A call among silent callers is answered within so many seconds, and they take so much of a core.
const ANSWERED_IN_CROWD_WITHIN_S: f64 = 0.1;
const PROCESSOR_OF_CROWD: f64 = 0.1;
/// The same for a service whose database is there again.
const BACK_WITHIN_S: f64 = 5.0;

#[derive(Clone, Debug, Default)]
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
    /// Runs that did not end, or not by the table of states.
    pub(super) illegal: usize,
    /// Attempts that were taken from their replica.
    pub(super) leases_lost: i64,
    pub(super) calls: Calls,
    pub(super) tokens: Tokens,
    pub(super) watchers: Vec<Watched>,
    /// Seconds from the death of a replica to the next attempt of each of its handlers elsewhere.
    pub(super) taken_over_s: Vec<f64>,
    /// Seconds from a blow at one replica to when the others had decided every task once more.
    pub(super) decided_by_others_s: Vec<f64>,
    /// Seconds from when the database takes connections to the first slot decided, and to the first call
    /// answered.
    pub(super) decided_again_s: Vec<f64>,
    pub(super) answered_again_s: Vec<f64>,
    /// Seconds from when a replica's wire is mended to the first call that it answers.
    pub(super) replica_back_s: Vec<f64>,
    /// Seconds from a call to its answer among callers that say nothing, and what share of a core those take.
    pub(super) answered_in_crowd_s: Vec<f64>,
    pub(super) processor: Vec<f64>,
    /// By how many seconds the longest call was longer beside what hangs than without it.
    pub(super) longer_beside_s: Vec<f64>,
    /// Seconds that a stop in order took.
    pub(super) stopped_s: Vec<f64>,
    pub(super) load_average: f64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    /// By arithmetic, from each task's creation to its cursor.
    pub(super) expected: i64,
    pub(super) recorded: i64,
    pub(super) by_outcome: BTreeMap<String, i64>,
    pub(super) lost: i64,
    pub(super) double_decided: i64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    pub(super) answered: u64,
    pub(super) runs: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    pub(super) handlers: usize,
    pub(super) writes: usize,
    pub(super) refused: usize,
    pub(super) overlapping: usize,
    pub(super) doubled: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    pub(super) told: usize,
    pub(super) seen: usize,
    pub(super) missed: usize,
    pub(super) repeated: usize,
    pub(super) out_of_order: usize,
    pub(super) reconnects: usize,
}

/// One figure, and whether it is as it must be: an entry of `chaos.json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Mark {
    pub(super) scenario: &'static str,
    database: &'static str,
    pub(super) metric: &'static str,
    pub(super) value: f64,
    unit: &'static str,
    pub(super) target: Option<String>,
    pub(super) met: Option<bool>,
    /// Load average of one minute at the end of the storm.
    load: f64,
}

impl Figures {
    /// Everything that must not happen, what must be quick, and the rest to be known. Only the long form,
    /// beside which nothing else runs, is held to be quick.
    pub(super) fn marks(&self, form: Form) -> Vec<Mark> {
        let never = Some(0.0);
        let (slots, tokens) = (&self.slots, &self.tokens);
        let watched = |of: fn(&Watched) -> usize| count(self.watchers.iter().map(of).sum());
        let runs = self.runs.values().sum();
        let mut marks = vec![
            self.mark("slots lost", whole(slots.lost), "", never),
            self.mark(
                "slots decided twice",
                whole(slots.double_decided),
                "",
                never,
            ),
            self.mark("overlapping valid tokens", count(tokens.wrong()), "", never),
            self.mark("runs without a legal end", count(self.illegal), "", never),
            self.mark("calls without one run", self.calls.wrong(), "", never),
            self.mark("events missed", watched(|it| it.missed), "", never),
            self.mark("events seen twice", watched(|it| it.repeated), "", never),
            self.mark(
                "events out of order",
                watched(|it| it.out_of_order),
                "",
                never,
            ),
        ];
        let quick = [
            (
                "dead replica's runs taken over",
                &self.taken_over_s,
                Some(TAKEN_OVER_WITHIN_S),
            ),
            (
                "decided by the others",
                &self.decided_by_others_s,
                Some(TAKEN_OVER_WITHIN_S),
            ),
            (
                "first slot with the database back",
                &self.decided_again_s,
                Some(BACK_WITHIN_S),
            ),
            (
                "first answer with the database back",
                &self.answered_again_s,
                Some(BACK_WITHIN_S),
            ),
            (
                "first answer with the wire back",
                &self.replica_back_s,
                None,
            ),
            (
                "answer among silent callers",
                &self.answered_in_crowd_s,
                Some(ANSWERED_IN_CROWD_WITHIN_S),
            ),
            (
                "longer answers beside what hangs",
                &self.longer_beside_s,
                None,
            ),
            ("stopped in order", &self.stopped_s, None),
        ];
        for (metric, seconds, within) in quick {
            if let Some(most) = most(seconds) {
                let within = within.filter(|_| form == Form::Long);
                marks.push(self.mark(metric, most, "s", within));
            }
        }
        if let Some(most) = most(&self.processor) {
            let within = Some(PROCESSOR_OF_CROWD).filter(|_| form == Form::Long);
            marks.push(self.mark("silent callers' share of a core", most, "", within));
        }
        let known = [
            ("blows", count(self.blows), ""),
            ("storm", self.seconds, "s"),
            ("replicas", count(self.replicas), ""),
            ("tasks that fire every second", count(self.tasks), ""),
            ("slots", whole(slots.expected), ""),
            ("runs", count(runs), ""),
            ("leases lost", whole(self.leases_lost), ""),
            ("handlers with a token", count(tokens.handlers), ""),
            ("writes let in", count(tokens.writes), ""),
            ("writes refused", count(tokens.refused), ""),
            ("events told", watched(|it| it.told), ""),
            ("events seen", watched(|it| it.seen), ""),
            ("reconnects of watchers", watched(|it| it.reconnects), ""),
        ];
        marks.extend(known.map(|(metric, value, unit)| self.mark(metric, value, unit, None)));
        marks
    }

    fn mark(
        &self,
        metric: &'static str,
        value: f64,
        unit: &'static str,
        at_most: Option<f64>,
    ) -> Mark {
        Mark {
            scenario: self.story,
            database: self.database,
            metric,
            value: (value * 1000.0).round() / 1000.0,
            unit,
            target: at_most.map(|most| format!("≤ {most}")),
            met: at_most.map(|most| value <= most),
            load: self.load_average,
        }
    }
}

impl Tokens {
    fn wrong(&self) -> usize {
        self.overlapping + self.doubled
    }
}

impl Calls {
    fn wrong(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "they are few")]
        let wrong = self.answered.abs_diff(self.runs) as f64;
        wrong
    }
}

/// The longest time.
pub(super) fn most(seconds: &[f64]) -> Option<f64> {
    seconds.iter().copied().reduce(f64::max)
}

fn count(value: usize) -> f64 {
    whole(i64::try_from(value).unwrap_or(i64::MAX))
}

fn whole(value: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    let value = value as f64;
    value
}

/// How busy the machine is.
pub(super) fn load_average() -> f64 {
    let said = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = said.split_whitespace().next();
    first.and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}
