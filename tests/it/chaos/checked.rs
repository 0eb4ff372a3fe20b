//! What the verdict is worth: it finds each fault that a story looks for.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use uuid::Uuid;
use watchbell::clock::Stopwatch;

use super::{
    figures::Slots,
    look::{RunEvent, RunRow, SlotRow, TaskRow, Told},
    tokens::{Tally, Tokens},
    verdict::{self, Faults},
    watchers::{Notes, Seen},
};

const TASK: Uuid = Uuid::from_u128(1);
const RUN: Uuid = Uuid::from_u128(2);
const SECOND: i64 = 1_000_000;

/// The verdict on the ledger of a task that was made at 0 and is decided up to 3 s.
fn ledger(rows: &[SlotRow], runs: &[RunRow]) -> (Slots, usize) {
    let task = TaskRow {
        name: "noop-0".to_owned(),
        created_at: 0,
        cursor_at: 3 * SECOND,
    };
    let runs = runs.iter().map(|run| (run.id, run.clone())).collect();
    let mut faults = Faults::default();
    let slots = verdict::slots(&BTreeMap::from([(TASK, task)]), rows, &runs, &mut faults);
    (slots, faults.count())
}

/// Slots that were skipped.
fn row(after: i64, upto: i64, count: i64) -> SlotRow {
    SlotRow {
        task: TASK,
        after_at: after * SECOND,
        upto_at: upto * SECOND,
        outcome: "skipped_overlap".to_owned(),
        reason: "another is running".to_owned(),
        count,
        last_at: Some(upto * SECOND),
        run: None,
    }
}

fn run(slot: Option<i64>) -> RunRow {
    RunRow {
        id: RUN,
        task: TASK,
        kind: "bench-token".to_owned(),
        trigger: "schedule".to_owned(),
        state: "succeeded".to_owned(),
        slot_at: slot.map(|slot| slot * SECOND),
        attempt: 1,
        charged: 1,
        finished_at: Some(3 * SECOND),
        leased: false,
        version: 3,
    }
}

#[test]
fn a_whole_ledger_is_without_a_fault() {
    let dispatched = SlotRow {
        outcome: "dispatched".to_owned(),
        run: Some(RUN),
        ..row(2, 3, 1)
    };
    let (slots, faults) = ledger(&[row(0, 2, 2), dispatched], &[run(Some(3))]);
    assert_eq!((slots.expected, slots.recorded, faults), (3, 3, 0));
}

#[test]
fn a_hole_in_the_ledger_is_found() {
    let (slots, faults) = ledger(&[row(0, 1, 1), row(2, 3, 1)], &[]);
    assert_eq!(slots.lost, 1);
    assert_ne!(faults, 0);
}

#[test]
fn a_ledger_that_ends_before_the_cursor_is_found() {
    let (slots, faults) = ledger(&[row(0, 2, 2)], &[]);
    assert_eq!(slots.lost, 1);
    assert_ne!(faults, 0);
}

#[test]
fn slots_that_are_told_twice_are_found() {
    let (slots, faults) = ledger(&[row(0, 2, 2), row(1, 3, 2)], &[]);
    assert_eq!(slots.double_decided, 1);
    assert_ne!(faults, 0);
}

#[test]
fn a_count_that_is_not_that_of_the_seconds_is_found() {
    let (slots, _) = ledger(&[row(0, 3, 2)], &[]);
    assert_eq!(slots.lost, 1);
}

#[test]
fn a_slot_without_its_run_is_found() {
    let dispatched = SlotRow {
        outcome: "dispatched".to_owned(),
        run: Some(RUN),
        ..row(2, 3, 1)
    };
    let (slots, faults) = ledger(&[row(0, 2, 2), dispatched], &[]);
    assert_eq!(slots.lost, 1);
    assert_ne!(faults, 0);
}

#[test]
fn a_run_that_no_slot_was_given_to_is_found() {
    let (slots, faults) = ledger(&[row(0, 3, 3)], &[run(Some(2))]);
    assert_eq!(slots.double_decided, 1);
    assert_ne!(faults, 0);
}

/// Faults of a run with these attempts before its last, and with work that was done or not.
fn faults_of_run(run: &RunRow, attempts: &[i64], worked: bool) -> usize {
    let mut tally = Tally::default();
    if worked {
        tally.ended.insert((run.id, run.attempt));
    }
    let mut faults = Faults::default();
    let attempts = BTreeMap::from([(run.id, attempts.to_vec())]);
    let runs = BTreeMap::from([(run.id, run.clone())]);
    verdict::runs(&runs, &attempts, &tally, &mut faults);
    faults.count()
}

#[test]
fn a_run_that_does_not_end_or_did_nothing_is_found() {
    let good = run(None);
    assert_eq!(faults_of_run(&good, &[], true), 0);
    assert_ne!(faults_of_run(&good, &[], false), 0, "it did nothing");
    assert_ne!(faults_of_run(&good, &[2], true), 0, "an attempt too many");
    let endless = RunRow {
        state: "running".to_owned(),
        finished_at: None,
        leased: true,
        ..run(None)
    };
    assert_ne!(faults_of_run(&endless, &[], true), 0, "it goes on");
}

fn told(sequence: i64, state: &str, version: i64) -> RunEvent {
    RunEvent {
        sequence,
        kind: format!("run.{state}"),
        run: Told {
            id: RUN,
            task: "noop-0".to_owned(),
            state: state.to_owned(),
            solo: true,
            version,
        },
    }
}

fn log() -> Vec<RunEvent> {
    vec![
        told(11, "queued", 1),
        told(12, "running", 2),
        told(14, "succeeded", 3),
    ]
}

#[test]
fn a_step_that_the_table_of_states_has_not_is_found() {
    let faults_of = |events: &[RunEvent]| {
        let mut faults = Faults::default();
        let runs = BTreeMap::from([(RUN, run(None))]);
        verdict::events(events, &runs, &mut faults);
        faults.count()
    };
    assert_eq!(faults_of(&log()), 0);
    let mut skipping = log();
    skipping.remove(1);
    assert_ne!(faults_of(&skipping), 0, "from queued to succeeded");
    assert_ne!(faults_of(&log()[..2]), 0, "the log ends too soon");
}

#[test]
fn two_runs_of_a_task_at_once_are_found_where_they_must_not_be() {
    let faults_of = |steps: &[(u128, &str)], solo: bool| {
        let event = |(id, state): &(u128, &str)| {
            let mut event = told(0, state, 0);
            event.run.id = Uuid::from_u128(*id);
            event.run.solo = solo;
            event
        };
        let mut faults = Faults::default();
        let events: Vec<RunEvent> = steps.iter().map(event).collect();
        verdict::in_line(&events, &mut faults);
        faults.count()
    };
    let queued = [(1, "queued"), (2, "queued")];
    let of = |steps: &[(u128, &str)], solo| faults_of(&[&queued, steps].concat(), solo);
    let in_turn = [(1, "running"), (1, "succeeded"), (2, "running")];
    assert_eq!(of(&in_turn, true), 0);
    let given_back = [(1, "running"), (1, "queued"), (2, "running")];
    assert_eq!(of(&given_back, true), 0, "it is not under way any more");
    let tried_again = [
        (1, "running"),
        (1, "retry_wait"),
        (1, "queued"),
        (1, "running"),
    ];
    assert_eq!(of(&tried_again, true), 0);
    let beside = [(1, "running"), (2, "running"), (1, "succeeded")];
    assert_eq!(of(&beside, true), 1);
    assert_eq!(of(&beside, false), 0, "they may");
    let waiting = [(1, "running"), (1, "retry_wait"), (2, "running")];
    assert_eq!(of(&waiting, true), 1, "the first is to be tried again");
}

#[test]
fn what_a_watcher_misses_or_sees_again_is_found() {
    let watched = |numbers: &[i64]| {
        let seen = numbers.iter().map(|number| Seen {
            sequence: *number,
            run: format!("tasks/noop-0/runs/{RUN}"),
            version: log()
                .iter()
                .find(|event| event.sequence == *number)
                .map_or(0, |event| event.run.version),
        });
        let notes = Notes {
            from: Some(10),
            seen: seen.collect(),
            ..Notes::default()
        };
        let mut faults = Faults::default();
        let watched = verdict::watched("one", "", &notes, &log(), &mut faults);
        let figures = [watched.missed, watched.repeated, watched.out_of_order];
        (figures, faults.count() != 0)
    };
    assert_eq!(watched(&[11, 12, 14]), ([0, 0, 0], false));
    assert_eq!(watched(&[11, 14]), ([1, 0, 0], true));
    assert_eq!(watched(&[11, 12, 12, 14]), ([0, 1, 1], true));
    assert_eq!(watched(&[12, 11, 14]), ([0, 0, 1], true));
    assert_eq!(watched(&[11, 12, 13, 14]), ([0, 0, 0], true));
}

#[tokio::test]
async fn a_write_under_an_old_token_is_found_unless_it_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tally = |steps: &[&str]| {
        let file = folder.path().join(Uuid::now_v7().to_string());
        let mut text = String::new();
        for step in steps {
            let _ = writeln!(text, "{RUN} {step} 7");
        }
        fs::write(&file, text).unwrap();
        let tally = Tokens::follow(file, Stopwatch::start()).tally();
        [tally.refused, tally.overlapping, tally.doubled]
    };
    // The first had tried before the second began: which of the two came first, nobody knows.
    let tried_before = ["1 start", "1 try", "2 start", "1 written"];
    assert_eq!(tally(&tried_before), [0, 0, 0]);
    let tried_after = ["1 start", "2 start", "1 try", "1 written"];
    assert_eq!(tally(&tried_after), [0, 1, 0]);
    let refused = ["1 start", "2 start", "1 try", "1 refused"];
    assert_eq!(tally(&refused), [1, 0, 0]);
    assert_eq!(tally(&["1 start", "1 start"]), [0, 0, 1]);
}
