//! What is read is what was told, whatever the run is like.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use proptest::{option, prelude::*};
use uuid::Uuid;

use super::*;
use crate::domain::{
    Outcome, RunState, Trigger,
    task::{Execution, RetryPolicy},
};

fn instant() -> impl Strategy<Value = Timestamp> {
    let near = 1_700_000_000_000_000..1_900_000_000_000_000_i64;
    let any = Timestamp::MIN.as_microsecond()..=Timestamp::MAX.as_microsecond();
    prop_oneof![9 => near, 1 => any].prop_map(|at| Timestamp::from_microsecond(at).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), ".{0,40}"]
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..10_000_000_u64).prop_map(Duration::from_millis),
        any::<u64>().prop_map(Duration::from_nanos),
    ]
}

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn policy() -> impl Strategy<Value = RunPolicy> {
    let outcomes = proptest::collection::vec(proptest::sample::select(Outcome::ALL), 0..3);
    let unusual = (
        (any::<u32>(), span(), span()),
        (span(), option::of(span()), span()),
        (
            proptest::sample::select(Execution::ALL),
            outcomes,
            any::<bool>(),
        ),
    );
    let unusual = unusual.prop_map(|(retry, spans, rest)| RunPolicy {
        retry: RetryPolicy {
            max_attempts: retry.0,
            initial_backoff: retry.1,
            max_backoff: retry.2,
        },
        attempt_timeout: spans.0,
        progress_deadline: spans.1,
        cancel_grace: spans.2,
        execution: rest.0,
        counts_as_success: rest.1,
        given: rest.2,
    });
    prop_oneof![Just(RunPolicy::default()), unusual]
}

fn run() -> impl Strategy<Value = Run> {
    let words = (
        proptest::sample::select(RunState::ALL),
        proptest::sample::select(Trigger::ALL),
        option::of(proptest::sample::select(Outcome::ALL)),
        any::<[bool; 3]>(),
        "[a-z][a-z0-9]{0,40}",
        policy(),
    );
    let numbers = (
        (0..i64::MAX, 0..5_i64, any::<i16>()),
        any::<(i64, i64)>(),
        proptest::collection::btree_map("[a-z_]{1,20}", any::<i64>(), 0..4),
    );
    let instants = (
        [instant(), instant()],
        proptest::collection::vec(option::of(instant()), 8),
        any::<bool>(),
    );
    let texts = [text(), text(), text(), text(), text()];
    let ids = ([id(), id()], [option::of(id()), option::of(id())]);
    let rest = (
        option::of((instant(), instant(), any::<i64>())),
        option::of((instant(), text(), text())),
        option::of((
            (any::<i64>(), any::<i64>(), any::<i64>()),
            instant(),
            (text(), text(), option::of(any::<i64>())),
        )),
    );
    (words, numbers, instants, texts, ids, rest).prop_map(
        |(words, numbers, (needed, at, first), texts, (ids, may), rest)| {
            let [kind, reason, message, principal, request_reason] = texts;
            let (state, trigger, outcome, [dry_run, solo, catch_up], task, policy) = words;
            let ((attempt, uncharged, priority), (revision, version), counters): (
                _,
                _,
                BTreeMap<String, i64>,
            ) = numbers;
            Run {
                id: RunId(ids[0]),
                task_id: TaskId(ids[1]),
                task: task.parse().unwrap(),
                kind,
                trigger,
                state,
                outcome,
                reason,
                message,
                counters,
                attempt,
                attempts_charged: attempt - uncharged,
                priority,
                parameters: serde_json::Map::new(),
                policy,
                dry_run,
                solo,
                slot_at: at[0],
                nominal_at: at[1],
                due_at: needed[0],
                queued_at: needed[1],
                claim_at: at[2],
                start_deadline_at: at[3],
                started_at: at[4],
                attempt_started_at: if first { at[4] } else { at[5] },
                finished_at: at[6],
                lease_owner: may[0].map(ReplicaId),
                lease_until: at[7],
                coalesced: rest.0.map(|(first_at, last_at, count)| Coalesced {
                    first_at,
                    last_at,
                    count,
                }),
                catch_up,
                retry_of: may[1].map(RunId),
                principal,
                request_reason,
                cancellation: rest.1.map(|(at, principal, reason)| Cancellation {
                    at,
                    principal,
                    reason,
                }),
                progress: rest.2.map(
                    |((done, total, files), at, (message, phase, remaining_ms))| Progress {
                        done,
                        total,
                        message,
                        at,
                        phase,
                        files,
                        remaining_ms,
                    },
                ),
                revision,
                version,
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_told(run in run()) {
        let text = write(&run);
        prop_assert_eq!(text.is_none(), run.principal.is_empty());
        if let Some(text) = text {
            let is_json = text.starts_with('{');
            prop_assert!(!is_json && !text.contains('\0'));
            prop_assert_eq!(read(&text, run.task_id, run.task.as_str()), Some(run));
        }
    }

    /// Damage is no panic, and what a newer server adds is passed over.
    #[test]
    fn whatever_stands_there_is_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&text_of(&bytes), TaskId(Uuid::nil()), "task");
        prop_assert_eq!(bytes_of(&text_of(&bytes)), Some(bytes));
    }

    #[test]
    fn whatever_is_no_such_text_is_no_run(text in ".{0,100}") {
        let _ = read(&text, TaskId(Uuid::nil()), "task");
    }
}

/// As most runs are: by a schedule, with the usual policies.
fn usual() -> Run {
    let at = |micros: i64| Timestamp::from_microsecond(1_800_000_000_000_000 + micros).unwrap();
    Run {
        id: RunId::at(at(0)),
        task_id: TaskId::new(),
        task: "backup-of-the-books".parse().unwrap(),
        kind: "command".to_owned(),
        trigger: Trigger::Schedule,
        state: RunState::Succeeded,
        outcome: Some(Outcome::Worked),
        reason: String::new(),
        message: String::new(),
        counters: BTreeMap::new(),
        attempt: 1,
        attempts_charged: 1,
        priority: 5,
        parameters: serde_json::Map::new(),
        policy: RunPolicy::default(),
        dry_run: false,
        solo: true,
        slot_at: Some(at(-5000)),
        nominal_at: Some(at(-5000)),
        due_at: at(-5000),
        queued_at: at(0),
        claim_at: Some(at(0)),
        start_deadline_at: None,
        started_at: Some(at(2000)),
        attempt_started_at: Some(at(2000)),
        finished_at: Some(at(9000)),
        lease_owner: None,
        lease_until: None,
        coalesced: None,
        catch_up: false,
        retry_of: None,
        principal: "schedule".to_owned(),
        request_reason: String::new(),
        cancellation: None,
        progress: None,
        revision: 1,
        version: 3,
    }
}

#[test]
fn a_usual_run_takes_some_hundred_bytes() {
    let text = write(&usual()).unwrap();
    assert!(text.len() <= 110, "{}", text.len());
    let json = serde_json::to_string(&usual()).unwrap();
    assert!(4 * text.len() < json.len(), "{}", json.len());
}

/// These bytes stand in logs: whoever changes how a run is written must still read them.
#[test]
fn what_was_once_written_is_read() {
    let run = Run {
        id: RunId(Uuid::from_u128(7)),
        task_id: TaskId(Uuid::from_u128(8)),
        ..usual()
    };
    let text = write(&run).unwrap();
    let bytes = bytes_of(&text).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = "0a10000000000000000000000000000000071a07636f6d6d616e6420a484052801380a408080c489e5c5b206\
                   488f4e5000588f4e600070a01f8001038801d08c01a00101";
    assert_eq!(hex, written);
    assert_eq!(read(&text, run.task_id, run.task.as_str()), Some(run));
}

/// A run that bytes cannot hold as it is goes as JSON.
#[test]
fn an_instant_between_two_microseconds_is_not_cut() {
    let between = Timestamp::from_nanosecond(1_800_000_000_000_000_001).unwrap();
    let run = Run {
        cancellation: Some(Cancellation {
            at: between,
            principal: String::new(),
            reason: String::new(),
        }),
        ..usual()
    };
    assert_eq!(write(&run), None);
}
