//! The verdict: what the tables, the handlers' file and the watchers say, held against each other.
//!
//! Nothing here asks the product. Slots of a task that fires every second are the whole seconds after its
//! creation and up to its cursor; each must be in the ledger once.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    figures::{Slots, Watched},
    look::{RunEvent, RunRow, SlotRow, TaskRow},
    tokens::Tally,
    watchers::Notes,
};

const SECOND: i64 = 1_000_000;

/// What is wrong, in sentences; a test fails on the first few.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn add(&mut self, fault: String) {
        self.0.push(fault);
    }

    pub(super) fn add_if(&mut self, wrong: bool, fault: impl FnOnce() -> String) {
        if wrong {
            self.0.push(fault());
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    #[track_caller]
    pub(super) fn assert_none(&self) {
        let first: Vec<&String> = self.0.iter().take(20).collect();
        assert!(first.is_empty(), "{} faults: {first:#?}", self.0.len());
    }
}

/// Whether each slot is in the ledger once, and each run that one was given to is there.
pub(super) fn slots(
    tasks: &BTreeMap<Uuid, TaskRow>,
    rows: &[SlotRow],
    runs: &BTreeMap<Uuid, RunRow>,
    faults: &mut Faults,
) -> Slots {
    let mut slots = Slots::default();
    let mut given: BTreeSet<Uuid> = BTreeSet::new();
    let mut ledgers: BTreeMap<Uuid, Vec<&SlotRow>> = BTreeMap::new();
    for row in rows {
        ledgers.entry(row.task).or_default().push(row);
    }
    for (id, task) in tasks {
        // Two ship with the server, and one is triggered by hand.
        let is_storm = ["noop-", "once-", "token-"]
            .iter()
            .any(|prefix| task.name.starts_with(prefix));
        let mut upto = task.created_at;
        for row in ledgers.get(id).into_iter().flatten() {
            let name = &task.name;
            let seconds = whole_seconds(row.after_at, row.upto_at);
            if is_storm {
                slots.lost += whole_seconds(upto, row.after_at).max(0);
                slots.double_decided += whole_seconds(row.after_at, upto).max(0);
                slots.lost += (seconds - row.count).max(0);
                slots.double_decided += (row.count - seconds).max(0);
                slots.recorded += row.count;
                *slots.by_outcome.entry(row.outcome.clone()).or_default() += row.count;
            }
            faults.add_if(row.after_at != upto, || {
                format!(
                    "{name}: a row begins at {}, the one before ends at {upto}",
                    row.after_at
                )
            });
            faults.add_if(row.after_at >= row.upto_at, || {
                format!("{name}: a row ends before it begins: {row:?}")
            });
            faults.add_if(is_storm && row.count != seconds, || {
                format!(
                    "{name}: {seconds} slots, of which {} are told: {row:?}",
                    row.count
                )
            });
            upto = row.upto_at;
            check_outcome(row, runs, &mut given, &mut slots, faults);
        }
        if is_storm {
            slots.expected += whole_seconds(task.created_at, task.cursor_at);
            slots.lost += whole_seconds(upto, task.cursor_at).max(0);
            slots.double_decided += whole_seconds(task.cursor_at, upto).max(0);
        }
    }
    for run in runs.values() {
        if run.slot_at.is_some() && !given.contains(&run.id) {
            slots.double_decided += 1;
            faults.add(format!(
                "a run for a slot that the ledger gave to none: {run:?}"
            ));
        }
    }
    faults.add_if(slots.lost != 0 || slots.double_decided != 0, || {
        format!("the ledger: {slots:?}")
    });
    faults.add_if(slots.expected != slots.recorded, || {
        format!("the ledger: {slots:?}")
    });
    slots
}

fn check_outcome(
    row: &SlotRow,
    runs: &BTreeMap<Uuid, RunRow>,
    given: &mut BTreeSet<Uuid>,
    slots: &mut Slots,
    faults: &mut Faults,
) {
    let run = row.run.and_then(|id| runs.get(&id));
    match row.outcome.as_str() {
        "dispatched" => match run {
            Some(run) if run.slot_at == row.last_at && run.task == row.task => {
                if !given.insert(run.id) {
                    slots.double_decided += 1;
                    faults.add(format!("two slots for one run: {row:?}"));
                }
            }
            _ => {
                slots.lost += row.count;
                faults.add(format!("a slot without its run: {row:?}"));
            }
        },
        "coalesced" => {
            faults.add_if(run.is_none(), || {
                format!("slots of a run that is not there: {row:?}")
            });
        }
        "skipped_overlap"
        | "skipped_paused"
        | "skipped_catchup_none"
        | "skipped_catchup_expired"
        | "skipped_catchup_capped" => {
            faults.add_if(row.reason.is_empty(), || {
                format!("skipped, and not why: {row:?}")
            });
        }
        _ => faults.add(format!("nobody did this: {row:?}")),
    }
}

/// Whole seconds in (after, upto].
fn whole_seconds(after: i64, upto: i64) -> i64 {
    upto.div_euclid(SECOND) - after.div_euclid(SECOND)
}

/// Whether each run ended, and what is kept of it agrees with itself and with its handlers. Says how many
/// there are by the state in which they ended.
pub(super) fn runs(
    runs: &BTreeMap<Uuid, RunRow>,
    attempts: &BTreeMap<Uuid, Vec<i64>>,
    tally: &Tally,
    faults: &mut Faults,
) -> BTreeMap<String, usize> {
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for run in runs.values() {
        *states.entry(run.state.clone()).or_default() += 1;
        let kept = attempts.get(&run.id).map_or(&[][..], Vec::as_slice);
        let count = i64::try_from(kept.len()).unwrap();
        // What ended while it was queued has all its attempts kept; else the last one is in the run.
        let consistent = match run.state.as_str() {
            "succeeded" | "failed" | "timed_out" | "abandoned" => count == run.attempt - 1,
            "cancelled" => count == run.attempt - 1 || count == run.attempt,
            "expired" => run.attempt == 0,
            _ => false,
        };
        let in_turn = (1..).zip(kept).all(|(number, attempt)| number == *attempt);
        faults.add_if(!consistent || !in_turn, || {
            format!("attempts {kept:?} of {run:?}")
        });
        faults.add_if(run.finished_at.is_none() || run.leased, || {
            format!("it goes on for ever: {run:?}")
        });
        faults.add_if(run.attempt < run.charged, || {
            format!("charged with what it had not: {run:?}")
        });
        let worked = run.kind != "bench-token" || tally.ended.contains(&(run.id, run.attempt));
        faults.add_if(run.state == "succeeded" && !worked, || {
            format!("it succeeded without its work: {run:?}")
        });
    }
    states
}

/// Whether each run went by the table of states, one version after the other.
pub(super) fn events(events: &[RunEvent], runs: &BTreeMap<Uuid, RunRow>, faults: &mut Faults) {
    let mut now: BTreeMap<Uuid, (&str, i64)> = BTreeMap::new();
    for event in events {
        let told = &event.run;
        let before = now.get(&told.id).copied();
        let (from, version) = before.unwrap_or(("", 0));
        let stays = ["run.progressed", "run.cancel_requested"].contains(&event.kind.as_str());
        let legal = if stays {
            from == told.state
        } else {
            is_legal(from, &told.state)
        };
        faults.add_if(!legal || told.version != version + 1, || {
            format!("from {from} ({version}): {event:?}")
        });
        now.insert(told.id, (&told.state, told.version));
    }
    for run in runs.values() {
        let last = now.get(&run.id);
        faults.add_if(last != Some(&(run.state.as_str(), run.version)), || {
            format!("the log says {last:?} of {run:?}")
        });
    }
}

/// Whether of each task but those whose runs may overlap, at most one run was under way at a time: begun, or
/// waiting to be tried again.
pub(super) fn in_line(events: &[RunEvent], faults: &mut Faults) {
    let mut under_way: BTreeMap<&str, BTreeSet<Uuid>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.run.solo) {
        let (told, of_task) = (&event.run, under_way.entry(&event.run.task).or_default());
        if !["running", "retry_wait"].contains(&told.state.as_str()) {
            of_task.remove(&told.id);
            continue;
        }
        let is_new = of_task.insert(told.id);
        faults.add_if(is_new && 1 < of_task.len(), || {
            format!("it began beside others of its task, {of_task:?}: {event:?}")
        });
    }
}

/// The table of the design, row by row.
fn is_legal(from: &str, to: &str) -> bool {
    match from {
        "" => to == "queued",
        "queued" => ["running", "expired", "cancelled"].contains(&to),
        "running" => [
            "succeeded",
            "retry_wait",
            "queued",
            "failed",
            "timed_out",
            "cancelled",
            "abandoned",
        ]
        .contains(&to),
        "retry_wait" => ["queued", "cancelled"].contains(&to),
        _ => false,
    }
}

/// What a watcher saw of what it was to see.
pub(super) fn watched(
    watcher: &'static str,
    task: &str,
    notes: &Notes,
    events: &[RunEvent],
    faults: &mut Faults,
) -> Watched {
    let from = notes.from.unwrap_or(i64::MAX);
    let expected: BTreeMap<i64, (String, i64)> = events
        .iter()
        .filter(|event| from < event.sequence)
        .filter(|event| task.is_empty() || task == format!("tasks/{}", event.run.task))
        .map(|event| {
            let run = &event.run;
            let name = format!("tasks/{}/runs/{}", run.task, run.id);
            (event.sequence, (name, run.version))
        })
        .collect();
    let mut watched = Watched {
        told: expected.len(),
        seen: notes.seen.len(),
        reconnects: notes.reconnects,
        ..Watched::default()
    };
    let mut seen = BTreeSet::new();
    let mut last = from;
    for event in &notes.seen {
        watched.repeated += usize::from(!seen.insert(event.sequence));
        watched.out_of_order += usize::from(event.sequence <= last);
        last = last.max(event.sequence);
        let told = expected.get(&event.sequence);
        let agrees =
            told.is_some_and(|(run, version)| *run == event.run && *version == event.version);
        faults.add_if(!agrees, || {
            format!("{watcher} saw {event:?}, but the log says {told:?}")
        });
    }
    watched.missed = expected
        .keys()
        .filter(|sequence| !seen.contains(sequence))
        .count();
    if let Some(refused) = &notes.refused {
        faults.add(format!("{watcher} was refused: {refused}"));
    }
    let wrong = watched.missed + watched.repeated + watched.out_of_order;
    faults.add_if(wrong != 0, || format!("{watcher}: {watched:?}"));
    watched
}
