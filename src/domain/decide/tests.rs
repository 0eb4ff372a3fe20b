//! Whatever the clock, the policies and the runs under way: the ledger has no hole and no overlap, and
//! no slot runs twice.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{Facts, Live, Waiting, close, close_pause, decide, plan_next, waiting_through};
use crate::domain::{
    id::{RunId, TaskId},
    ledger::{SlotOutcome, SlotRow},
    run::RunState,
    schedule::{Schedule, ScheduleSpec, just_before},
    task::{CatchUp, CatchUpMode, Course, Overlap, Pause, TaskSpec},
};

/// Something that happens to a task.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes, also backwards, and the scheduler looks.
    Look {
        seconds: i64,
        live: Vec<(RunState, bool)>,
    },
    Pause {
        seconds: i64,
        until: Option<i64>,
    },
    Resume {
        seconds: i64,
    },
    Edit {
        seconds: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let state = select(vec![
        RunState::Queued,
        RunState::Running,
        RunState::RetryWait,
    ]);
    let live = vec((state, any::<bool>()), 0..3);
    let passes = prop_oneof![Just(0), 1..100_i64, 100..20_000_i64, -5000..0_i64];
    let step = prop_oneof![
        6 => (passes.clone(), live).prop_map(|(seconds, live)| Step::Look { seconds, live }),
        1 => (passes.clone(), proptest::option::of(1..20_000_i64))
            .prop_map(|(seconds, until)| Step::Pause { seconds, until }),
        1 => passes.clone().prop_map(|seconds| Step::Resume { seconds }),
        1 => passes.prop_map(|seconds| Step::Edit { seconds }),
    ];
    vec(step, 1..40)
}

fn specs() -> impl Strategy<Value = TaskSpec> {
    let cron = select(vec![
        "* * * * *",
        "*/7 * * * *",
        "13 * * * *",
        "0 2 * * *",
        "30 2 * * *",
        "*/20 * * * * *",
        "0 0 1 * *",
    ]);
    let mode = select(vec![
        CatchUpMode::Latest,
        CatchUpMode::All,
        CatchUpMode::None,
    ]);
    let overlap = select(vec![Overlap::Skip, Overlap::BufferOne, Overlap::Allow]);
    let bounds = (1..20_000_u64, 1..20_u32, 1..2000_u64, 0..900_u64);
    (cron, mode, overlap, bounds).prop_map(|(cron, mode, overlap, (window, max, late, spread))| {
        TaskSpec {
            kind: "any".to_owned(),
            schedule: ScheduleSpec {
                cron: Some(cron.to_owned()),
                // Two transitions lie near, see `begin`.
                time_zone: Some("Europe/Paris".to_owned()),
                spread: (spread > 300).then(|| Duration::from_secs(spread)),
                ..ScheduleSpec::default()
            },
            catch_up: CatchUp {
                mode,
                window: Some(Duration::from_secs(window)),
                max_count: Some(max),
            },
            overlap,
            late_after: Duration::from_secs(late),
            ..TaskSpec::default()
        }
    })
}

fn begin() -> Timestamp {
    "2026-03-28T23:17:05Z".parse().unwrap()
}

fn task(spec: TaskSpec) -> (Course, Schedule) {
    let schedule = Schedule::parse(&spec.schedule, "task", "UTC").unwrap();
    let mut task = Course {
        id: TaskId::new(),
        name: "task".parse().unwrap(),
        spec: spec.into(),
        revision: 1,
        cursor_at: begin(),
        next_slot_at: None,
        next_due_at: None,
        rules: 0,
        pause: None,
    };
    plan_next(&mut task, &schedule);
    (task, schedule)
}

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at + SignedDuration::from_secs(seconds)
}

/// What the engine does with a step; the rows that come of it.
fn take(
    task: &mut Course,
    facts: &Facts<'_>,
    step: &Step,
    runs: &mut Vec<Timestamp>,
) -> Vec<SlotRow> {
    let due = |task: &Course| task.wake_at().is_some_and(|at| at <= facts.now);
    let mut rows = Vec::new();
    let settle = |task: &mut Course, rows: &mut Vec<SlotRow>, runs: &mut Vec<Timestamp>| {
        if due(task) {
            let decision = decide(task, facts);
            runs.extend(decision.runs.iter().filter_map(|run| run.slot_at));
            rows.extend(decision.rows);
        }
    };
    match step {
        Step::Look { .. } => settle(task, &mut rows, runs),
        Step::Pause { until, .. } => {
            settle(task, &mut rows, runs);
            let until = until.map(|seconds| later(facts.now, seconds));
            task.pause.get_or_insert(Pause {
                at: facts.now,
                principal: "ada".to_owned(),
                reason: String::new(),
                until,
                ending: None,
            });
        }
        Step::Resume { .. } => {
            if let Some(pause) = task.pause.take() {
                rows.extend(close_pause(task, facts, &pause, facts.now));
                plan_next(task, facts.schedule);
            }
        }
        Step::Edit { .. } => {
            settle(task, &mut rows, runs);
            if task.pause.is_none() {
                let outcome = SlotOutcome::SkippedEdited;
                let schedule = facts.schedule;
                let upto = match waiting_through(schedule, schedule, task.cursor_at, facts.now) {
                    Waiting::Stays(slot) => just_before(slot),
                    _ => facts.now,
                };
                rows.extend(close(task, facts, upto, outcome, String::new()));
                task.revision += 1;
                plan_next(task, facts.schedule);
            }
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_slot_is_decided_once_whatever_happens(spec in specs(), steps in steps()) {
        let (mut task, schedule) = task(spec);
        let (mut now, mut upto, mut counted) = (begin(), begin(), 0);
        let mut runs = Vec::new();
        for step in &steps {
            let (Step::Look { seconds, .. }
            | Step::Pause { seconds, .. }
            | Step::Resume { seconds }
            | Step::Edit { seconds }) = step;
            now = later(now, *seconds);
            let live: Vec<Live> = match step {
                Step::Look { live, .. } => live
                    .iter()
                    .map(|(state, catch_up)| Live {
                        run: RunId::new(),
                        state: *state,
                        catch_up: *catch_up,
                        attempt: i64::from(*state != RunState::Queued),
                    })
                    .collect(),
                _ => Vec::new(),
            };
            let facts = Facts { schedule: &schedule, now, live: &live };
            for row in take(&mut task, &facts, step, &mut runs) {
                // No hole and no overlap, and each row says how many slots it stands for.
                prop_assert_eq!(row.after_at, upto);
                prop_assert!(row.after_at < row.upto_at);
                prop_assert_eq!(row.count, i64::try_from(schedule.count(row.after_at, row.upto_at)).unwrap());
                // What waits for its spread is closed by nothing.
                prop_assert!(row.last_at.is_none_or(|last| schedule.due_at(last) <= now));
                prop_assert_eq!(row.run_id.is_some(), matches!(row.outcome, SlotOutcome::Dispatched | SlotOutcome::Coalesced));
                counted += row.count;
                upto = row.upto_at;
            }
            // The cursor never goes back, and never beyond what is due.
            prop_assert_eq!(task.cursor_at, upto);
            prop_assert_eq!(counted, i64::try_from(schedule.count(begin(), upto)).unwrap());
            if task.pause.is_none() {
                let next = schedule.next_after(task.cursor_at);
                prop_assert_eq!(task.next_slot_at, next);
                // Nothing that is due is left after a look.
                if matches!(step, Step::Look { .. }) {
                    prop_assert!(next.is_none_or(|next| now < schedule.due_at(next)));
                }
            }
        }
        let distinct: BTreeSet<Timestamp> = runs.iter().copied().collect();
        prop_assert_eq!(distinct.len(), runs.len(), "no slot runs twice");
        prop_assert!(runs.iter().all(|slot| schedule.count(later(*slot, -1), *slot) == 1));
    }
}

#[test]
fn a_slot_that_waits_for_its_spread_stays_where_the_next_schedule_has_it_too() {
    let schedule = |cron: &str, spread: Option<u64>| {
        let spec = ScheduleSpec {
            cron: Some(cron.to_owned()),
            spread: spread.map(Duration::from_secs),
            ..ScheduleSpec::default()
        };
        Schedule::parse(&spec, "task", "UTC").unwrap()
    };
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let hourly = schedule("0 * * * *", Some(3600));
    let (cursor, slot) = (at("2026-03-02T12:30:00Z"), at("2026-03-02T13:00:00Z"));
    let due_at = hourly.due_at(slot);
    assert!(later(slot, 60) < due_at, "{due_at}");
    let now = later(due_at, -1);
    let through = |next: &Schedule, now: Timestamp| waiting_through(&hourly, next, cursor, now);

    let stays = Waiting::Stays(slot);
    assert_eq!(through(&hourly, now), stays);
    assert_eq!(through(&schedule("0 13 * * *", Some(3600)), now), stays);
    let is_due = Waiting::IsDue(slot);
    assert_eq!(through(&schedule("0 * * * *", None), now), is_due);
    // It has no such slot, or further ones that would run at once.
    let nothing = Waiting::Nothing;
    assert_eq!(through(&schedule("30 * * * *", Some(3600)), now), nothing);
    assert_eq!(through(&schedule("* * * * *", None), now), nothing);
    assert_eq!(through(&hourly, due_at), nothing, "it is due");
    assert_eq!(
        through(&hourly, later(slot, -1)),
        nothing,
        "it has not come"
    );
}

#[test]
fn a_catch_up_run_gives_way_only_to_a_slot_that_runs() {
    let live = |state, catch_up| Live {
        run: RunId::new(),
        state,
        catch_up,
        attempt: i64::from(state != RunState::Queued),
    };
    let decided = |overlap, live: &[Live]| {
        let (mut course, schedule) = task(TaskSpec {
            kind: "any".to_owned(),
            schedule: ScheduleSpec {
                cron: Some("0 * * * *".to_owned()),
                ..ScheduleSpec::default()
            },
            overlap,
            ..TaskSpec::default()
        });
        let now = later(begin(), 3600);
        let facts = Facts {
            schedule: &schedule,
            now,
            live,
        };
        let decision = decide(&mut course, &facts);
        (decision.superseded.len(), decision.runs.len())
    };
    let waits = live(RunState::Queued, true);
    let runs = live(RunState::Running, false);
    assert_eq!(decided(Overlap::Skip, std::slice::from_ref(&waits)), (1, 1));
    // As ALLOW left them, before it was edited.
    assert_eq!(
        decided(Overlap::Skip, &[runs.clone(), waits.clone()]),
        (0, 0)
    );
    assert_eq!(decided(Overlap::BufferOne, &[runs, waits]), (1, 1));
}
