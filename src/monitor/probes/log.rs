//! Whether this server still follows the log: watches hear of nothing where it does not.
//!
//! Where that is known by itself, `monitor/halted.rs` tells it at once. This is for what is not: it holds what the table
//! has against what this server has read.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    domain::problem::{Problem, ProblemKind},
    engine::Engine,
    error::Result,
    monitor::{
        halted::SUBJECT,
        memory::Memory,
        probe::{Look, Probe, Scope},
    },
};

const PERIOD: Duration = Duration::from_secs(10);
/// One that has not moved for so long while there is more is stalled.
const STALLED_AFTER: Duration = Duration::from_secs(20);

/// The end of the log as this server knows it.
#[derive(Debug)]
pub(in crate::monitor) struct LogProbe {
    engine: Engine,
    memory: Memory,
    halted: Mutex<Option<Halted>>,
}

/// Where the log's end was when there was more behind it.
#[derive(Clone, Copy, Debug)]
struct Halted {
    last: i64,
    since: Timestamp,
    passed: Duration,
}

impl Probe for LogProbe {
    fn name(&self) -> &'static str {
        "log"
    }

    fn scope(&self) -> Scope {
        Scope::Replica
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            let (store, clock) = (self.engine.store(), self.engine.clock());
            let last = store.tail().last();
            let highest = store.events_highest().await?;
            let mut halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner);
            if highest <= last {
                *halted = None;
                return Ok(Look::default());
            }
            let now = Halted {
                last,
                since: clock.now(),
                passed: clock.passed(),
            };
            let since = *halted.get_or_insert(now);
            if since.last != last {
                *halted = Some(now);
                return Ok(Look::default());
            }
            if now.passed.saturating_sub(since.passed) < STALLED_AFTER {
                return Ok(Look::default());
            }
            if self.memory.is_open(ProblemKind::LogStalled, SUBJECT) {
                return Ok(Look::default());
            }
            let message = format!(
                "this server has read the log up to {last}, and there is more: watches hear of nothing"
            );
            let problem = Problem::new(ProblemKind::LogStalled, SUBJECT, message, since.since);
            Ok(Look::of(vec![problem]))
        })
    }
}

impl LogProbe {
    pub(in crate::monitor) fn new(engine: Engine, memory: Memory) -> Self {
        Self {
            engine,
            memory,
            halted: Mutex::default(),
        }
    }
}
